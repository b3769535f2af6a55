"""What makes two runs the same: all that changes the weights that come out."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from chattmpl.template.template import Template
from chattmpl.training.run.config import Config
from chattmpl.training.run.folder import digest
from chattmpl.training.run.process_group import World

_TOLD = (
    "data",
    "eval_data",
    "straddle",
    "control_tokens",
    "mask",
    "max_length",
    "overflow",
    "unroll",
    "pack",
    "shape",
    "clock",
    "limit",
    "add_tokens",
    "stop_tokens",
    "seed",
)
"""Keys of a configuration that change the weights; template, tokenizer, model, lora and trainer are looked into."""

_HARMLESS: tuple[str, ...]
_HARMLESS = ("logging_", "save_", "log_", "report_to", "run_name", "disable_tqdm", "push_to_hub", "hub_", "project")
_HARMLESS += (
    "dataloader_num_workers",
    "dataloader_pin_memory",
    "dataloader_prefetch_factor",
    "include_num_input_tokens",
)
"""How names of settings of trl begin that change no weight."""

_MEGABYTE = 1 << 20


def identity(config: Config, template: Template, tokenizer: Any, stops: list[str], world: World) -> dict[str, Any]:
    """A run as JSON, but for the contents of its data, which the job of encoding looks into.

    Args:
        config: what was asked for.
        template: as it is rendered, annotated where it had no tags.
        tokenizer: as it is used, with added tokens.
        stops: the stop tokens.
        world: the processes.
    """
    said: dict[str, Any] = {name: config.model_dump(mode="json")[name] for name in _TOLD}
    for name in ("data", "eval_data"):
        if said[name] and said[name].get("seed") == config.seed:
            del said[name]["seed"]
    said["template"] = {
        "source": digest(template.source),
        "tokens": dict(sorted(template.tokens.items())),
        "retention": template.retention,
        "kwargs": config.template.kwargs,
        "stops": stops,
    }
    said["tokenizer"] = digest(tokenizer.backend_tokenizer.to_str())
    said["model"] = {**config.model.model_dump(mode="json"), "files": _files(config.model.path)}
    said["lora"] = config.lora and {name: value for name, value in config.lora.items() if name != "merge"}
    said["trainer"] = {name: value for name, value in config.trainer.items() if not name.startswith(_HARMLESS)}
    said["processes"] = world.size
    said["fsdp"] = world.sharded
    return said


def _files(path: str | None) -> list[list[Any]] | None:
    """The files of a model on this machine, told by sizes and by parts: reading all of them would take minutes."""
    if path is None or not Path(path).is_dir():
        return None
    found = [file for pattern in ("*.safetensors", "*.bin", "config.json") for file in sorted(Path(path).glob(pattern))]
    return [[file.name, file.stat().st_size, _parts(file)] for file in found if file.is_file()]


def _parts(path: Path) -> str:
    """A name for the first, the middle and the last megabyte of a file."""
    size = path.stat().st_size
    parts = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        for start in (0, size // 2, max(0, size - _MEGABYTE)):
            file.seek(start)
            parts.update(file.read(_MEGABYTE))
    return parts.hexdigest()


def difference(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """In what a run differs from another, in words; None if they are the same."""
    words = {"processes": "the number of processes", "fsdp": "whether FSDP is used"}
    changed: list[str] = []
    for name in now:
        earlier = before.get(name)
        if earlier == now[name]:
            continue
        if name in ("trainer", "lora") and isinstance(earlier, dict) and isinstance(now[name], dict):
            keys = sorted({*earlier, *now[name]})
            changed += [f"{name}.{key}" for key in keys if earlier.get(key) != now[name].get(key)]
        else:
            changed.append(words.get(name, name))
    return ", ".join(changed) or None
