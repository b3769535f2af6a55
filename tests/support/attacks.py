"""The corpus of attacks in ``tests/hostile``: templates, rows, files and tokenizers, with the expected end of each."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import Any

from support import ROOT

FOLDER = ROOT / "tests" / "hostile"


@dataclass(frozen=True)
class Attack:
    """An attack.

    Attributes:
        kind: name of its file.
        name: its name there.
        ends: the expected end; see the tests.
        data: the bytes of the template, the row or the file.
        file: name of the file to write it to, if that matters.
        everywhere: it is tried on every command, for its kind.
    """

    kind: str
    name: str
    ends: str
    data: bytes
    file: str = ""
    everywhere: bool = False

    def __str__(self) -> str:
        return f"{self.kind}-{self.name}"


def templates() -> list[Attack]:
    """Return the templates of all kinds."""
    return [
        attack for path in sorted((FOLDER / "templates").glob("*.toml")) for attack in read(f"templates/{path.stem}")
    ]


def read(name: str) -> list[Attack]:
    """Return the attacks of one file."""
    given = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    kind = name.rpartition("/")[2]
    return [
        Attack(
            kind,
            key,
            fields.get("ends", "error"),
            _data(fields),
            fields.get("name", ""),
            everywhere=fields.get("everywhere", not index),
        )
        for index, (key, fields) in enumerate(given.items())
    ]


def _data(fields: dict[str, Any]) -> bytes:
    text = next(fields[key] for key in ("template", "line", "text", "hex") if key in fields)
    for placeholder, (part, times) in fields.get("repeat", {}).items():
        text = text.replace(placeholder, part * times)
    return bytes.fromhex(text) if "hex" in fields else text.encode(fields.get("encoding", "utf-8"))
