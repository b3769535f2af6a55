"""The picture of a rendering: what there is to see, whatever draws it.

A picture is a list of frames, one for each turn and for each stretch of text outside of turns. A frame is a list of
pieces: characters that have the same origin, the same token and the same mask, and so look the same.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Literal

from chattmpl.report.losses import Loss, losses
from chattmpl.report.visible import visible
from chattmpl.template.rendering import Rendering, Span

if TYPE_CHECKING:
    from chattmpl.encode import Encoding
    from chattmpl.template.template import Template

Kind = Literal["template", "control", "field"]

_LOOKS_LIKE_CONTROL = (
    r"<\|[^<>|\s]+\|>|<｜[^<>｜\s]+｜>|\[/?[A-Z][A-Z_]+\]|</?s>|<(?:bos|eos|pad|unk)>"
    r"|<(?:start|end)_of_\w+>|</?(?:think|tool_\w+)>"
)
"""What control tokens look like, for a template of which nothing is known."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Characters that look the same.

    Attributes:
        text: the characters.
        span: the span that they are a part of.
        kind: whether they are the template's own text, one of its control tokens, or a field's.
        tokens: indices of the tokens that cover them; empty without a tokenizer, and where it drops white space.
        shade: counts the tokens, so that neighbours can be told apart.
        trained: whether one of these tokens is trained; None without a tokenizer.
        escaped: a control token of a message, encoded as ordinary text.
        straddles: the token goes across an edge of a generated span.
    """

    text: str
    span: Span
    kind: Kind
    tokens: range = range(0)
    shade: int = 0
    trained: bool | None = None
    escaped: bool = False
    straddles: bool = False

    @property
    def origin(self) -> str:
        """Where the characters came from, in words: the field, and the line of the template that wrote them."""
        span = self.span
        path = field_path(span.message, span.field)
        if span.derived:
            where = f"computed from {path}" if span.field else "computed"
        else:
            where = path or "the template's own text"
        return visible(where) + (f" · template line {span.line}" if span.line else "")


@dataclass(frozen=True, slots=True)
class Frame:
    """A turn, or a stretch of text outside of turns (``turn`` is None).

    Attributes:
        turn: index of the message.
        title: what stands at its top.
        pieces: its text.
        characters, generated: how many there are, and how many of them the model samples.
        tokens, trained: the same for tokens; None without a tokenizer.
    """

    turn: int | None
    title: str
    pieces: tuple[Piece, ...]
    characters: int
    generated: int
    tokens: int | None = None
    trained: int | None = None

    @property
    def counts(self) -> str:
        """The counts, in words."""
        if self.tokens is not None:
            return f"{_number(self.tokens, 'token')}" + (f", {self.trained} trained" if self.trained else "")
        return f"{_number(self.characters, 'character')}" + (f", {self.generated} generated" if self.generated else "")


@dataclass(frozen=True, slots=True)
class Picture:
    """All that is drawn of one rendering.

    Attributes:
        name: what the conversation is called.
        template: the template, and its policy, in words.
        tokenizer: what the tokenizer is called, if there is one.
        frames: the text.
        losses: the fields that no character came from.
        warnings: what else a person should know, each a headline and its details.
        summary: the counts of the whole.
    """

    name: str
    template: str
    tokenizer: str | None
    frames: tuple[Frame, ...]
    losses: tuple[Loss, ...]
    warnings: tuple[tuple[str, tuple[str, ...]], ...]
    summary: tuple[str, ...]


def picture(
    rendering: Rendering,
    encoding: Encoding | None = None,
    *,
    name: str = "conversation",
    tokenizer: str | None = None,
    generation_prompt: bool = False,
) -> Picture:
    """The picture of a rendering, with its tokens and mask if there is an encoding.

    Args:
        rendering: the rendering.
        encoding: its tokens, neither cut nor padded.
        name: what to call the conversation, usually its path.
        tokenizer: what to call the tokenizer.
        generation_prompt: the text ends with the generation prompt.
    """
    frames = tuple(_frames(rendering, encoding, generation_prompt))
    template = rendering.template
    policy = f", retention {template.retention}" if template.retention else ""
    return Picture(
        name=visible(name),
        template=visible(template.name) + policy,
        tokenizer=None if tokenizer is None else visible(tokenizer),
        frames=frames,
        losses=losses(rendering),
        warnings=tuple(_warnings(rendering, encoding)),
        summary=_summary(rendering, encoding),
    )


def field_path(message: int | None, field: str | None) -> str:
    """A field as people write it: ``messages[1].content``, ``tools[0].function.name``; empty for the template's own."""
    where = "" if message is None else f"messages[{message}]"
    return ".".join(filter(None, (where, field)))


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _frames(rendering: Rendering, encoding: Encoding | None, prompted: bool) -> Iterator[Frame]:
    pieces = _pieces(rendering, encoding)
    turns = [(turn, tuple(group)) for turn, group in groupby(pieces, key=lambda piece: piece.span.turn)]
    first = next((index for index, (turn, _) in enumerate(turns) if turn is not None), len(turns))
    end = 0
    for index, (turn, group) in enumerate(turns):
        start, end = end, end + sum(len(piece.text) for piece in group)
        last = index == len(turns) - 1
        if turn is not None:
            title = _title(rendering, turn, group)
        elif last and prompted:
            title = "generation prompt"
        else:
            title = "before the first turn" if index < first else "after the last turn" if last else "between turns"
        generated = sum(len(piece.text) for piece in group if piece.span.generated)
        counts = (None, None) if encoding is None else _token_counts(encoding, start, end)
        yield Frame(turn, title, group, end - start, generated, *counts)


