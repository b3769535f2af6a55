"""Kinds of findings: what each is, and how they are found."""

from __future__ import annotations

import inspect
import re
from abc import ABC
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from chattmpl import registry
from chattmpl.data.audit.finding import Example, Severity
from chattmpl.registry import by_code, discover, find

if TYPE_CHECKING:
    from chattmpl.data.audit.row_view import View
    from chattmpl.data.audit.settings import Settings
    from chattmpl.data.audit.totals import Totals

GROUPS = {
    "AU1": "What is trained",
    "AU2": "System prompts and fields",
    "AU3": "Reasoning",
    "AU4": "Control tokens",
    "AU5": "Tools",
    "AU6": "The mixture",
}
"""The first three characters of a code, and what its kinds are about."""

SECTIONS = ("What it does", "Why is this bad?", "What to do")
"""The headings of a kind's documentation, in order."""

_CODE = re.compile(r"AU[1-6]\d\d")
_WORDS = ("kind of finding", "kinds")
"""What one is called in an error, and what all are."""


class Note(NamedTuple):
    """Something found in one row.

    Attributes:
        key: notes of one key are one finding.
        detail: what is there to see.
        amount: how often.
    """

    key: str = ""
    detail: str = ""
    amount: int = 1


class Whole(NamedTuple):
    """Something found in all rows together.

    Attributes:
        key: as in `Note`.
        rows: how many it concerns.
        examples: some of them.
        detail: what the message says of it.
        severity: if it is not that of the kind.
        sources: how many rows of each source.
    """

    key: str
    rows: int
    examples: tuple[Example, ...] = ()
    detail: str = ""
    severity: Severity | None = None
    sources: Mapping[str, int] = {}


class Kind(ABC):
    """One thing that can be wrong with a data set. The docstring of a kind is its documentation.

    Attributes:
        code: ``AU``, the digit of its group, and two more.
        name: a few words with hyphens.
        severity: of its findings, unless `severity_of` says otherwise.
        says: the message; ``{key}`` and, for what is found in the whole, ``{detail}`` stand in it.
        hint: the way out.
        unit: what ``amount`` counts.
        needs_row: whether only rows that can be encoded are looked at.
    """

    code: ClassVar[str]
    name: ClassVar[str]
    severity: ClassVar[Severity]
    says: ClassVar[str]
    hint: ClassVar[str]
    unit: ClassVar[str] = "times"
    needs_row: ClassVar[bool] = True

    def row(self, view: View) -> Iterator[Note]:
        """What is wrong with one row."""
        yield from ()

    def whole(self, totals: Totals, settings: Settings) -> Iterator[Whole]:
        """What is wrong with all rows together."""
        yield from ()

    def message(self, key: str, detail: str = "") -> str:
        """What a finding says."""
        return self.says.format(key=key, detail=detail)

    def severity_of(self, key: str) -> Severity:
        """How bad a finding with this key is."""
        return self.severity

    def hint_of(self, key: str) -> str:
        """The way out of a finding with this key."""
        return self.hint

    @classmethod
    def documentation(cls) -> str:
        """The docstring, without its indentation."""
        return inspect.cleandoc(cls.__doc__ or "")


@cache
def all_kinds() -> Mapping[str, Kind]:
    """All kinds by code: whatever class of the modules in ``chattmpl/data/audit/checks`` is a `Kind`.

    Raises:
        TypeError: if two have one code or name, or a code is of no group.
    """
    return by_code(discover("chattmpl.data.audit.checks", Kind, "kind"), _CODE)


def kind_named(which: str) -> Kind:
    """The kind of this code or name.

    Raises:
        UsageError: if there is none.
    """
    return find(all_kinds(), which, *_WORDS)


def chosen(select: Iterable[str] = (), ignore: Iterable[str] = ()) -> list[Kind]:
    """The kinds of codes, of beginnings of codes (``AU1`` is a group), or of names.

    Raises:
        UsageError: for what is none of them.
    """
    return registry.select(all_kinds(), select, ignore, *_WORDS)
