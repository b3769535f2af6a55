"""Figures of a device: speed and memory of training on packed, padded and trl's own rows, and a check of resuming."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from chattmpl import Template
from chattmpl.training.adapter.sft import quiet
from chattmpl.training.prove.dialogues import abilities_of, make_dialogues
from chattmpl.training.prove.models import CLOCK, Size, make_model, make_tokenizer
from playbook_parts.plan import MIX

SIZES = {
    "tiny": Size(16, 1, 2, talks=16, steps=4, batch=4, rate=5e-3, tests=0, merges=200),
    "gpu": Size(1024, 16, 16, talks=4096, steps=64, batch=64, rate=3e-4, tests=0, merges=600),
}
"""Larger than the sizes of the comparisons, to keep the device busy; ``tiny`` is for tests of the code."""

LONGER = replace(MIX, turns=(1, 16))
"""Dialogues of very different lengths, as in real data."""

_PACK, _ROOM = 8, 2048
"""Approximate number of documents in a packed row, and its number of tokens."""


def measure(size: Size, attention: str | None = None) -> dict[str, Any]:
    """Measure the device, and return a note for the store.

    Args:
        size: size of the model and of the data.
        attention: attention implementation of transformers; flash attention if it is installed, else sdpa.
    """
    bench = _Bench(size, attention or _attention())
    ways: dict[str, Callable[[], Any]] = {
        "padded, random order": lambda: bench.prepared(order="random"),
        "padded, by length": lambda: bench.prepared(order="group_by_length"),
        "packed by chattmpl": lambda: bench.prepared(order="random", pack=_PACK),
        "trl's default path (padded)": lambda: bench.with_trl(packing=False),
        "trl's packing": lambda: bench.with_trl(packing=True),
    }
    lines = [f"{_name()}, {bench.precision}, attention {bench.attention}, {bench.parameters:,} parameters"]
    lines.append(f"{'':<30}{'tokens per second':>18}{'peak memory':>16}")
    for name, make in ways.items():
        speed, memory = bench.speed(make())
        lines.append(f"{name:<30}{speed:>18,.0f}{_mebibytes(memory):>16}")
    lines.append(bench.resumed())
    return {"note": "device", "text": "\n".join(lines) + "\n"}


class _Bench:
    """The dialogues, tokenizer and settings that all measurements share."""

    def __init__(self, size: Size, attention: str) -> None:
        import torch

        self.attention = attention
        self.size = size
        self.gpu = torch.cuda.is_available()
        self.precision = "bf16" if self.gpu else "float32"
        self.template = Template.load("hybrid")
        self.dialogues = make_dialogues(size.talks, abilities_of(self.template), 0, test=False, mix=LONGER)
        rendered = [self.template.render(each.conversation(), clock=CLOCK) for each in self.dialogues[:600]]
        self.tokenizer = make_tokenizer(self.template, rendered, size.merges)
        self.parameters = make_model(self.tokenizer, size, 0).num_parameters()
        self._folders: list[tempfile.TemporaryDirectory[str]] = []

    def prepared(self, *, order: str, pack: int = 1, folder: str | None = None, **options: Any) -> Any:
        """Return a trainer on rows of chattmpl."""
        from chattmpl.training.adapter import prepare, sft_config

        records = [each.record() for each in self.dialogues]
        packing: dict[str, Any] = {"pack": _ROOM} if pack > 1 else {}
        rows = prepare(records, self.template, self.tokenizer, clock=CLOCK, **packing)
        batch = max(1, self.size.batch // pack)
        config = sft_config(rows, **{**self._settings(folder), **options}, train_sampling_strategy=order)
        config.per_device_train_batch_size = batch
        return self._trainer(rows, config)

    def with_trl(self, *, packing: bool) -> Any:
        """Return a trainer on conversations, which trl renders and encodes itself."""
        import torch
        from datasets import Dataset
        from trl import SFTConfig

        self.tokenizer.chat_template = self.template.export(target="train")
        rows = Dataset.from_list([{"messages": each.messages} for each in self.dialogues])
        device = {} if torch.accelerator.is_available() else {"use_cpu": True, "bf16": False}
        # trl's default strategy is bfd.
        packed = {"packing": True, "max_length": _ROOM} if packing else {"max_length": None}
        config = SFTConfig(**{**self._settings(None), **device, **packed}, assistant_only_loss=True)
        if packing:
            config.per_device_train_batch_size = max(1, self.size.batch // _PACK)
        return self._trainer(rows, config)

    def _settings(self, folder: str | None) -> dict[str, Any]:
        if folder is None:
            self._folders.append(tempfile.TemporaryDirectory())
            folder = self._folders[-1].name
        return {
            "output_dir": folder,
            "max_steps": self.size.steps,
            "per_device_train_batch_size": self.size.batch,
            "learning_rate": self.size.rate,
            "bf16": self.gpu,
            "gradient_checkpointing": False,
            "include_num_input_tokens_seen": "non_padding",
            "logging_steps": self.size.steps,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "seed": 0,
        }

    def _trainer(self, rows: Any, config: Any) -> Any:
        from transformers.trainer_callback import PrinterCallback
        from trl import SFTTrainer

        model = make_model(self.tokenizer, self.size, 0)
        model.set_attn_implementation(self.attention)
        with quiet():
            trainer = SFTTrainer(model=model, args=config, train_dataset=rows, processing_class=self.tokenizer)
        trainer.remove_callback(PrinterCallback)
        return trainer

    def speed(self, trainer: Any) -> tuple[float, int]:
        """Return tokens per second without padding, and the peak memory in bytes; the first steps are included."""
        import torch

        if self.gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        with quiet():
            trainer.train()
        if self.gpu:
            torch.cuda.synchronize()
        taken = time.perf_counter() - start
        return int(trainer.state.num_input_tokens_seen) / taken, _peak(self.gpu)

    def resumed(self) -> str:
        """Compare the weights of a resumed run with those of an uninterrupted one, in a sentence."""
        import torch

        half = self.size.steps // 2
        ends = []
        for interrupted in (False, True):
            with tempfile.TemporaryDirectory() as folder, quiet():
                saving: dict[str, Any] = {"save_strategy": "steps", "save_steps": half}
                trainer = self.prepared(order="random", folder=folder, **saving)
                trainer.train()
                if interrupted:
                    # The same from the checkpoint in the middle, with new weights that it must overwrite.
                    trainer = self.prepared(order="random", folder=folder, **saving)
                    trainer.train(resume_from_checkpoint=str(Path(folder, f"checkpoint-{half}")))
                ends.append({name: value.detach().float().cpu() for name, value in trainer.model.named_parameters()})
        apart = max(float((ends[0][name] - ends[1][name]).abs().max()) for name in ends[0])
        equal = all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
        said = "equal, bit for bit" if equal else f"at most {apart:.2g} apart"
        return f"a run that was resumed at step {half} of {self.size.steps}: its weights are {said}"


def _attention() -> str:
    from transformers.utils import is_flash_attn_2_available

    return "flash_attention_2" if is_flash_attn_2_available() else "sdpa"


def _peak(gpu: bool) -> int:
    import torch

    if gpu:
        return int(torch.cuda.max_memory_allocated())
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"


def _name() -> str:
    import torch

    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return f"no GPU, {os.cpu_count()} cores, {platform.machine()}"
