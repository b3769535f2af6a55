"""Replies: what the assistant wrote in a turn, taken apart into its trace, its answer and its calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chattmpl.parse.block import Row
from chattmpl.parse.grammar import Grammar
from chattmpl.parse.holes import Arguments, is_as_printed
from chattmpl.parse.refusal import Refusal

Reading = dict[str, Any]
"""A message of the assistant, as plain data."""


def readings(grammar: Grammar, text: str, start: int, end: int, *, inline: bool = False) -> list[Reading]:
    """What the reply at ``[start, end)``, without its stop token, may be, the canonical reading first.

    Args:
        grammar: of the family.
        text: the whole text.
        start: where the reply begins, in characters.
        end: where it ends.
        inline: whether its trace may have been part of the content.

    Raises:
        Refusal: it is not written as the family writes replies.
    """
    trace, position = _trace(grammar, text, start, end)
    found: list[Reading] = []
    for answer in _answers(grammar, text, position, end):
        if trace is None:
            found.append(answer)
        else:
            traced = {"role": "assistant", "reasoning_content": trace, **answer}
            keeps = trace or grammar.facts.reply.empty_reasoning
            found += [traced] if keeps else [answer, traced]
    if trace is None and grammar.reasoning:
        # A content that looks like a trace is one, unless the message says that it has none.
        found += [{"role": "assistant", "reasoning_content": "", **reading} for reading in found]
    if inline and trace is not None and not grammar.content:
        found += _answers(grammar, text, start, end)
    return found


def _trace(grammar: Grammar, text: str, start: int, end: int) -> tuple[str | None, int]:
    """The trace that opens the reply, and where it ends."""
    for pattern in grammar.reasoning:
        if (found := pattern.match(text, start, end)) is not None:
            return found.values["reasoning"], found.end
        mark = next((token for token in grammar.control_tokens if pattern.start.startswith(token)), None)
        if mark and text.startswith(mark, start) and start + len(mark) <= end and not _is_content(grammar, mark):
            raise Refusal(
                f"a trace is opened here and not written as {pattern_text(pattern.parts)!r}", start, start + len(mark)
            )
    return None, start


def _is_content(grammar: Grammar, mark: str) -> bool:
    """Whether the token opens the answer as well as the trace."""
    return any(pattern.start.startswith(mark) for pattern in grammar.content)


def pattern_text(parts: Iterable[Any]) -> str:
    """A pattern as a person reads it, with … for the holes."""
    return "".join(part if isinstance(part, str) else "…" for part in parts)


def _answers(grammar: Grammar, text: str, start: int, end: int) -> list[Reading]:
    if grammar.content:
        return [_framed(grammar, text, start, end)]
    called = _called(grammar, text, start, end)
    _check_marks(grammar, text, start, called[0] if called else end)
    found: list[Reading] = []
    if called is not None:
        content = text[start : called[0]]
        before = grammar.facts.reply.before_calls
        if content and before and content.endswith(before):
            content = content[: -len(before)]
        found.append(_message(grammar, content, called[1]))
    alone = grammar.facts.reply.calls_alone
    if called is None or not (alone or (grammar.call_mark and grammar.call_mark in text[called[0] : end])):
        # Calls that begin without a token of their own, such as code, may be content.
        found.append(_message(grammar, text[start:end], None))
    return found


def _check_marks(grammar: Grammar, text: str, start: int, end: int) -> None:
    """Raises where an answer holds the token that opens calls: a call that nobody could read."""
    mark = grammar.call_mark
    found = text.find(mark, start, end) if mark else -1
    if mark and found >= 0 and grammar.calls is not None:
        written = grammar.calls.facts.opens + pattern_text(grammar.calls.each[0].parts)
        raise Refusal(
            f"a tool call begins here, but it is not written as {written!r}, with nothing behind it but other calls",
            found,
            found + len(mark),
        )


def _called(grammar: Grammar, text: str, start: int, end: int) -> tuple[int, Row] | None:
    """The calls that end the reply, and where they begin."""
    if grammar.calls is None:
        return None
    position = start if grammar.facts.reply.calls_alone else grammar.calls.find(text, start, end)
    while 0 <= position < end:
        row = grammar.calls.read(text, position, end)
        if row.closed and row.end == end:
            return position, row
        if grammar.facts.reply.calls_alone:
            return None
        position = grammar.calls.find(text, max(position + 1, row.starts[-1] if row.starts else 0), end)
    return None


def _framed(grammar: Grammar, text: str, start: int, end: int) -> Reading:
    """An answer with a frame, and calls."""
    for pattern in grammar.content:
        found = pattern.match(text, start, end, full=True)
        if found is not None:
            return _message(grammar, found.values["content"], None)
    for content, position in _before_calls(grammar, text, start, end):
        row = grammar.calls.read(text, position, end) if grammar.calls else Row((), (), position, False)
        if row.closed and row.end == end:
            return _message(grammar, content, row)
    known = " or ".join(repr(pattern_text(pattern.parts)) for pattern in grammar.content)
    raise Refusal(f"neither an answer ({known}) nor a tool call as this family writes them", start, end)


def _before_calls(grammar: Grammar, text: str, start: int, end: int) -> list[tuple[str, int]]:
    found = [(pattern.match(text, start, end)) for pattern in grammar.content]
    return [("", start), *((match.values["content"], match.end) for match in found if match is not None)]


def _message(grammar: Grammar, content: str, row: Row | None) -> Reading:
    reading: Reading = {"role": "assistant", "content": content}
    if row is not None:
        reading["tool_calls"] = [call_of(grammar, values) for values in row.items]
    return reading


def call_of(grammar: Grammar, values: Mapping[str, Any]) -> dict[str, Any]:
    """A tool call, from what the holes of its pattern held."""
    if "python" in values:
        return {"type": "function", "function": {"name": "python", "arguments": {"code": values["python"]}}}
    call: dict[str, Any] = {"id": values["id"]} if "id" in values else {}
    call["type"] = values.get("type", "function")
    call["function"] = {"name": values["name"], "arguments": _arguments(grammar, values.get("arguments"))}
    if values.get("content_type", "json") != "json":
        call["function"]["content_type"] = values["content_type"]
    return call


def _arguments(grammar: Grammar, found: Any) -> Any:
    if not isinstance(found, Arguments):
        return found
    if grammar.facts.reply.verbatim_arguments:
        return found.value if isinstance(found.value, dict) and is_as_printed(found) else found.text
    return found.value if isinstance(found.value, dict | str) else found.text
