"""Results on disk: a line of JSON for each run, so that a run that was killed goes on where it was."""

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
        path: of the file, which need not exist.
        runs: what each run gave.
        notes: texts.
    """

    path: Path
    runs: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def opened(cls, path: Path) -> Store:
        """What a file has; its last line is left out where a kill cut it short."""
        store = cls(path)
        lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
        for number, line in enumerate(lines):
            if not line:
                continue
            try:
                said = json.loads(line)
            except json.JSONDecodeError:
                if number < len(lines) - 1:
                    raise
                _cut(path, lines[:-1])
                continue
            store._take(said)
        return store

    def _take(self, said: dict[str, Any]) -> None:
        if "note" in said:
            self.notes[said["note"]] = said["text"]
        else:
            self.runs[said["key"], said["seed"]] = said

    def add(self, said: dict[str, Any]) -> None:
        """One result more, in memory and on disk."""
        self._take(said)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(said, ensure_ascii=False, separators=(",", ":")) + "\n")

    def has(self, config: Config, seed: int) -> bool:
        """Whether a run is there."""
        return (config.key, seed) in self.runs

    def of(self, config: Config, seeds: Sequence[int] | None = None) -> dict[int, dict[str, Any]]:
        """The figures of all runs of a configuration, by seed."""
        found = {seed: said["figures"] for (key, seed), said in self.runs.items() if key == config.key}
        return {seed: found[seed] for seed in sorted(found) if seeds is None or seed in seeds}


def _cut(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
