"""A tiny model with a trl trainer, and training runs that take seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.datasets import conversation, write_jsonl

SMALL = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
TRAINER = {
    "per_device_train_batch_size": 4,
    "learning_rate": 1e-3,
    "gradient_checkpointing": False,
    "logging_steps": 1,
    "max_steps": 4,
}


def tokenizer(eos: str = "<|im_end|>") -> Any:
    """Return the demo tokenizer as a tokenizer of transformers."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    import chattmpl

    definition = Path(chattmpl.__file__).parent / "encode" / "demo_tokenizer.json"
    raw = Tokenizer.from_file(str(definition))
    return PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<|pad|>", eos_token=eos)


def model(vocabulary: int = 3200) -> Any:
    """Return a Llama of one layer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary, **sizes))


def trainer(rows: Any, output: Path, *, config: Any = None, peft_config: Any = None, **options: Any) -> Any:
    """Return an SFTTrainer of such a model."""
    from chattmpl.training.adapter import sft_config, sft_trainer

    fixed = {"per_device_train_batch_size": 4, "max_steps": 2, "save_strategy": "no", "report_to": "none"}
    args = config or sft_config(rows, output_dir=str(output), **{**fixed, **options})
    return sft_trainer(model(), args, rows, tokenizer(), peft_config=peft_config)


def write_run(folder: Path, *, rows: int = 16, trainer: dict[str, Any] | None = None, **keys: Any) -> Path:
    """Write a configuration (JSON is YAML) and its data into a folder; keys with None are left out."""
    folder.mkdir(parents=True, exist_ok=True)
    write_jsonl(folder / "data.jsonl", [conversation(number) for number in range(rows)])
    config: dict[str, Any] = {
        "data": "data.jsonl",
        "template": "hybrid",
        "tokenizer": "demo",
        "model": {"config": SMALL},
        "output": "out",
        "fast": "off",
        "trainer": {**TRAINER, **(trainer or {})},
        **keys,
    }
    path = folder / "run.yaml"
    config = {name: value for name, value in config.items() if value is not None}
    path.write_text(json.dumps(config, indent=1), encoding="utf-8")
    return path


def record(folder: Path) -> dict[str, Any]:
    """Return the contents of ``chattmpl.json`` in a folder."""
    value: dict[str, Any] = json.loads((folder / "chattmpl.json").read_text(encoding="utf-8"))
    return value


def weights(folder: Path) -> dict[str, Any]:
    """Return the weights of a saved model."""
    from safetensors.torch import load_file

    found: dict[str, Any] = load_file(folder / "model.safetensors")
    return found


def apart(one: Path, other: Path) -> float:
    """Return the largest difference between the weights of two models."""
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    return max(float((first[name] - second[name]).abs().max()) for name in first)
