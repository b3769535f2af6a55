"""Streams: a text that comes piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from chattmpl.conversation.models import Conversation, Message
from chattmpl.errors import UsageError
from chattmpl.parse.grammar import Grammar
from chattmpl.parse.pattern import Pattern
from chattmpl.parse.reply import call_of


class Parser:
    """A text that is fed in pieces, cut anywhere, and parsed as a whole in the end.

    Args:
        finish: parses the whole text.
        messages: from a text, the messages that are known so far.
    """

    def __init__(self, finish: Callable[[str], Conversation], messages: Callable[[str], list[Message]]) -> None:
        self._finish = finish
        self._messages = messages
        self._pieces: list[str] = []
        self._known: tuple[int, list[Message]] | None = None

    @property
    def text(self) -> str:
        """All that was fed."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def feed(self, text: str) -> None:
        """Adds a piece of text.

        Raises:
            UsageError: it is no text.
        """
        if not isinstance(text, str):
            raise UsageError(
                f"a parser is fed with text, not with {type(text).__name__}", hint="decode the tokens first"
            )
        if text:
            self._pieces.append(text)
            self._known = None

    @property
    def messages(self) -> list[Message]:
        """What is known so far: for a completion the one message, as far as it goes; else the turns that are closed.

        What might be the beginning of a control token is held back: of a completion that can be parsed, nothing that
        was known is taken back by what comes later. Of a conversation only the last turn may be, where what looks like
        its end is in its content.
        """
        text = self.text
        if self._known is None or self._known[0] != len(text):
            self._known = len(text), self._messages(text)
        return list(self._known[1])

    def finish(self) -> Conversation:
        """What parsing the whole text gives.

        Raises:
            NotRepresentable: see `chattmpl.Template.parse`.
        """
        return self._finish(self.text)


def partial_reply(grammar: Grammar, text: str, start: int) -> dict[str, Any]:
    """What is known of a reply that begins at ``start`` and of which more may come."""
    message: dict[str, Any] = {"role": "assistant"}
    position = start
    for pattern in grammar.reasoning:
        if pattern.start.startswith(text[start:]):
            return message
        found = pattern.match(text, start, len(text))
        if found is not None:
            trace = found.values["reasoning"]
            if trace or grammar.facts.reply.empty_reasoning:
                message["reasoning_content"] = trace
            position = found.end
        elif text.startswith(pattern.start, start):
            message["reasoning_content"] = _held(text[start + len(pattern.start) :], _after(pattern))
            return message
    if grammar.content:
        return {**message, **_framed(grammar, text, position)}
    return {**message, **_plain(grammar, text, position)}


def _plain(grammar: Grammar, text: str, position: int) -> dict[str, Any]:
    """Content without a frame, up to where calls may begin."""
    before = grammar.facts.reply.before_calls
    if grammar.calls is None:
        return _content(_held(text[position:], grammar.endings))
    if grammar.facts.reply.calls_alone:
        rest = text[position:]
        if any(rest.startswith(start) or start.startswith(rest) for start in grammar.calls.starts):
            return {}  # it may be a call until the turn is over
        return _content(_held(text[position:], grammar.endings))
    begins = grammar.calls.find(text, position, len(text))
    if begins < 0:
        starts = [before + start for start in grammar.calls.starts] + list(grammar.calls.starts)
        return _content(_held(text[position:], [*grammar.endings, *starts]))
    content = text[position:begins]
    known = _content(content[: -len(before)] if before and content.endswith(before) else content)
    if grammar.call_mark is None or grammar.call_mark not in text[begins:]:
        return known  # without such a token it may be content after all
    return {**known, **_calls(grammar, text, begins)}


def _framed(grammar: Grammar, text: str, position: int) -> dict[str, Any]:
    for pattern in grammar.content:
        found = pattern.match(text, position, len(text))
        after = _after(pattern)
        if found is not None and after:
            return {"content": found.values["content"], **_calls(grammar, text, found.end)}
        if text.startswith(pattern.start, position) and len(text) > position:
            return {"content": _held(text[position + len(pattern.start) :], after or grammar.endings)}
    return _calls(grammar, text, position)


def _calls(grammar: Grammar, text: str, position: int) -> dict[str, Any]:
    """The calls that are complete."""
    if grammar.calls is None or not (grammar.calls.facts.closes or all(map(_after, grammar.calls.each))):
        return {}  # only the stop token tells where it ends
    row = grammar.calls.read(text, position, len(text))
    if not row.closed:
        return {}
    return {"tool_calls": [call_of(grammar, values) for values in row.items]}


def _content(text: str) -> dict[str, Any]:
    return {"content": text} if text else {}


def _after(pattern: Pattern) -> list[str]:
    last = pattern.parts[-1]
    return [last] if isinstance(last, str) else []


def _held(text: str, marks: Iterable[str]) -> str:
    """The text without an end that may be the beginning of a mark, or is one."""
    cut = len(text)
    for mark in marks:
        for length in range(min(len(mark), len(text)), 0, -1):
            if text.endswith(mark[:length]):
                cut = min(cut, len(text) - length)
                break
    return text[:cut]
