"""Results that take long, kept between runs of the command line: by the template, what was asked, and the program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from chattmpl import cache
from chattmpl.conversation.models import Conversation
from chattmpl.laws.outcome import Counterexample
from chattmpl.source import Place, Source
from chattmpl.template.template import Template

Result = TypeVar("Result")
Refusal = TypeVar("Refusal", bound=Exception)

_LATER = frozenset({"cli", "compare", "data", "playground", "report", "testing", "training"})
"""Folders of modules that no result depends on."""


@dataclass(frozen=True)
class Kind(Generic[Result, Refusal]):
    """One kind of results, and how each is written as plain data and read again.

    Attributes:
        name: of the kind.
        refusal: the error that is a result as well.
    """

    name: str
    refusal: type[Refusal]
    dump: Callable[[Result], Any]
    load: Callable[[Any], Result]
    dump_refusal: Callable[[Refusal], Any]
    load_refusal: Callable[[Any], Refusal]

    def of(self, template: Template, asked: tuple[str, ...], make: Callable[[], Result]) -> Result:
        """The result for a template, found or made; a refusal is raised, and kept as well.

        Args:
            template: what it is made from.
            asked: what else it depends on.
            make: makes it.
        """
        key = (self.name, _program(), *_identity(template), *asked)
        stored = cache.load(*key)
        if stored is not None:
            if "refusal" in stored:
                raise self.load_refusal(stored["refusal"])
            return self.load(stored["result"])
        try:
            found = make()
        except self.refusal as error:
            cache.store({"refusal": self.dump_refusal(error)}, *key)
            raise
        cache.store({"result": self.dump(found)}, *key)
        return found


def _identity(template: Template) -> tuple[str, ...]:
    return (
        template.source,
        template.program.source.name,
        repr(sorted(template.tokens.items())),
        template.name,
        str(template.retention),
    )


@lru_cache
def _program() -> str:
    """When the program was last changed."""
    root = Path(__file__).parents[1]
    files = [path for path in root.rglob("*.py") if path.relative_to(root).parts[0] not in _LATER]
    return str(max(path.stat().st_mtime_ns for path in files))


def placed(place: Place | None) -> tuple[str, str, int, int] | None:
    """A place as plain data."""
    return None if place is None else (place.source.text, place.source.name, place.start, place.end)


def place(stored: tuple[str, str, int, int] | None) -> Place | None:
    """What `placed` wrote."""
    return None if stored is None else Place(Source(stored[0], stored[1]), stored[2], stored[3])


def shown(found: Counterexample | None) -> dict[str, Any] | None:
    """A counterexample as plain data."""
    if found is None:
        return None
    data = found.to_dict()
    data.pop("difference")
    return {**data, "place": placed(found.place), "hint": found.hint}


def counterexample(stored: dict[str, Any] | None) -> Counterexample | None:
    """What `shown` wrote."""
    if stored is None:
        return None
    conversation = Conversation.coerce(stored["conversation"])
    return Counterexample(**{**stored, "conversation": conversation, "place": place(stored["place"])})


__all__ = ["Kind", "counterexample", "place", "placed", "shown"]
