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
    """

    kind: str
    name: str
    ends: str
    data: bytes
    file: str = ""

    def __str__(self) -> str:
        return f"{self.kind}-{self.name}"


def templates() -> list[Attack]:
    """Return one template of each kind, and those that are marked ``everywhere``."""
    given = tomllib.loads((FOLDER / "templates.toml").read_text(encoding="utf-8"))
    return [
        Attack(kind, fields["name"].replace(" ", "_"), fields["ends"], source_of(fields).encode())
        for kind, attacks in given.items()
        for index, fields in enumerate(attacks)
        if fields.get("everywhere", not index)
    ]


def source_of(fields: dict[str, Any]) -> str:
    """Return the source of a template, given its fields."""
    return str(fields.get("before", "") + fields.get("part", "") * fields.get("times", 0) + fields.get("after", ""))


def read(kind: str) -> list[Attack]:
    """Return the attacks of one of the other files."""
    given = tomllib.loads((FOLDER / f"{kind}.toml").read_text(encoding="utf-8"))
    return [
        Attack(kind, key, fields.get("ends", "error"), _data(fields), fields.get("name", ""))
        for key, fields in given.items()
    ]


def _data(fields: dict[str, Any]) -> bytes:
    text = next(fields[key] for key in ("line", "text", "hex") if key in fields)
    for placeholder, (part, times) in fields.get("repeat", {}).items():
        text = text.replace(placeholder, part * times)
    return bytes.fromhex(text) if "hex" in fields else text.encode(fields.get("encoding", "utf-8"))
