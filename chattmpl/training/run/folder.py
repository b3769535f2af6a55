"""The folder of a run: its record, and the checkpoints that are whole."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

from chattmpl.data.writers import read_json, write_json
from chattmpl.errors import UsageError
from chattmpl.training.run.rows import EVAL_FOLDER, FOLDER

RECORD = "chattmpl.json"
"""What is known of a run, beside its model; and in a checkpoint, once that is whole."""

_MODEL = ("adapter_config.json", "adapter_model*", "model*.safetensors*", "pytorch_model*")
"""Files of a model: one of another kind would be taken for a part of the next."""

_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


class RunFolder:
    """The folder of a run.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def record(self) -> dict[str, Any] | None:
        """What an earlier run wrote; None if there was none."""
        return read_json(self.path / RECORD)

    def write(self, record: dict[str, Any]) -> None:
        """Writes the record, in one step."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / RECORD, record)

    def refuse_foreign(self) -> None:
        """Refuses a folder that holds something else than a run.

        Raises:
            UsageError: it is a file, or holds a model that no run of ours wrote.
        """
        if self.path.is_file():
            raise UsageError(f"the output {self.path} is a file", hint="name a folder")
        if self.path.is_dir() and self.record() is None:
            foreign = [
                path.name for path in sorted(self.path.iterdir()) if path.name not in (FOLDER, EVAL_FOLDER, RECORD)
            ]
            if foreign:
                raise UsageError(
                    f"the output {self.path} holds what no run of chattmpl wrote: {', '.join(foreign[:5])}",
                    hint="name another folder",
                )

    def checkpoints(self, identity: str) -> tuple[list[Path], list[Path]]:
        """The checkpoints of a run that are whole, the last one first; and those that are not, or of another run."""
        found = [
            (int(match[1]), path)
            for path in (self.path.iterdir() if self.path.is_dir() else ())
            if (match := _CHECKPOINT.fullmatch(path.name)) and path.is_dir()
        ]
        ordered = [path for _, path in sorted(found, reverse=True)]
        whole = [path for path in ordered if (read_json(path / RECORD) or {}).get("identity") == identity]
        return whole, [path for path in ordered if path not in whole]

    def clear(self) -> None:
        """Removes the checkpoints, the weights and the record of an earlier run; its rows are written over."""
        for path in list(self.path.iterdir()) if self.path.is_dir() else ():
            if _CHECKPOINT.fullmatch(path.name) and path.is_dir():
                shutil.rmtree(path)
            elif path.is_file() and any(path.match(pattern) for pattern in _MODEL):
                path.unlink()
        (self.path / RECORD).unlink(missing_ok=True)


def mark_whole(checkpoint: Path, identity: str, more: dict[str, Any]) -> None:
    """Says that all of a checkpoint is written, and of which run it is."""
    write_json(checkpoint / RECORD, {"identity": identity, **more})


def digest(value: Any) -> str:
    """A name for a JSON value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
