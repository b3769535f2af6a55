"""Results kept between runs of the command line: by the template, what was asked for, and the program itself."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from chattmpl import cache
from chattmpl.annotate.proof import Proof
from chattmpl.annotate.refusal import CannotAnnotate
from chattmpl.conversation import Conversation
from chattmpl.laws.outcome import Counterexample
from chattmpl.source import Place, Source

_FOLDERS = ("annotate", "laws", "lint", "provenance")


@lru_cache
def _program() -> str:
    """When what tags are placed by was last changed."""
    root = Path(__file__).parents[1]
    files = [*root.glob("*.py"), *(path for folder in _FOLDERS for path in (root / folder).rglob("*.py"))]
    return str(max(path.stat().st_mtime_ns for path in files))


def load(key: tuple[str, ...]) -> tuple[str, Proof] | CannotAnnotate | None:
    """What was found for this, if it was: a source with its proof, or why there is none."""
    stored: dict[str, Any] | None = cache.load("annotate", _program(), *key)
    if stored is None:
        return None
    if "source" in stored:
        return stored["source"], Proof.from_dict(stored["proof"])
    shown = stored["counterexample"]
    if shown is not None:
        conversation = Conversation.coerce(shown["conversation"])
        shown = Counterexample(**{**shown, "conversation": conversation, "place": _place(shown["place"])})
    return CannotAnnotate(
        stored["message"],
        law=stored["law"],
        hint=stored["hint"],
        place=_place(stored["place"]),
        counterexample=shown,
    )


def store(key: tuple[str, ...], found: tuple[str, Proof] | CannotAnnotate) -> None:
    """Keep what was found."""
    if isinstance(found, tuple):
        cache.store({"source": found[0], "proof": found[1].to_dict()}, "annotate", _program(), *key)
        return
    shown: Any = found.counterexample
    if shown is not None:
        data = shown.to_dict()
        data.pop("difference")
        shown = {**data, "place": _placed(shown.place), "hint": shown.hint}
    refused = {
        "message": found.message,
        "law": found.law,
        "hint": found.hint,
        "place": _placed(found.place),
        "counterexample": shown,
    }
    cache.store(refused, "annotate", _program(), *key)


def _placed(place: Place | None) -> tuple[str, str, int, int] | None:
    return None if place is None else (place.source.text, place.source.name, place.start, place.end)


def _place(stored: tuple[str, str, int, int] | None) -> Place | None:
    return None if stored is None else Place(Source(stored[0], stored[1]), stored[2], stored[3])
