"""Registries of rules and checks: classes found in the modules of a package, looked up by code or name."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

from chattmpl.diagnostic import Severity
from chattmpl.errors import UsageError, did_you_mean


class Documented:
    """Base class of rules, checks and laws. The docstring of each is its documentation.

    Attributes:
        code: the code of its diagnostics.
        name: a few words with hyphens.
        severity: of its diagnostics, unless they say otherwise.
    """

    code: ClassVar[str]
    name: ClassVar[str]
    severity: ClassVar[Severity]

    @classmethod
    def documentation(cls) -> str:
        """Return the docstring without its indentation, in Markdown."""
        return inspect.cleandoc(cls.__doc__ or "")


class Entry(Documented):
    """Base class of rules and checks, which are named by their module: ``au101_nothing_trained``, for example.

    Its code is then AU101, letters for the kind of entry with the digit of its group and two more, and its name
    is nothing-trained. After the summary, its docstring says what it does.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        code, _, name = cls.__module__.rpartition(".")[2].partition("_")
        if "code" not in vars(cls):
            cls.code, cls.name = code.upper(), name.replace("_", "-")

    @classmethod
    def documentation(cls) -> str:
        """Return the docstring in Markdown, with a heading after its summary."""
        summary, _, rest = super().documentation().partition("\n\n")
        return f"{summary}\n\n## What it does\n\n{rest}"


_Entry = TypeVar("_Entry", bound=Entry)


class Registry(Generic[_Entry]):
    """The entries in the modules of a package, one in each.

    Args:
        base: the base class of the entries.
        noun: the word for an entry in errors.
    """

    def __init__(self, package: str, base: type[Any], noun: str) -> None:
        self._package, self._base, self._noun = package, base, noun

    @cached_property
    def _entries(self) -> Mapping[str, _Entry]:
        return dict(sorted((entry.code, entry) for entry in self._discover()))

    def entries(self) -> Mapping[str, _Entry]:
        """Return all entries by code, in its order; raise `TypeError` if a module does not define exactly one."""
        return self._entries

    def named(self, which: str) -> _Entry:
        """Return the entry with a code or a name, in any case; raise `UsageError` if there is none."""
        for entry in self._entries.values():
            if which.upper() == entry.code or which.lower() == entry.name:
                return entry
        raise self._unknown(which)

    def select(self, select: Iterable[str] = (), ignore: Iterable[str] = ()) -> list[_Entry]:
        """Return the entries with these codes, prefixes of codes (``CT1`` is a group), or names; all by default.

        Raises:
            UsageError: one of them matches no entry.
        """
        names = {entry.name: code for code, entry in self._entries.items()}
        wanted, unwanted = (
            tuple(names.get(part.lower(), part.upper()) for part in parts) for parts in (tuple(select), tuple(ignore))
        )
        for code in (*wanted, *unwanted):
            if not code or not any(other.startswith(code) for other in self._entries):
                raise self._unknown(code)
        return [
            entry
            for code, entry in self._entries.items()
            if (not wanted or code.startswith(wanted)) and not (unwanted and code.startswith(unwanted))
        ]

    def _discover(self) -> Iterator[_Entry]:
        path = importlib.import_module(self._package).__path__
        for name in sorted(f"{self._package}.{module.name}" for module in pkgutil.iter_modules(path)):
            classes: list[Any] = [
                item
                for item in vars(importlib.import_module(name)).values()
                if inspect.isclass(item) and issubclass(item, self._base) and item.__module__ == name
            ]
            if len(classes) != 1:
                raise TypeError(f"{name} must define one {self._noun}, not {len(classes)}")
            yield classes[0]()

    def _unknown(self, which: str) -> UsageError:
        known = self._entries
        hint = did_you_mean(which, [*known, *(entry.name for entry in known.values())])
        hint = hint or f"the {self._noun}s are {', '.join(known)}"
        return UsageError(f"there is no {self._noun} {which!r}", hint=hint)
