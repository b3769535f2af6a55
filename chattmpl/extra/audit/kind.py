"""Kinds of findings: what each is, and how they are found."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from abc import ABC
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from chattmpl.errors import UsageError, did_you_mean
from chattmpl.extra.audit.finding import Example, Severity

if TYPE_CHECKING:
    from chattmpl.extra.audit.settings import Settings
    from chattmpl.extra.audit.totals import Totals
    from chattmpl.extra.audit.view import View

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
    """All kinds by code: whatever class of the modules in ``chattmpl/extra/audit/kinds`` is a `Kind`.

    Raises:
        TypeError: if two have one code or name, or a code is of no group.
    """
    package = importlib.import_module("chattmpl.extra.audit.kinds")
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    found = [_in_module(f"{package.__name__}.{name}") for name in names]
    for kind in found:
        twins = [other for other in found if other.code == kind.code or other.name == kind.name]
        if len(twins) > 1 or not _CODE.fullmatch(kind.code):
            raise TypeError(f"{kind.code} {kind.name} is not the only one of this code and name, or of no group")
    return {kind.code: kind for kind in sorted(found, key=lambda kind: kind.code)}


def _in_module(name: str) -> Kind:
    module = importlib.import_module(name)
    classes = [
        item
        for item in vars(module).values()
        if inspect.isclass(item) and issubclass(item, Kind) and item.__module__ == name
    ]
    if len(classes) != 1:
        raise TypeError(f"{name} must hold one kind, and holds {len(classes)}")
    made: Kind = classes[0]()
    return made


def kind_named(which: str) -> Kind:
    """The kind of this code or name.

    Raises:
        UsageError: if there is none.
    """
    known = all_kinds()
    for kind in known.values():
        if which.upper() == kind.code or which.lower() == kind.name:
            return kind
    raise _unknown(which)


def chosen(select: Iterable[str] = (), ignore: Iterable[str] = ()) -> list[Kind]:
    """The kinds of codes, of beginnings of codes (``AU1`` is a group), or of names.

    Raises:
        UsageError: for what is none of them.
    """
    known = all_kinds()
    wanted, unwanted = _codes(select), _codes(ignore)
    return [
        kind
        for code, kind in known.items()
        if (not wanted or code.startswith(wanted)) and not (unwanted and code.startswith(unwanted))
    ]


def _codes(given: Iterable[str]) -> tuple[str, ...]:
    known = all_kinds()
    names = {kind.name: code for code, kind in known.items()}
    codes = tuple(names.get(part.lower(), part.upper()) for part in given)
    for code in codes:
        if not code or not any(one.startswith(code) for one in known):
            raise _unknown(code)
    return codes


def _unknown(which: str) -> UsageError:
    known = all_kinds()
    names = [*known, *(kind.name for kind in known.values())]
    hint = did_you_mean(which, names) or f"the kinds are {', '.join(known)}"
    return UsageError(f"there is no kind of finding {which!r}", hint=hint)
