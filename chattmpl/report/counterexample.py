"""Counterexamples as text: the problem, the template line, both texts, the conversation and a hint."""

from __future__ import annotations

import json
from collections.abc import Iterator

from chattmpl.laws import Counterexample
from chattmpl.printable import visible

_LONGEST = 2_000
"""The most characters of a conversation to show; some counterexamples cannot be shrunk further."""


def counterexample_text(found: Counterexample, name: str) -> str:
    """Return a counterexample as text, without control characters.

    Args:
        found: what breaks a law.
        name: what to call the template where its line is not known.
    """
    return visible("\n".join(_parts(found, name)))


def headline(found: Counterexample, name: str) -> str:
    """Return the first line: place, law and message."""
    return visible(f"{found.place or name}: {found.law}: {found.message}")


def _parts(found: Counterexample, name: str) -> Iterator[str]:
    yield headline(found, name)
    if found.place is not None:
        yield found.place.excerpt()
    yield from found.excerpts() or ()
    yield from conversation_text(found)
    if found.hint:
        yield f"hint: {found.hint}"


def conversation_text(found: Counterexample) -> Iterator[str]:
    """Yield the kwargs and the conversation as JSON to paste, cut if it is long."""
    kwargs = f", with {json.dumps(found.kwargs, ensure_ascii=False)}" if found.kwargs else ""
    yield f"the smallest conversation that shows it{kwargs}:"
    shown = _conversation(found)
    yield shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"


def _conversation(found: Counterexample) -> str:
    """Return the conversation as JSON, one line per message; only the messages if it has nothing else."""
    dumped = found.conversation.dump()
    messages = [json.dumps(message, ensure_ascii=False) for message in dumped.pop("messages")]
    rest = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in dumped.items()]
    listed = "[" + ",\n   ".join(messages) + "]"
    if not rest:
        return f"  {listed}"
    return "  {" + ",\n   ".join([*rest, f'"messages": {listed}']) + "}"
