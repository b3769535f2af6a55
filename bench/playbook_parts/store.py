"""Results on disk: one line of JSON for each run, so that an interrupted command resumes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playbook_parts.plan import Config


@dataclass
class Store:
    """The results of runs, by key and seed, and texts by name.

    Attributes:
        path: path of the file, which need not exist.
        runs: records of the runs.
        notes: texts by name.
    """

    path: Path
    runs: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Store:
        """Read a file, and remove a last line that an interruption truncated."""
        store = cls(path)
        lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
        for number, line in enumerate(lines):
            if not line:
                continue
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                if number < len(lines) - 1:
                    raise
                _rewrite(path, lines[:-1])
                continue
            store._take(record)
        return store

    def _take(self, record: dict[str, Any]) -> None:
        if "note" in record:
            self.notes[record["note"]] = record["text"]
        else:
            self.runs[record["key"], record["seed"]] = record

    def add(self, record: dict[str, Any]) -> None:
        """Add a record, in memory and on disk."""
        self._take(record)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")

    def has(self, config: Config, seed: int) -> bool:
        """Return True if a run is stored."""
        return (config.key, seed) in self.runs

    def of(self, config: Config, seeds: Sequence[int] | None = None) -> dict[int, dict[str, Any]]:
        """Return the figures of all runs of a configuration, by seed."""
        found = {seed: record["figures"] for (key, seed), record in self.runs.items() if key == config.key}
        return {seed: found[seed] for seed in sorted(found) if seeds is None or seed in seeds}


def _rewrite(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
