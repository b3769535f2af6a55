"""The output folder of a run: its record, the identity that a resumed run must share, and complete checkpoints."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chattmpl.data.writers import read_json, write_json
from chattmpl.errors import UsageError
from chattmpl.training.config import TrainConfig
from chattmpl.training.process_group import ProcessGroup
from chattmpl.training.rows import EVAL_FOLDER, FOLDER

if TYPE_CHECKING:
    from chattmpl.training.resolved_run import ResolvedRun

RECORD = "chattmpl.json"
"""Record of a run next to its model; and in a checkpoint, once that is complete."""

_MODEL_FILES = ("adapter_config.json", "adapter_model*", "model*.safetensors*", "pytorch_model*")
"""Files of a model, which must not mix with those of the next."""

_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


class RunFolder:
    """The output folder of a run.

    Args:
        path: path of the folder, which need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def record(self) -> dict[str, Any] | None:
        """Return the record of an earlier run; None if there was none."""
        return read_json(self.path / RECORD)

    def write(self, record: dict[str, Any]) -> None:
        """Write the record atomically."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / RECORD, record)

    def refuse_foreign(self) -> None:
        """Refuse a path that is not the folder of a run.

        Raises:
            UsageError: the path is a file, or a folder with other contents.
        """
        if self.path.is_file():
            raise UsageError(f"the output {self.path} is a file", hint="output must be a folder")
        if self.path.is_dir() and self.record() is None:
            foreign = [
                path.name for path in sorted(self.path.iterdir()) if path.name not in (FOLDER, EVAL_FOLDER, RECORD)
            ]
            if foreign:
                raise UsageError(
                    f"the output {self.path} contains files that chattmpl did not write: {', '.join(foreign[:5])}",
                    hint="choose another folder",
                )

    def checkpoints(self, identity: str) -> tuple[list[Path], list[Path]]:
        """Return the complete checkpoints of a run, newest first; and those that are incomplete or of another run."""
        found = [
            (int(match[1]), path)
            for path in (self.path.iterdir() if self.path.is_dir() else ())
            if (match := _CHECKPOINT.fullmatch(path.name)) and path.is_dir()
        ]
        ordered = [path for _, path in sorted(found, reverse=True)]
        complete = [path for path in ordered if (read_json(path / RECORD) or {}).get("identity") == identity]
        return complete, [path for path in ordered if path not in complete]

    def clear(self) -> None:
        """Remove the checkpoints, the weights and the record of an earlier run; rows are overwritten later."""
        for path in list(self.path.iterdir()) if self.path.is_dir() else ():
            if _CHECKPOINT.fullmatch(path.name) and path.is_dir():
                shutil.rmtree(path)
            elif path.is_file() and any(path.match(pattern) for pattern in _MODEL_FILES):
                path.unlink()
        (self.path / RECORD).unlink(missing_ok=True)


def mark_complete(checkpoint: Path, identity: str, step: int, supervised: int) -> None:
    """Mark a checkpoint as complete, with the identity of its run, its step and the supervised tokens so far."""
    write_json(checkpoint / RECORD, {"identity": identity, "step": step, "supervised": supervised})


def digest(value: Any) -> str:
    """Return a hash of a JSON value, as 32 hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


# -- identity


_IDENTITY_KEYS = (
    "data",
    "eval_data",
    "straddle",
    "control_tokens",
    "mask",
    "max_length",
    "overflow",
    "rows",
    "mask_from",
    "pack",
    "shape",
    "clock",
    "limit",
    "add_tokens",
    "stop_tokens",
    "seed",
)
"""Keys of a configuration that change the weights; template, tokenizer, model, lora and trainer are added in detail."""

_NEUTRAL_SETTINGS = (
    "logging_",
    "save_",
    "log_",
    "report_to",
    "run_name",
    "disable_tqdm",
    "push_to_hub",
    "hub_",
    "project",
    "dataloader_num_workers",
    "dataloader_pin_memory",
    "dataloader_prefetch_factor",
    "include_num_input_tokens",
)
"""Prefixes of settings of trl that do not change the weights."""

_MEGABYTE = 1 << 20


def run_identity(config: TrainConfig, resolved: ResolvedRun, group: ProcessGroup) -> dict[str, Any]:
    """Return everything that determines the weights, as JSON, except the contents of the data.

    The contents of the data are in `chattmpl.training.rows.EncodedRows.job`.
    """
    template, tokenizer = resolved.template, resolved.tokenizer
    values = config.model_dump(mode="json")
    identity: dict[str, Any] = {name: values[name] for name in _IDENTITY_KEYS}
    for name in ("data", "eval_data"):
        if identity[name] and identity[name].get("seed") == config.seed:
            del identity[name]["seed"]
    identity["template"] = {
        "source": digest(template.source),
        "tokens": dict(sorted(template.tokens.items())),
        "retention": template.retention,
        "kwargs": config.template.kwargs,
        "stops": sorted(resolved.stops.values()),
    }
    identity["tokenizer"] = digest(tokenizer.backend_tokenizer.to_str())
    identity["model"] = {**values["model"], "files": model_files(config.model.path)}
    identity["lora"] = config.lora and {name: value for name, value in config.lora.items() if name != "merge"}
    identity["trainer"] = {
        name: value for name, value in config.trainer.items() if not name.startswith(_NEUTRAL_SETTINGS)
    }
    identity["processes"] = group.size
    identity["fsdp"] = group.sharded
    return identity


def model_files(path: str | None) -> list[list[Any]] | None:
    """Return name, size and sampled hash of a local model's files; None for a model on the hub.

    Only parts of each file are hashed: reading all weights would take minutes.
    """
    if path is None or not Path(path).is_dir():
        return None
    files = [file for pattern in ("*.safetensors", "*.bin", "config.json") for file in sorted(Path(path).glob(pattern))]
    return [[file.name, file.stat().st_size, _sampled_hash(file)] for file in files if file.is_file()]


def _sampled_hash(path: Path) -> str:
    """Return a hash of the first, the middle and the last megabyte of a file."""
    size = path.stat().st_size
    hashed = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        for start in (0, size // 2, max(0, size - _MEGABYTE)):
            file.seek(start)
            hashed.update(file.read(_MEGABYTE))
    return hashed.hexdigest()


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the differences between the identities of two runs, named as in the configuration."""
    phrases = {"processes": "the number of processes", "fsdp": "the use of FSDP"}
    changed: list[str] = []
    for name in now:
        earlier = before.get(name)
        if earlier == now[name]:
            continue
        if name in ("trainer", "lora") and isinstance(earlier, dict) and isinstance(now[name], dict):
            keys = sorted({*earlier, *now[name]})
            changed += [f"{name}.{key}" for key in keys if earlier.get(key) != now[name].get(key)]
        else:
            changed.append(phrases.get(name, name))
    return changed
