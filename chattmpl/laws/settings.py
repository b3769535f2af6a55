"""Settings of ``[tool.chattmpl.check]`` in pyproject.toml."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chattmpl.diagnostic import without_indices
from chattmpl.errors import UsageError
from chattmpl.laws.law import laws_named
from chattmpl.laws.outcome import Counterexample
from chattmpl.project_file import TABLES, known_keys, path_beside, project_table, strings, table

KEYS = ("paths", "laws", "accept", "baseline", "tokenizer")
_NAME = "tool.chattmpl.check"


@dataclass(frozen=True)
class AcceptedLimit:
    """A limit of a template that is accepted: a law, and the kind of fields concerned unless it is accepted for all."""

    law: str
    field: str = ""

    @classmethod
    def parse(cls, text: str) -> "AcceptedLimit":
        """Parse ``LAW`` or ``LAW:FIELD``; raise `UsageError` if there is no such law."""
        law, _, field = text.partition(":")
        laws_named([law])
        return cls(law, field.strip())

    def covers(self, found: Counterexample) -> bool:
        """Return true if a counterexample shows this limit."""
        names = (found.field or "", without_indices(found.path))
        return found.law == self.law and any(name.startswith(self.field) for name in names)

    def __str__(self) -> str:
        return f"{self.law}:{self.field}" if self.field else self.law


@dataclass(frozen=True)
class CheckSettings:
    """The settings of a project; options of the command line take precedence.

    Attributes:
        paths: the templates to check if none are given.
        laws: names of the laws to check; empty for all.
        accept: the accepted limits.
        baseline: path of a baseline.
        tokenizer: see `chattmpl.encode.load_tokenizer`.
    """

    paths: tuple[str, ...] = ()
    laws: tuple[str, ...] = ()
    accept: tuple[AcceptedLimit, ...] = ()
    baseline: str | None = None
    tokenizer: str | None = None


def read_settings(folder: Path) -> CheckSettings:
    """Return the settings of the nearest pyproject.toml; raise `UsageError` if a setting is invalid."""
    found = project_table(folder)
    return CheckSettings() if found is None else _read(*found)


def _read(path: Path, own: Mapping[str, Any]) -> CheckSettings:
    known_keys(own, TABLES, "tool.chattmpl", path)
    section = table(own.get("check", {}), _NAME, path)
    known_keys(section, KEYS, _NAME, path)
    lists = {
        key: tuple(strings(section.get(key, []), key, path, example))
        for key, example in (("paths", '"templates"'), ("laws", '"sampled"'), ("accept", '"lossless:documents"'))
    }
    for key in ("baseline", "tokenizer"):
        if not isinstance(section.get(key, ""), str):
            raise UsageError(f"{path}: {key} must be a string", hint="a path")
    laws_named(lists["laws"])
    baseline = section.get("baseline")
    return CheckSettings(
        tuple(path_beside(path, name) for name in lists["paths"]),
        lists["laws"],
        accepted(lists["accept"]),
        None if baseline is None else str(path.parent / baseline),
        path_beside(path, section["tokenizer"]) if "tokenizer" in section else None,
    )


def accepted(texts: Iterable[str]) -> tuple[AcceptedLimit, ...]:
    """Parse accepted limits; raise `UsageError` if one names no law."""
    return tuple(map(AcceptedLimit.parse, texts))
