"""The model of a run: one to start from, or one from scratch; and adapters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chattmpl.errors import UsageError, did_you_mean
from chattmpl.extra.train.config import Config, ModelKeys


def load_model(config: Config, tokenizer: Any, stops: Mapping[int, str]) -> Any:
    """The model, with as many embeddings as the tokenizer has tokens, and the stop tokens at which it ends.

    Weights are float32, unless ``model.dtype`` says otherwise: with trl's ``bf16`` these are what is kept.

    Raises:
        UsageError: it cannot be loaded.
    """
    from transformers import set_seed

    set_seed(config.seed)
    keys = config.model
    model = _from_scratch(keys.config, tokenizer) if keys.config is not None else _from_pretrained(keys)
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
        said = " ".join(str(error).split())[:300]
        raise UsageError(
            f"the model {keys.path} cannot be loaded: {said}",
            hint="model: a folder that save_pretrained wrote, or a hub id that can be reached",
        ) from None


def _from_scratch(said: Mapping[str, Any], tokenizer: Any) -> Any:
    from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM

    given = dict(said)
    kind = given.pop("model_type")
    if kind not in CONFIG_MAPPING:
        raise UsageError(f"transformers has no model_type {kind!r}", hint=did_you_mean(str(kind), CONFIG_MAPPING))
    ids = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    try:
        known = AutoConfig.for_model(kind).to_dict()
        for name in given:
            if name not in known:
                raise UsageError(f"the config of a {kind} has no {name!r}", hint=did_you_mean(name, known))
        made = AutoConfig.for_model(kind, **{"vocab_size": len(tokenizer), **ids, **given})
        return AutoModelForCausalLM.from_config(made)
    except UsageError:
        raise
    except Exception as error:
        said_ = " ".join(str(error).split())[:300]
        raise UsageError(f"model.config does not make a model: {said_}") from None


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