def _title(rendering: Rendering, turn: int, pieces: Sequence[Piece]) -> str:
    """The index and role of a message, and the other messages of which its turn has a part."""
    messages = rendering.conversation.messages
    others = sorted({index for piece in pieces if (index := piece.span.message) is not None and index != turn})
    name = f" {messages[turn].name}" if messages[turn].name else ""
    within = "".join(f", with {other} {messages[other].role}" for other in others)
    return visible(f"{turn} {messages[turn].role}{name}{within}")


def _token_counts(encoding: Encoding, start: int, end: int) -> tuple[int, int]:
    first, last = (bisect.bisect_left(encoding.starts_c, place) for place in (start, end))
    return last - first, sum(encoding.assistant_masks[first:last])


def _pieces(rendering: Rendering, encoding: Encoding | None) -> Iterator[Piece]:
    text, spans = rendering.text, rendering.spans
    controls = _controls(rendering)
    escapes = [(escape.start, escape.end) for escape in encoding.escaped] if encoding else []
    cuts = {span.start for span in spans} | {len(text)}
    cuts.update(edge for pair in (*controls, *escapes) for edge in pair)
    straddling = set()
    if encoding is not None:
        cuts.update(encoding.starts_c, encoding.ends_c)
        straddling = {straddle.token_t for straddle in encoding.straddles}
    shade, seen, at = 0, range(0), 0
    for start, end in pairwise(sorted(cuts)):
        while spans[at].end <= start:
            at += 1
        span = spans[at]
        kind: Kind = "control" if _inside(controls, start) else "template" if span.literal else "field"
        if encoding is None:
            yield Piece(text[start:end], span, kind)
            continue
        first = bisect.bisect_right(encoding.ends_c, start)
        tokens = range(first, max(first, bisect.bisect_left(encoding.starts_c, end)))
        shade, seen = (shade, seen) if tokens == seen else (shade + 1, tokens)
        yield Piece(
            text[start:end],
            span,
            kind,
            tokens,
            shade,
            any(encoding.assistant_masks[token] for token in tokens),
            _inside(escapes, start),
            not straddling.isdisjoint(tokens),
        )


def _inside(ranges: Sequence[tuple[int, int]], offset: int) -> bool:
    at = bisect.bisect_right(ranges, offset, key=lambda pair: pair[0]) - 1
    return at >= 0 and offset < ranges[at][1]


def _controls(rendering: Rendering) -> list[tuple[int, int]]:
    """Where the template wrote a control token; one with a role in it (``<|user|>``) is the template's own too."""
    own = [span for span in rendering.spans if not span.literal and span.field != "role"]
    foreign = [(span.start, span.end) for span in own]
    found = []
    for match in _control_pattern(rendering.template).finditer(rendering.text):
        at = bisect.bisect_right(foreign, match.start(), key=lambda pair: pair[1])
        if at == len(foreign) or foreign[at][0] >= match.end():
            found.append(match.span())
    return found


def _control_pattern(template: Template) -> re.Pattern[str]:
    known = {token for token in template.tokens.values() if token}
    if template.family is not None:
        known.update(template.family.generation.control_tokens, template.family.generation.stop_tokens)
    names = [re.escape(token) for token in sorted(known, key=len, reverse=True)]
    return re.compile("|".join(names if template.family else [*names, _LOOKS_LIKE_CONTROL]) or r"(?!)")


def _warnings(rendering: Rendering, encoding: Encoding | None) -> Iterator[tuple[str, tuple[str, ...]]]:
    assistants = any(message.role == "assistant" for message in rendering.conversation.messages)
    if assistants and not rendering.generated:
        yield (
            "nothing is generated",
            ("no character stands inside {% generation %}…{% endgeneration %}, so nothing would be trained",),
        )
    elif encoding is not None and rendering.generated and not any(encoding.assistant_masks):
        yield "nothing is trained", ("the choice of mask and the messages' own flags leave no token",)
    if encoding is None:
        return
    if encoding.straddles:
        details = tuple(
            f"token {straddle.token_t} {_quoted(straddle.text)} goes across the {straddle.side} of a generated span"
            + ("" if straddle.message_m is None else f" of turn {straddle.message_m}")
            for straddle in encoding.straddles
        )
        yield f"{_number(len(details), 'token')} {_verb(details, 'straddles', 'straddle')} an edge", details
    if encoding.escaped:
        details = tuple(
            f"{_quoted(escape.text)} in {visible(field_path(escape.message, escape.field)) or 'the text'}"
            for escape in encoding.escaped
        )
        verb = _verb(details, "was", "were")
        yield f"{_number(len(details), 'control token')} of a message {verb} encoded as ordinary text", details


def _verb(items: Sequence[object], one: str, many: str) -> str:
    return one if len(items) == 1 else many


def _quoted(text: str) -> str:
    return '"' + visible(text).replace("\n", "↵").replace("\t", "⇥") + '"'


def _summary(rendering: Rendering, encoding: Encoding | None) -> tuple[str, ...]:
    parts = [
        _number(len(rendering.conversation.messages), "message"),
        _number(len(rendering.text), "character"),
        _number(len(rendering.generated), "generated span"),
    ]
    if encoding is not None:
        tokens, trained = len(encoding), sum(encoding.assistant_masks)
        parts += [_number(tokens, "token"), f"{trained:,} trained ({trained / max(tokens, 1):.1%})"]
    return tuple(parts)
