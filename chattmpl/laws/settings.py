"""Settings of ``[tool.chattmpl.check]`` in pyproject.toml."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from chattmpl.diagnostic import without_indices
from chattmpl.laws.law import laws_named
from chattmpl.laws.outcome import Counterexample
from chattmpl.project_file import CommandSettings, command_table, project_table, strings

KEYS = ("laws", "accept")


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
class CheckSettings(CommandSettings):
    """The settings of ``chattmpl check`` in a project; see `CommandSettings`.

    Attributes:
        laws: names of the laws to check; empty for all.
        accept: the accepted limits.
    """

    laws: tuple[str, ...] = ()
    accept: tuple[AcceptedLimit, ...] = ()


def read_settings(folder: Path) -> CheckSettings:
    """Return the settings of the nearest pyproject.toml; raise `UsageError` if a setting is invalid."""
    found = project_table(folder)
    if found is None:
        return CheckSettings()
    path, own = found
    values = command_table(path, own, "check", KEYS)
    laws = tuple(strings(values.get("laws", []), "laws", path, '"sampled"'))
    laws_named(laws)
    accept = accepted(strings(values.get("accept", []), "accept", path, '"lossless:documents"'))
    return CheckSettings(**{**values, "laws": laws, "accept": accept})


def accepted(texts: Iterable[str]) -> tuple[AcceptedLimit, ...]:
    """Parse accepted limits; raise `UsageError` if one names no law."""
    return tuple(map(AcceptedLimit.parse, texts))
