"""Rows as audit checks see them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from chattmpl.conversation.models import Conversation
from chattmpl.conversation.normalization import REASONING_NAMES
from chattmpl.conversation.shapes import parse_record
from chattmpl.data.reasoning_mode import Mode, Switch, has_reasoning, messages_of, requested_modes, text_of, trace_of
from chattmpl.data.sampled_rows import shows_trace
from chattmpl.data.survey import ScannedRow
from chattmpl.encode import encode
from chattmpl.encode.mask import SpanIndex, TurnRange
from chattmpl.errors import ChatTmplError
from chattmpl.probing.frames import PossibleStops, sampled_up_to
from chattmpl.template.template import why_lost

if TYPE_CHECKING:
    from chattmpl.data.audit.totals import AuditSettings
    from chattmpl.data.encoder import Encoder
    from chattmpl.data.rows import Row
    from chattmpl.encode import Encoding
    from chattmpl.template.template import Rendering


_EMPTY_WORDS = ("none", "null", "nan")
_REWRITTEN = 64
"""Maximum number of turns of a row that are compared with what is sampled."""
_MESSAGE_FIELD = re.compile(r"messages\[(\d+)\]\.(\w+)")


def empty(content: Any) -> str | None:
    """Return the kind of empty content, such as ``only white space``; None if it is not empty."""
    if content is None:
        return "None"
    text = text_of(content)
    if text.strip().lower() in _EMPTY_WORDS:
        return "the word " + text.strip()
    if text.strip():
        return None
    if not isinstance(content, str) and content:
        return None if any(isinstance(part, dict) and part.get("type") != "text" for part in content) else "empty"
    return "only white space" if text else "empty"


@dataclass(frozen=True)
class Background:
    """Values that are the same for all rows.

    Attributes:
        settings: the thresholds.
        switch: the template kwarg that switches reasoning.
        default_system: a sentence that the template writes only if there is no system message; None if there is none.
        rewrites_answers: true if there are `TemplateFacts.rewritten_answers`.
        missing_tokens: the control tokens that the template writes and the tokenizer lacks.
    """

    settings: AuditSettings
    switch: Switch
    default_system: str | None
    rewrites_answers: bool
    missing_tokens: tuple[str, ...] = ()


class RowView:
    """A row of a dataset with its messages, renderings and tokens, each computed on first use.

    Args:
        scanned: the conversation, encoded if possible.
        encoder: the encoder that encoded it.
        background: the values that are the same for all rows.
    """

    def __init__(self, scanned: ScannedRow, encoder: Encoder, background: Background) -> None:
        self.scanned, self.encoder, self.background = scanned, encoder, background
        self.settings, self.switch = background.settings, background.switch

    @property
    def rows(self) -> tuple[Row, ...]:
        """The encoded rows; empty if the conversation cannot be encoded."""
        return self.scanned.encoded

    @property
    def planned(self) -> bool:
        """True if each trained turn is in a row in which it follows its prompt, whatever the template's tags mark."""
        return self.encoder.planner is not None

    @cached_property
    def conversation(self) -> Conversation | None:
        """The conversation; None if the row is not one."""
        given = self.scanned.conversation
        if given is None or isinstance(given, Conversation):
            return given
        try:
            return parse_record(given)
        except ChatTmplError:
            return None

    @cached_property
    def encodable(self) -> bool:
        """True if the conversation was encoded."""
        return bool(self.rows) and self.conversation is not None

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The texts of the encoded rows."""
        return tuple(str(row.text) for row in self.rows)

    @property
    def text(self) -> str:
        """The text of the last row, which has the most of the conversation."""
        return self.texts[-1]

    @cached_property
    def messages(self) -> list[dict[str, Any]]:
        """The messages, as given."""
        return [] if self.conversation is None else messages_of(self.conversation)

    @cached_property
    def kwargs(self) -> Mapping[str, Any]:
        """The template kwargs: those of the row and its source, overridden by those of the audit."""
        own = self.conversation.chat_template_kwargs if self.conversation else None
        return {**(own or {}), **self.encoder.kwargs}

    @cached_property
    def own_kwargs(self) -> Mapping[str, Any]:
        """The template kwargs in the row itself, nulls included."""
        record = self.scanned.record
        own = record.get("chat_template_kwargs") if isinstance(record, Mapping) else None
        return own if isinstance(own, Mapping) else {}

    @cached_property
    def rendering(self) -> Rendering:
        """The rendering with provenance of the conversation; it takes most of the time of an audit."""
        encoder = self.encoder
        return encoder.template.render(self.conversation, clock=encoder.now, **encoder.kwargs)

    @cached_property
    def renderings(self) -> Sequence[Rendering]:
        """The rendering of each row."""
        return self.encoder.renderings(self.conversation) if self.planned else (self.rendering,)

    @cached_property
    def encodings(self) -> tuple[Encoding, ...]:
        """The tokens of each row, with straddles and escaped control tokens."""
        return tuple(encode(each, self.encoder.tokenizer, **self.encoder.options) for each in self.renderings)

    @cached_property
    def spans(self) -> SpanIndex:
        """The spans of the rendering."""
        return SpanIndex(self.rendering)

    @cached_property
    def losses(self) -> tuple[tuple[str, str | None], ...]:
        """The paths of fields that are not rendered, each with the declared reason, if any."""
        rendering = self.rendering
        return tuple((path, why_lost(rendering, path)) for path in rendering.lost)

    @cached_property
    def lost_reasoning(self) -> frozenset[int]:
        """The indices of messages whose reasoning field is not rendered in any row."""
        found = (_MESSAGE_FIELD.match(path) for path, _ in self.losses)
        lost = frozenset(int(match[1]) for match in found if match and match[2] in REASONING_NAMES)
        return frozenset(index for index in lost if not self.planned or not self._samples_reasoning(index))

    def _samples_reasoning(self, index: int) -> bool:
        """Return whether a row trains the reasoning of a message, told by the longest line of it."""
        trace, content = trace_of(self.messages[index]), text_of(self.messages[index].get("content"))
        return bool(trace) and any(shows_trace(sampled, trace, content) for sampled in self._sampled)

    @cached_property
    def _sampled(self) -> list[str]:
        """The sampled texts of all rows."""
        rows = zip(self.rows, self.texts, strict=True)
        return [text[start:end] for row, text in rows for start, end in row.generated or ()]

    @cached_property
    def lost_instructions(self) -> list[str]:
        """The paths of system and developer contents that are not rendered."""
        found = [(path, _MESSAGE_FIELD.match(path)) for path, _ in self.losses]
        return [path for path, match in found if match and match[2] == "content" and self.instructs(int(match[1]))]

    @cached_property
    def asked(self) -> list[tuple[int, Mode | None]]:
        """The index of each assistant message, with the reasoning mode that is requested for it."""
        return requested_modes(self.messages, self.kwargs, self.switch)

    @cached_property
    def thinking(self) -> frozenset[int]:
        """The indices of assistant messages with reasoning."""
        return frozenset(index for index, _ in self.asked if has_reasoning(self.messages[index]))

    def instructs(self, index: int) -> bool:
        """Return true for a system or developer message."""
        return self.messages[index].get("role") in ("system", "developer")

    def trained_turns(self) -> Iterator[TurnRange]:
        """Yield the last generated range of each trained turn."""
        assert self.conversation is not None
        last: dict[int | None, TurnRange] = {}
        for piece in self.spans.generated:
            last[piece.turn] = piece
        for turn, piece in last.items():
            if turn is None or self.conversation.messages[turn].trained is not False:
                yield piece

    def rewritten_turns(self) -> Iterator[tuple[int, str, str]]:
        """Yield the turns to train that are not written as they are sampled, with both texts up to their ends.

        There are none where each has a row in which it is.

        Each is rendered alone with the messages before it. Of a long row the turns after the first 64 are
        not compared: the time would grow with the square of its length.
        """
        if self.conversation is None or not self.background.rewrites_answers:
            return
        if self.planned and self.encoder.rows != "one":
            return
        encoder, messages = self.encoder, self.conversation.messages
        earlier = (piece for piece in self.trained_turns() if piece.turn is not None and piece.turn + 1 < len(messages))
        for piece in islice(earlier, _REWRITTEN):
            assert piece.turn is not None
            head = self.conversation.with_messages(messages[: piece.turn + 1])
            try:
                alone = encoder.template.render(head, clock=encoder.now, **encoder.kwargs)
            except ChatTmplError:
                continue
            sampled, written = sampled_up_to(alone, piece.turn), self.rendering.text[: piece.end]
            if sampled is not None and sampled != written:
                yield piece.turn, sampled, written

    @cached_property
    def _possible_stops(self) -> PossibleStops:
        return PossibleStops(self.rendering, self.kwargs)

    def stops(self, piece: TurnRange) -> tuple[str, ...]:
        """Return the stop tokens of a turn: the family's, or ``eos_token`` and the control tokens after the message."""
        return () if piece.turn is None else self._possible_stops.of_turn(piece.turn)
