"""The model of a run: pretrained or from scratch, with or without LoRA adapters."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chattmpl.errors import UsageError, did_you_mean
from chattmpl.template import hub
from chattmpl.training.config import ModelConfig, TrainConfig, one_line, option_mentioned


def load_model(config: TrainConfig, tokenizer: Any, stops: Mapping[int, str]) -> Any:
    """Load or create the model, with an embedding for each token and with the stop tokens in its generation config.

    Weights are float32 unless ``model.dtype`` is set; trl's ``bf16`` concerns computations, and leaves them so.

    Raises:
        UsageError: the model cannot be loaded.
    """
    from transformers import set_seed

    set_seed(config.seed)
    table = config.model
    model = _from_pretrained(table) if table.config is None else _from_scratch(table, tokenizer)
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer))
    set_stop_tokens(model, stops)
    return model


def set_stop_tokens(model: Any, stops: Mapping[int, str]) -> None:
    """Set ``eos_token_id`` of a model's generation config, which is saved with the model."""
    generation = getattr(model, "generation_config", None)
    if generation is not None:
        generation.eos_token_id = list(stops)


def check_model(table: ModelConfig) -> None:
    """Check the dtype, and the configuration of a model that is not on the hub, before anything expensive.

    Raises:
        UsageError: the model could not be loaded.
    """
    import torch

    dtype = table.options.get("dtype")
    # from_pretrained also accepts "auto", and a mapping with a dtype for each part of a model.
    special = table.config is None and (dtype == "auto" or isinstance(dtype, dict))
    if dtype is not None and not special and not isinstance(getattr(torch, str(dtype), None), torch.dtype):
        raise UsageError(f"unknown dtype {dtype!r}", option="dtype", hint="for example dtype: bfloat16")
    if table.config is not None:
        _pretrained_config(table.config)
        return
    from transformers import AutoConfig

    assert table.path is not None, "load_config requires one of path and config"
    if not Path(table.path).is_dir():
        return
    known = ("trust_remote_code", "revision", "code_revision", "subfolder")
    options = {name: value for name, value in table.options.items() if name in known}
    try:
        AutoConfig.from_pretrained(table.path, **options)
    except Exception as error:
        raise _load_error(table, error) from None


def _from_pretrained(table: ModelConfig) -> Any:
    from transformers import AutoModelForCausalLM

    assert table.path is not None, "load_config requires one of path and config"
    try:
        local = Path(table.path).is_dir() or not hub.is_reachable()
        options = {"dtype": "float32", "local_files_only": local, **table.options}
        return AutoModelForCausalLM.from_pretrained(table.path, **options)
    except Exception as error:
        raise _load_error(table, error) from None


def _load_error(table: ModelConfig, error: Exception) -> UsageError:
    return UsageError(
        f"cannot load the model {table.path}: {one_line(error, 300)}",
        option=option_mentioned(str(error), table.options),
        hint="model must be a folder written by save_pretrained, or a reachable hub id",
    )


def _from_scratch(table: ModelConfig, tokenizer: Any) -> Any:
    from transformers import AutoModelForCausalLM

    assert table.config is not None, "a model from scratch has one"
    ids = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    config = _pretrained_config(table.config, vocab_size=len(tokenizer), **ids)
    try:
        return AutoModelForCausalLM.from_config(config, **table.options)
    except Exception as error:
        raise _config_error(table.config, error) from None


def _pretrained_config(values: Mapping[str, Any], **defaults: Any) -> Any:
    """Return the ``PretrainedConfig`` of a model from scratch."""
    from transformers import CONFIG_MAPPING, AutoConfig

    options = dict(values)
    kind = options.pop("model_type")
    if kind not in CONFIG_MAPPING:
        hint = did_you_mean(str(kind), CONFIG_MAPPING)
        raise UsageError(f"transformers has no model_type {kind!r}", option="config.model_type", hint=hint)
    try:
        known = AutoConfig.for_model(kind).to_dict()
        for name in options:
            if name not in known:
                hint = did_you_mean(name, known)
                raise UsageError(f"the config of a {kind} model has no {name!r}", option=f"config.{name}", hint=hint)
        return AutoConfig.for_model(kind, **{**defaults, **options})
    except UsageError:
        raise
    except Exception as error:
        raise _config_error(values, error) from None


def _config_error(values: Mapping[str, Any], error: Exception) -> UsageError:
    key = option_mentioned(str(error), values)
    return UsageError(
        f"model.config is not the config of a model: {one_line(error, 300)}",
        option=f"config.{key}" if key else "config",
    )


def lora_config(config: TrainConfig) -> tuple[Any, bool]:
    """Return the ``LoraConfig`` of a run, None without LoRA, and True if the adapters are merged after training.

    Raises:
        UsageError: peft is not installed, or does not accept an argument.
    """
    if config.lora is None:
        return None, False
    try:
        from peft import LoraConfig
    except ImportError:
        raise UsageError("lora requires peft, which is not installed", hint="pip install 'chattmpl[train]'") from None
    from dataclasses import fields

    options = dict(config.lora)
    merge = options.pop("merge", False)
    if not isinstance(merge, bool):
        raise UsageError(f"lora.merge must be true or false, not {merge!r}", option="merge")
    known = {field.name for field in fields(LoraConfig) if field.init}
    for name in options:
        if name not in known:
            hint = did_you_mean(name, {*known, "merge"})
            raise UsageError(f"LoraConfig has no argument {name!r}", option=name, hint=hint)
    try:
        return LoraConfig(**{"task_type": "CAUSAL_LM", **options}), merge
    except Exception as error:
        raise UsageError(f"lora: {one_line(error)}", option=option_mentioned(str(error), options)) from None
