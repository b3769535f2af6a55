"""A tiny model with a trl trainer, for tests of what reaches the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any


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
