"""Which place of a template wrote a character of what it rendered, as closely as that can be known."""

from __future__ import annotations

import bisect
import re
from typing import Any

from chattmpl.source import Place
from chattmpl.syntax.lexer import tokens
from chattmpl.template.spans import Span
from chattmpl.template.template import Rendering, Template

_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_NO_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\[^\nnrtabfv\\'\"0-7xuUN]")
_TAG = re.compile(r"[%}]\}")


def written_at(
    rendering: Rendering,
    at_c: int,
    *,
    prompt: bool = False,
    clock: Any = None,
    kwargs: dict[str, Any] | None = None,
) -> Place:
    """The place that wrote a character: the string constant, the variable, or the tag.

    The conversation is rendered once more, for a rendering knows the lines of its spans only, and templates on one line
    of 5,000 characters are common.

    Args:
        rendering: what was rendered.
        at_c: the character; the last one where the text ends before it.
        prompt: whether it was rendered with the generation prompt.
        clock: what time the template was told.
        kwargs: the template kwargs that it was rendered with.
    """
    template = rendering.template
    if not rendering.text:
        return top(template)
    at_c = min(at_c, len(rendering.text) - 1)
    pieces = template.writers(rendering.conversation, prompt, clock, **(kwargs or {}))
    index = bisect.bisect_right([end for end, _ in pieces], at_c)
    span = span_at(rendering, at_c)
    if index >= len(pieces) or pieces[index][1] is None:
        return top(template) if span.line is None else Place.of_line(template.program.source, span.line)
    start = pieces[index - 1][0] if index else 0
    offset = pieces[index][1]
    assert offset is not None
    return _within(template, offset, rendering.text[start : pieces[index][0]], at_c - start, span)


def seen_at(rendering: Rendering, at_c: int) -> Place:
    """The place that wrote a character, from what the rendering knows: its line, and what stands there but once.

    It is less exact than `written_at`, and costs nothing.
    """
    if not rendering.spans:
        return top(rendering.template)
    span = span_at(rendering, at_c)
    text = rendering.text[span.start : span.end]
    behind = text[max(at_c - span.start, 0) :]
    # As a string constant of its own, else as a part of something.
    words = [repr(text), text.strip(), *behind.split(), *text.split()]
    field = (span.field or "").rpartition(".")[2].partition("[")[0]
    # Constants that were written one behind the other are one span.
    tokens = re.findall(r"<[^<>\s]+>", behind)[:1]
    quoted = [repr(token) for token in tokens]
    words = [*words[:1], *quoted, *words[1:8], *tokens, field]
    return on_line(rendering.template, span.line, *words, generated=span.generated)


def on_line(template: Template, number: int | None, *words: str, generated: bool | None = None) -> Place:
    """A line, or one of the words in it, if it is clear which is meant.

    Args:
        template: whose line.
        number: the line, from 1; None for the top of the template.
        words: what may stand there, the most telling first.
        generated: whether the words stand inside of a generation tag; None if that is not known.
    """
    if number is None:
        return top(template)
    source = template.program.source
    text, start = source.line_text(number), source.line_offset(number)
    for word in filter(None, words):
        offsets = [start + match.start() for match in re.finditer(re.escape(word), text)]
        if len(offsets) > 1 and generated is not None:
            inside = [offset for offset in offsets if _in_tag(template, offset) == generated]
            offsets = inside[: 1 if generated else 2]
        if len(offsets) == 1:
            return Place(source, offsets[0], offsets[0] + len(word))
    return Place.of_line(source, number)


def _in_tag(template: Template, offset: int) -> bool:
    """Whether a generation tag is around an offset of the source."""
    return any(
        block.opening.end <= offset < block.closing.start for block in template.program.syntax.blocks("generation")
    )


def span_at(rendering: Rendering, at_c: int) -> Span:
    """The span of a character, or the last one."""
    return next((span for span in rendering.spans if at_c < span.end), rendering.spans[-1])


def top(template: Template) -> Place:
    """The place of what concerns the whole template: its first line that is not empty."""
    source = template.program.source
    offset = len(source.text) - len(source.text.lstrip())
    return Place.of_line(source, source.position(min(offset, max(len(source.text) - 1, 0)))[0])


def tag_of(template: Template, offset: int) -> Place | None:
    """The tag that holds an offset of the source; None for text between tags."""
    text = template.program.source.text
    start = max(text.rfind(opening, 0, offset + 2) for opening in ("{{", "{%"))
    closing = _TAG.search(text, max(offset, start + 2))
    if start < 0 or closing is None or _TAG.search(text, start + 2, max(offset, start + 2)):
        return None
    return Place(template.program.source, start, closing.end())


def _within(template: Template, offset: int, piece: str, at_c: int, span: Span) -> Place:
    """The part of a statement that wrote a piece.

    Args:
        template: whose statement.
        offset: where the statement stands.
        piece: the text that it wrote, of one origin.
        at_c: the character of the piece that is meant.
        span: where the piece came from.
    """
    source = template.program.source
    for start, kind, value in tokens(source.text):
        if kind == "data" and start <= offset < start + len(value):
            found = value.find(piece)
            begin = start + found + at_c if found >= 0 else start + len(value) - len(value.lstrip())
            return _up_to_newline(Place(source, begin, start + len(value)))
    tag = tag_of(template, offset)
    if tag is None:
        return Place.of_line(source, source.position(offset)[0])
    if span.literal:
        return _constant(tag, piece, at_c) or tag
    names = [part.partition("[")[0] for part in reversed((span.field or "").split("."))]
    for name in filter(None, names):
        match = re.search(rf"\b{re.escape(name)}\b", source.text[tag.start : tag.end])
        if match:
            return Place(source, tag.start + match.start(), tag.start + match.end())
    return tag


def _constant(tag: Place, piece: str, at_c: int) -> Place | None:
    """The string constant of a tag that is the piece, or the one in it that holds its character."""
    inside = list(_STRING.finditer(tag.source.text, tag.start, tag.end))
    values = [_value(match[0][1:-1]) for match in inside]
    exact = [match for match, value in zip(inside, values, strict=True) if value == piece]
    begun = [match for match, value in zip(inside, values, strict=True) if value and piece[at_c:].startswith(value)]
    partly = [match for match, value in zip(inside, values, strict=True) if value and value in piece]
    for chosen in (exact, begun, partly):
        if len(chosen) == 1:
            return Place(tag.source, *chosen[0].span())
    return None


def _value(inside: str) -> str:
    """What a string constant means; as it is written where an escape in it means nothing."""
    if _NO_ESCAPE.search(inside):
        return inside
    return inside.encode("ascii", "backslashreplace").decode("unicode-escape", "replace")


def _up_to_newline(place: Place) -> Place:
    newline = place.source.text.find("\n", place.start, place.end)
    return Place(place.source, place.start, newline if newline > place.start else max(place.end, place.start + 1))
