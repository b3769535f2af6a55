"""Registries of rules and checks: classes found in the modules of a package, looked up by code or name."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Protocol, TypeVar

from chattmpl.errors import UsageError, did_you_mean


class Entry(Protocol):
    """An object with a code such as ``CT101`` and a name of a few words with hyphens."""

    @property
    def code(self) -> str:
        """Letters for the kind of entry, the digit of its group, and two more digits."""

    @property
    def name(self) -> str:
        """A few words with hyphens."""


_Entry = TypeVar("_Entry", bound=Entry)


class NamedByModule:
    """Base class of entries whose module is named after them: ``au101_nothing_trained`` has AU101, nothing-trained."""

    code: ClassVar[str]
    name: ClassVar[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        code, _, name = cls.__module__.rpartition(".")[2].partition("_")
        if "code" not in vars(cls):
            cls.code, cls.name = code.upper(), name.replace("_", "-")


def discover(package: str, base: type[Any], noun: str) -> Iterator[Any]:
    """Yield an instance of the subclass of ``base`` in each module of a package, in the order of the modules.

    Raises:
        TypeError: a module does not define exactly one.
    """
    path = importlib.import_module(package).__path__
    for name in sorted(f"{package}.{module.name}" for module in pkgutil.iter_modules(path)):
        classes = [
            item
            for item in vars(importlib.import_module(name)).values()
            if inspect.isclass(item) and issubclass(item, base) and item.__module__ == name
        ]
        if len(classes) != 1:
            raise TypeError(f"{name} must define one {noun}, not {len(classes)}")
        yield classes[0]()


def by_code(entries: Iterable[_Entry], codes: re.Pattern[str]) -> Mapping[str, _Entry]:
    """Return entries by code, in the order of the codes.

    Args:
        entries: the entries.
        codes: an expression that every code must match.

    Raises:
        TypeError: two entries share a code or a name, or a code does not match.
    """
    known: dict[str, _Entry] = {}
    names: dict[str, str] = {}
    for entry in entries:
        if not codes.fullmatch(entry.code):
            raise TypeError(f"the code {entry.code!r} of {type(entry).__name__} belongs to no group")
        if entry.code in known:
            raise TypeError(f"{type(known[entry.code]).__name__} and {type(entry).__name__} both have {entry.code}")
        if entry.name in names:
            raise TypeError(f"{names[entry.name]} and {entry.code} both have the name {entry.name!r}")
        known[entry.code] = entry
        names[entry.name] = entry.code
    return dict(sorted(known.items()))


def find(known: Mapping[str, _Entry], which: str, noun: str, nouns: str) -> _Entry:
    """Return the entry with a code or a name.

    Args:
        known: all entries by code.
        which: a code or a name, in any case.
        noun: the word for an entry in errors.
        nouns: its plural.

    Raises:
        UsageError: there is no such entry.
    """
    for entry in known.values():
        if which.upper() == entry.code or which.lower() == entry.name:
            return entry
    raise _unknown(known, which, noun, nouns)


def select(
    known: Mapping[str, _Entry], selected: Iterable[str], ignored: Iterable[str], noun: str, nouns: str
) -> list[_Entry]:
    """Return the selected entries without the ignored ones; all without a selection.

    Args:
        known: all entries by code.
        selected: codes, prefixes of codes (``CT1`` is a group), or names.
        ignored: the same, for entries to leave out.
        noun: the word for an entry in errors.
        nouns: its plural.

    Raises:
        UsageError: a selector matches no entry.
    """
    names = {entry.name: code for code, entry in known.items()}
    wanted, unwanted = (
        tuple(names.get(part.lower(), part.upper()) for part in parts) for parts in (tuple(selected), tuple(ignored))
    )
    for code in (*wanted, *unwanted):
        if not code or not any(other.startswith(code) for other in known):
            raise _unknown(known, code, noun, nouns)
    return [
        entry
        for code, entry in known.items()
        if (not wanted or code.startswith(wanted)) and not (unwanted and code.startswith(unwanted))
    ]


def _unknown(known: Mapping[str, _Entry], which: str, noun: str, nouns: str) -> UsageError:
    hint = did_you_mean(which, [*known, *(entry.name for entry in known.values())])
    return UsageError(f"there is no {noun} {which!r}", hint=hint or f"the {nouns} are {', '.join(known)}")
