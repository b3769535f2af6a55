"""The model of a run: one to start from, or one from scratch; and adapters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chattmpl.errors import UsageError, did_you_mean
from chattmpl.training.run.config import Config, ModelKeys


def load_model(config: Config, tokenizer: Any, stops: Mapping[int, str]) -> Any:
    """The model, with as many embeddings as the tokenizer has tokens, and the stop tokens at which it ends.

    Weights are float32, unless ``model.dtype`` says otherwise: with trl's ``bf16`` these are what is kept.

    Raises:
        UsageError: it cannot be loaded.
    """
    from transformers import set_seed

    set_seed(config.seed)
    keys = config.model
    model = _from_pretrained(keys) if keys.config is None else _from_scratch(keys, tokenizer)
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer))
    tell_stops(model, stops)
    return model


def tell_stops(model: Any, stops: Mapping[int, str]) -> None:
    """Tells a model where its turns end, in what is saved with it."""
    generation = getattr(model, "generation_config", None)
    if generation is not None:
        generation.eos_token_id = list(stops)


def _from_pretrained(keys: ModelKeys) -> Any:
    from transformers import AutoModelForCausalLM

    assert keys.path is not None, "a configuration has either"
    options = {"dtype": "float32", **keys.options}
    folder = Path(keys.path)
    if not folder.is_dir() and keys.path.startswith((".", "/")):
        raise UsageError(f"there is no model at {keys.path}", hint="model: a folder that save_pretrained wrote")
    try:
        return AutoModelForCausalLM.from_pretrained(keys.path, **options)
    except Exception as error:
        raise _not_loaded(keys.path, error) from None


def check_model(keys: ModelKeys) -> None:
    """Looks at what costs little of a model: whether its configuration can be loaded. One of a hub is left for later.

    Raises:
        UsageError: it cannot.
    """
    import torch

    dtype = keys.options.get("dtype")
    # from_pretrained also takes auto, and one for each part of a model.
    more = keys.config is None and (dtype == "auto" or isinstance(dtype, dict))
    if dtype is not None and not more and not isinstance(getattr(torch, str(dtype), None), torch.dtype):
        raise UsageError(f"dtype cannot be {dtype!r}", hint="as in dtype: bfloat16")
    if keys.config is not None:
        config_of(keys.config)
        return
    from transformers import AutoConfig

    assert keys.path is not None, "a configuration has either"
    if not Path(keys.path).is_dir():
        return
    known = ("trust_remote_code", "revision", "code_revision", "subfolder")
    options = {name: value for name, value in keys.options.items() if name in known}
    try:
        AutoConfig.from_pretrained(keys.path, **options)
    except Exception as error:
        raise _not_loaded(keys.path, error) from None


def _not_loaded(path: str, error: Exception) -> UsageError:
    said = " ".join(str(error).split())[:300]
    return UsageError(
        f"the model {path} cannot be loaded: {said}",
        hint="model: a folder that save_pretrained wrote, or a hub id that can be reached",
    )


def _from_scratch(keys: ModelKeys, tokenizer: Any) -> Any:
    from transformers import AutoModelForCausalLM

    assert keys.config is not None, "a model from scratch has one"
    ids = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    made = config_of(keys.config, vocab_size=len(tokenizer), **ids)
    try:
        return AutoModelForCausalLM.from_config(made, **keys.options)
    except Exception as error:
        raise _no_model(error) from None


def config_of(said: Mapping[str, Any], **filled: Any) -> Any:
    """The configuration of transformers for a model from scratch.

    Args:
        said: what is asked for.
        **filled: what holds unless it is said.

    Raises:
        UsageError: there is no such kind of model, or it has no such key, or does not take a value.
    """
    from transformers import CONFIG_MAPPING, AutoConfig

    given = dict(said)
    kind = given.pop("model_type")
    if kind not in CONFIG_MAPPING:
        raise UsageError(f"transformers has no model_type {kind!r}", hint=did_you_mean(str(kind), CONFIG_MAPPING))
    try:
        known = AutoConfig.for_model(kind).to_dict()
        for name in given:
            if name not in known:
                raise UsageError(f"the config of a {kind} has no {name!r}", hint=did_you_mean(name, known))
        return AutoConfig.for_model(kind, **{**filled, **given})
    except UsageError:
        raise
    except Exception as error:
        raise _no_model(error) from None


def _no_model(error: Exception) -> UsageError:
    said = " ".join(str(error).split())[:300]
    return UsageError(f"model.config does not make a model: {said}")


def adapters(config: Config) -> tuple[Any, bool]:
    """The ``LoraConfig`` of a run, None if it has none, and whether adapters are merged into the model at the end.

    Raises:
        UsageError: peft is not installed, or has no such argument.
    """
    if config.lora is None:
        return None, False
    try:
        from peft import LoraConfig
    except ImportError:
        raise UsageError("lora needs peft, which is not installed", hint="pip install 'chattmpl[lora]'") from None
    from dataclasses import fields

    given = dict(config.lora)
    merge = given.pop("merge", False)
    if not isinstance(merge, bool):
        raise UsageError(f"lora.merge is true or false, not {merge!r}")
    known = {field.name for field in fields(LoraConfig) if field.init}
    for name in given:
        if name not in known:
            raise UsageError(f"LoraConfig has no argument {name!r}", hint=did_you_mean(name, {*known, "merge"}))
    try:
        return LoraConfig(**{"task_type": "CAUSAL_LM", **given}), merge
    except Exception as error:
        raise UsageError(f"lora: {' '.join(str(error).split())}") from None
