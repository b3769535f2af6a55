"""Pictures of renderings, independent of the output format.

A picture is a list of frames, one for each turn and one for each stretch of text outside turns. A frame is a list of
pieces: characters with the same origin, token and mask, which are drawn alike.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any, Literal

from chattmpl.printable import count, excerpt, one_line, visible
from chattmpl.probing.control_tokens import control_pattern
from chattmpl.provenance.origin import field_path
from chattmpl.template.spans import Span
from chattmpl.template.template import Rendering, why_lost

if TYPE_CHECKING:
    from chattmpl.encode import Encoding

Kind = Literal["template", "control", "field"]

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Piece:
    """Characters that are drawn alike: of one span, token and kind.

    Attributes:
        kind: the template's text, one of its control tokens, or text of a field.
        tokens: indices of the tokens that cover them; empty without a tokenizer and where it drops white space.
        shade: running number of the token, to shade neighbours differently.
        trained: true if one of these tokens is trained; None without a tokenizer.
        escaped: true for a control token in a message, encoded as ordinary text.
        straddles: true if the token straddles an edge of a generated span.
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
        """The field that the characters came from, and the template line that wrote them."""
        span = self.span
        path = field_path(span.message, span.field)
        if span.derived:
            where = f"computed from {path}" if span.field else "computed"
        else:
            where = path or "the template's own text"
        return visible(where) + (f" · template line {span.line}" if span.line else "")


@dataclass(frozen=True, slots=True)
class Frame:
    """A turn, or a stretch of text outside turns (``turn`` is None).

    Attributes:
        turn: index of the message.
        characters, generated: number of characters, and of those that the model samples.
        tokens, trained: number of tokens, and of those that are trained; None without a tokenizer.
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
        """The counts as text."""
        if self.tokens is not None:
            return f"{count(self.tokens, 'token')}" + (f", {self.trained} trained" if self.trained else "")
        return f"{count(self.characters, 'character')}" + (f", {self.generated} generated" if self.generated else "")


@dataclass(frozen=True, slots=True)
class LostField:
    """A field of the conversation that no character of the rendering came from.

    Attributes:
        path: the field, as in ``messages[2].tool_call_id``.
        held: its value on one line; empty if the path leads to no value.
        why: the declared reason, or None if the loss is not declared.
    """

    path: str
    held: str
    why: str | None


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that is drawn of one rendering.

    Attributes:
        name, tokenizer: name of the conversation, and of the tokenizer if there is one.
        template: name of the template and its retention policy.
        losses: the fields that no character came from.
        warnings: further warnings, each with a headline and details.
        summary: counts of the whole rendering.
    """

    name: str
    template: str
    tokenizer: str | None
    frames: tuple[Frame, ...]
    losses: tuple[LostField, ...]
    warnings: tuple[tuple[str, tuple[str, ...]], ...]
    summary: tuple[str, ...]


def picture(
    rendering: Rendering,
    encoding: Encoding | None = None,
    name: str = "conversation",
    tokenizer: str | None = None,
    generation_prompt: bool = False,
) -> Picture:
    """Make the picture of a rendering, with tokens and mask if an encoding, neither truncated nor padded, is given.

    ``name`` and ``tokenizer`` are shown; ``generation_prompt`` says that the text ends with the generation prompt.
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
        warnings=tuple(warnings(rendering, encoding)),
        summary=_summary(rendering, encoding),
    )


def field_steps(path: str) -> tuple[str | int, ...]:
    """Split the path of a field into keys and indices."""
    return tuple(name or int(index) for name, index in _STEP.findall(path))


def losses(rendering: Rendering) -> tuple[LostField, ...]:
    """Return the lost fields of a rendering, in order."""
    if not rendering.lost:
        return ()
    data = rendering.conversation.to_template_input()
    data["chat_template_kwargs"] = data.pop("kwargs")
    return tuple(LostField(visible(path), _held(data, path), why_lost(rendering, path)) for path in rendering.lost)


def losses_by_reason(lost: Sequence[LostField]) -> dict[str | None, list[LostField]]:
    """Group losses by their reasons, those without one first."""
    groups: dict[str | None, list[LostField]] = {}
    for loss in sorted(lost, key=lambda loss: loss.why is not None):
        groups.setdefault(loss.why, []).append(loss)
    return groups


def losses_headline(number: int) -> str:
    """Return a headline for lost fields."""
    one = number == 1
    return f"{count(number, 'field')} {'is' if one else 'are'} lost: no character came from {'it' if one else 'them'}"


def _held(data: Any, path: str) -> str:
    for step in field_steps(path):
        if isinstance(data, str):
            return ""
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return ""
    return excerpt(data)


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
    """Return the index and role of a message, and of the other messages that its turn includes."""
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
    """Return the ranges of control tokens that the template wrote, including those with a role, as in ``<|user|>``."""
    own = [span for span in rendering.spans if not span.literal and span.field != "role"]
    foreign = [(span.start, span.end) for span in own]
    found = []
    for match in control_pattern(rendering.template).finditer(rendering.text):
        at = bisect.bisect_right(foreign, match.start(), key=lambda pair: pair[1])
        if at == len(foreign) or foreign[at][0] >= match.end():
            found.append(match.span())
    return found


def warnings(rendering: Rendering, encoding: Encoding | None) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the warnings about a rendering and its mask, each with a headline and details."""
    assistants = any(message.role == "assistant" for message in rendering.conversation.messages)
    if assistants and not rendering.generated:
        yield (
            "nothing is generated",
            (
                "no character is inside {% generation %}…{% endgeneration %}; "
                f"chattmpl annotate {rendering.template.name} -o FILE adds them; chattmpl encode needs none, "
                "and chattmpl render --rows auto shows its rows",
            ),
        )
    elif encoding is not None and rendering.generated and not any(encoding.assistant_masks):
        yield "nothing is trained", ("the chosen mask and the flags of the messages leave no token to train",)
    if encoding is None:
        return
    if encoding.straddles:
        details = tuple(
            f"token {straddle.token_t} {_quoted(straddle.text)} straddles the {straddle.side} of a generated span"
            + ("" if straddle.message_m is None else f" of turn {straddle.message_m}")
            for straddle in encoding.straddles
        )
        yield f"{count(len(details), 'token')} {_verb(details, 'straddles', 'straddle')} an edge", details
    if encoding.escaped:
        details = tuple(
            f"{_quoted(escape.text)} in {visible(field_path(escape.message, escape.field)) or 'the text'}"
            for escape in encoding.escaped
        )
        verb = _verb(details, "was", "were")
        yield f"{count(len(details), 'control token')} in messages {verb} encoded as ordinary text", details


def _verb(items: Sequence[object], one: str, many: str) -> str:
    return one if len(items) == 1 else many


def _quoted(text: str) -> str:
    return f'"{one_line(text)}"'


def _summary(rendering: Rendering, encoding: Encoding | None) -> tuple[str, ...]:
    parts = [
        count(len(rendering.conversation.messages), "message"),
        count(len(rendering.text), "character"),
        count(len(rendering.generated), "generated span"),
    ]
    if encoding is not None:
        tokens, trained = len(encoding), sum(encoding.assistant_masks)
        parts += [count(tokens, "token"), f"{trained:,} trained ({trained / max(tokens, 1):.1%})"]
    return tuple(parts)
