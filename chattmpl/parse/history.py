"""Derivation of the forms of assistant turns inside a conversation, where other messages follow them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import Enum
from typing import Any

from chattmpl.errors import ChatTmplError
from chattmpl.parse.forms import Arguments, Form
from chattmpl.parse.turn_derivation import IDS, Derivation, Piece, WrittenArguments, merged
from chattmpl.parse.value_derivation import Underivable
from chattmpl.probing.corpus import ASK_MORE, SAY_MORE, TOOL_NAME, Message
from chattmpl.probing.facts import TemplateFacts
from chattmpl.template.special_tokens import CONTROL
from chattmpl.template.template import Rendering

_JSON = WrittenArguments(Arguments("json"))


class Follow(Enum):
    """The messages after a turn in a conversation: for a turn with calls, their results come first."""

    NOTHING = "nothing"
    RESULTS = "results"
    QUESTION = "question"


def derive_in_history(
    facts: TemplateFacts, *, tools: bool, documents: Sequence[Any] | None
) -> Iterator[tuple[bool, Follow, bool, list[Form] | Underivable]]:
    """Derive the forms of turns in a conversation, from the end of the content before them to the content after them.

    Args:
        facts: the facts about the template.
        tools: the conversation has tools.
        documents: the documents of the conversation.

    Yields:
        whether the turns follow a tool result and not a question, the messages after them, whether arguments are JSON
        text, and the forms of the turns; instead of forms the reason for which there are none.
    """
    notation: WrittenArguments | None = None
    takes_text = not facts.prober.call_options.get("text")
    for after_result, follow in itertools.product((False, True), Follow):
        try:
            derivation = _InHistory(facts, after_result, follow, notation, tools=tools, documents=documents)
            yield after_result, follow, False, derivation.forms(derivation.kinds(), 0)[0]
            notation = derivation.notation
            if takes_text and notation is not None and notation.arguments != _JSON.arguments:
                # Arguments that are JSON text may be written as they are, where objects are written otherwise.
                derivation = _InHistory(facts, after_result, follow, _JSON, tools=tools, documents=documents)
                derivation.as_text = True
                forms = derivation.forms(derivation.kinds(), 0)[0]
                takes_text = any("calls" in form.fields for form in forms)
                yield after_result, follow, True, [form for form in forms if "calls" in form.fields]
        except Underivable as error:
            yield after_result, follow, False, error


class _InHistory(Derivation):
    loses_traces = True

    def __init__(
        self,
        facts: TemplateFacts,
        after_result: bool,
        follow: Follow,
        notation: WrittenArguments | None,
        *,
        tools: bool,
        documents: Sequence[Any] | None,
    ) -> None:
        self.follow = follow
        self.tools = tools
        self.documents = documents
        super().__init__(facts, after_result)
        self.notation = notation

    def pieces(self, rendering: Rendering, start: int) -> list[Piece]:
        """Return the pieces of a turn; counters of what the template writes before and after it are its own text."""
        pieces = super().pieces(rendering, start)
        own = [index for index, piece in enumerate(pieces) if piece.field not in (None, "index")] or [len(pieces)]
        tokens = [index for index, piece in enumerate(pieces) if piece.field is None and CONTROL.search(piece.text)]
        first = max((index for index in tokens if index < own[0]), default=0)
        last = min((index for index in tokens if index > own[-1]), default=len(pieces))
        outside = [Piece(piece.text) for piece in pieces]
        return merged([*outside[:first], *pieces[first:last], *outside[last:]])

    def rendered(self, messages: list[Message], prompt: bool = False) -> Rendering | None:
        made = self.prober.outcome(messages, prompt=prompt, tools=self.tools, documents=self.documents)
        return None if isinstance(made, ChatTmplError) else made

    def turn(self, message: Message) -> Rendering | None:
        calls = message.get("tool_calls", ())
        results: list[Message] = [
            {"role": "tool", "name": TOOL_NAME, "content": f"Result rowan{number}", "tool_call_id": identifier}
            for number, identifier in zip(range(len(calls)), IDS, strict=False)
        ]
        match self.follow:
            case Follow.NOTHING:
                after = []
            case Follow.RESULTS:
                after = results
            case Follow.QUESTION:
                after = [*results, *([SAY_MORE] if results else []), ASK_MORE]
        if self.follow is Follow.RESULTS and not results:
            return None
        made = self.rendered([*self.before, message, *after])
        if made is None:
            return None
        start = content_region(made, len(self.before) - 1, self.before[-1]["content"])
        end = content_region(made, len(self.before) + 1, after[0]["content"]) if after else (len(made.text), 0)
        if start is None or end is None or end[0] < start[1]:
            return None
        cut = made.cut(end[0])
        spans = [span for span in cut.spans if span.end > start[1]]
        spans = [span._replace(start=max(span.start - start[1], 0), end=span.end - start[1]) for span in spans]
        return replace(cut, text=cut.text[start[1] :], spans=tuple(spans))


def content_region(rendering: Rendering, index: int, content: str) -> tuple[int, int] | None:
    """Return the range of a message's content, also where its characters are written one by one; None if it is lost."""
    start = rendering.text.find(content)
    if start >= 0:
        return start, start + len(content)
    spans = [span for span in rendering.spans if span.message == index and (span.field or "").startswith("content")]
    if not spans:
        return None
    start, end = spans[0].start, spans[-1].end
    quoted = rendering.text[start - 1 : start] == rendering.text[end : end + 1] == '"'
    return start - quoted, end + quoted
