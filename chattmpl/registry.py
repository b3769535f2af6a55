"""Finding what stands in a package, one class a module, by the codes and names that the classes have."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

from chattmpl.errors import UsageError, did_you_mean


class Named(Protocol):
    """What has a code, as in ``CT101``, and a name: a few words with hyphens."""

    @property
    def code(self) -> str:
        """Letters for what it is, the digit of its group, and two more."""

    @property
    def name(self) -> str:
        """A few words with hyphens."""


_Found = TypeVar("_Found", bound=Named)


def one_a_module(package: str, kind: type[Any], noun: str) -> Iterator[Any]:
    """An object of the class of a kind that each module of a package holds, in the order of the modules.

    Raises:
        TypeError: for a module that holds none, or several.
    """
    path = importlib.import_module(package).__path__
    for name in sorted(f"{package}.{module.name}" for module in pkgutil.iter_modules(path)):
        classes = [
            item
            for item in vars(importlib.import_module(name)).values()
            if inspect.isclass(item) and issubclass(item, kind) and item.__module__ == name
        ]
        if len(classes) != 1:
            raise TypeError(f"{name} must hold one {noun}, and holds {len(classes)}")
        yield classes[0]()


def by_code(found: Iterable[_Found], codes: re.Pattern[str]) -> Mapping[str, _Found]:
    """What was found by code, in the order of the codes.

    Args:
        found: no two of one code or name.
        codes: what a code looks like.

    Raises:
        TypeError: if two have one code or name, or a code is of no group.
    """
    known: dict[str, _Found] = {}
    names: dict[str, str] = {}
    for one in found:
        if not codes.fullmatch(one.code):
            raise TypeError(f"{type(one).__name__} has the code {one.code!r}, which is of no group")
        if one.code in known:
            raise TypeError(f"{type(known[one.code]).__name__} and {type(one).__name__} are both {one.code}")
        if one.name in names:
            raise TypeError(f"{names[one.name]} and {one.code} are both called {one.name!r}")
        known[one.code] = one
        names[one.name] = one.code
    return dict(sorted(known.items()))


def named(known: Mapping[str, _Found], which: str, noun: str, nouns: str) -> _Found:
    """The one of this code or name.

    Args:
        known: all by code.
        which: a code or a name, in small letters or great ones.
        noun: what it is called in an error.
        nouns: what all are called there.

    Raises:
        UsageError: if there is none.
    """
    for one in known.values():
        if which.upper() == one.code or which.lower() == one.name:
            return one
    raise _unknown(known, which, noun, nouns)


def chosen(
    known: Mapping[str, _Found], select: Iterable[str], ignore: Iterable[str], noun: str, nouns: str
) -> list[_Found]:
    """Those of codes, of beginnings of codes (``CT1`` is a group), or of names, less those that are ignored.

    Raises:
        UsageError: for what is none of them.
    """
    names = {one.name: code for code, one in known.items()}
    wanted, unwanted = (
        tuple(names.get(part.lower(), part.upper()) for part in parts) for parts in (tuple(select), tuple(ignore))
    )
    for code in (*wanted, *unwanted):
        if not code or not any(one.startswith(code) for one in known):
            raise _unknown(known, code, noun, nouns)
    return [
        one
        for code, one in known.items()
        if (not wanted or code.startswith(wanted)) and not (unwanted and code.startswith(unwanted))
    ]


def _unknown(known: Mapping[str, _Found], which: str, noun: str, nouns: str) -> UsageError:
    hint = did_you_mean(which, [*known, *(one.name for one in known.values())])
    return UsageError(f"there is no {noun} {which!r}", hint=hint or f"the {nouns} are {', '.join(known)}")
