"""Search for the place in a template that wrote a character of a rendering."""

import bisect
import re
from typing import Any

from chattmpl.source import Place
from chattmpl.syntax.items import Output, Tag, Text
from chattmpl.syntax.nodes import Constant
from chattmpl.template.spans import Span
from chattmpl.template.template import Rendering, Template


def written_at(
    rendering: Rendering, at_c: int, *, prompt: bool = False, clock: Any = None, kwargs: dict[str, Any] | None = None
) -> Place:
    """Return the place that wrote a character: the string constant, the variable, or the tag.

    This renders the conversation again: a rendering has only the lines of its spans, and templates with a single line
    of 5,000 characters are common.

    Args:
        rendering: the rendering.
        at_c: the character; the last one if the text ends before it.
        prompt: whether it was rendered with the generation prompt.
        clock: the time of the rendering.
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
    """Return the place that wrote a character, from the line of its span and words that occur once on that line.

    This is less exact than `written_at`, but does not render again.
    """
    if not rendering.spans:
        return top(rendering.template)
    span = span_at(rendering, at_c)
    text = rendering.text[span.start : span.end]
    behind = text[max(at_c - span.start, 0) :]
    # The whole text as a string constant, then parts of it.
    words = [repr(text), text.strip(), *behind.split(), *text.split()]
    field = (span.field or "").rpartition(".")[2].partition("[")[0]
    # Consecutive constants share a span.
    tokens = re.findall(r"<[^<>\s]+>", behind)[:1]
    quoted = [repr(token) for token in tokens]
    words = [*words[:1], *quoted, *words[1:8], *tokens, field]
    return on_line(rendering.template, span.line, *words, generated=span.generated)


def on_line(template: Template, number: int | None, *words: str, generated: bool | None = None) -> Place:
    """Return the place of a word on a line if it occurs exactly once there, else that of the line.

    Words that may occur are given the most specific first; ``generated`` says whether they are inside a generation tag.
    Lines count from 1; None is the top of the template.
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
    """Return whether an offset of the source is inside a generation tag."""
    return any(
        block.opening.end <= offset < block.closing.start for block in template.program.syntax.blocks("generation")
    )


def span_at(rendering: Rendering, at_c: int) -> Span:
    """Return the span of a character, or the last one."""
    return next((span for span in rendering.spans if at_c < span.end), rendering.spans[-1])


def top(template: Template) -> Place:
    """Return the place for problems of the whole template: its first line that is not empty."""
    source = template.program.source
    offset = len(source.text) - len(source.text.lstrip())
    return Place.of_line(source, source.position(min(offset, max(len(source.text) - 1, 0)))[0])


def _within(template: Template, offset: int, piece: str, at_c: int, span: Span) -> Place:
    """Return the place of the part of the statement at an offset that wrote a character of a piece, which has one
    origin.
    """
    source, tree = template.program.source, template.program.syntax
    node = tree.at(offset)
    if isinstance(node, Text):
        found = node.value.find(piece)
        begin = node.start + found + at_c if found >= 0 else node.end - len(node.value.lstrip())
        return _up_to_newline(Place(source, begin, node.end))
    item = tree.item_at(offset)
    if not isinstance(item, (Tag, Output)):
        return Place.of_line(source, source.position(offset)[0])
    tag = Place(source, item.start, item.end)
    if span.literal:
        constant = _constant(item, piece, at_c)
        return tag if constant is None else Place(source, constant.start, constant.end)
    names = [part.partition("[")[0] for part in reversed((span.field or "").split("."))]
    for name in filter(None, names):
        match = re.search(rf"\b{re.escape(name)}\b", item.text)
        if match:
            return Place(source, item.start + match.start(), item.start + match.end())
    return tag


def _constant(item: Tag | Output, piece: str, at_c: int) -> Constant | None:
    """Return the string constant of a tag that equals the piece, or the one that wrote its character."""
    constants = [(node, node.value) for node in item.find(Constant) if isinstance(node.value, str)]
    exact = [node for node, value in constants if value == piece]
    begun = [node for node, value in constants if value and piece[at_c:].startswith(value)]
    partly = [node for node, value in constants if value and value in piece]
    return next((chosen[0] for chosen in (exact, begun, partly) if len(chosen) == 1), None)


def _up_to_newline(place: Place) -> Place:
    newline = place.source.text.find("\n", place.start, place.end)
    return Place(place.source, place.start, newline if newline > place.start else max(place.end, place.start + 1))
