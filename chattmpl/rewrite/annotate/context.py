"""Context of an annotation: the template's renderings of small conversations, and the frame of its answers."""

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.errors import ChatTmplError
from chattmpl.laws.law import Case
from chattmpl.laws.outcome import Counterexample
from chattmpl.probing import facts_of
from chattmpl.probing.corpus import (
    ASK,
    CONVERSATIONS,
    DOCUMENT,
    SAY,
    SAY_MORE,
    TITLES,
    TOOL,
    TRACES,
    Carrier,
    Message,
    call_message,
    result_message,
    with_trace,
)
from chattmpl.probing.prober import content_range
from chattmpl.probing.shapes import Shape, generated_conversations, shipped_conversations
from chattmpl.rewrite.annotate.target_spans import AnswerFrame, Obstacle, TargetSpan, header_of, target_spans
from chattmpl.rewrite.proof import Note, ProofNoteKind, Trial
from chattmpl.rewrite.refusal import CannotAnnotate, Refusal
from chattmpl.template.special_tokens import CONTROL
from chattmpl.template.template import Template

_CORES: dict[str, tuple[Carrier | None, tuple[str, str]]] = {
    "answers": (None, ("turn", "turns")),
    "answers with reasoning": (None, ("reasoning", "reasoning_turns")),
    "answers with reasoning in their content": ("content", ("turn", "turns")),
}
"""Pairs of conversations. The laws must hold for one of the pairs; otherwise no tags are written."""

_MODAL = ("turn", "turns", "reasoning", "calls", "spoken", "tools", "agent")
"""Conversations that are rendered in each mode of the template."""

_QUINCE, _APRICOT = {"type": "text", "text": ASK["content"]}, {"type": "text", "text": SAY["content"]}
_MEDIA = [
    [{"role": "user", "content": [{"type": kind}, _QUINCE]}, {"role": "assistant", "content": answer}]
    for kind in ("image", "video", "audio")
    for answer in ([_APRICOT], [{"type": kind}, _APRICOT])
]
"""Conversations with media, which templates for text refuse or print."""

_ORDERS: list[list[dict[str, Any]]] = [[SAY], [SAY, ASK, SAY], [ASK, SAY, SAY], [ASK, ASK, SAY], [ASK], []]
"""Orders of messages that are rare, and often rendered differently."""

_REASONED_RESULT = {
    "messages": [ASK, call_message(), result_message(), with_trace(SAY_MORE, TRACES[0])],
    "tools": [TOOL],
}
"""An answer with a trace to the result of a tool, where some generation prompts open the trace."""

_HELD_OUT = 20
"""Number of generated conversations of shapes that the template may refuse, to compare texts and refusals."""


class AnnotationContext:
    """A template without tags, and the conversations to place tags with.

    Args:
        template: the template, whose special tokens may be unknown.
        stop_tokens: the stop tokens; by default those that probing finds.
        other_stops, last_only: see `AnswerFrame`.

    Attributes:
        frame: the frame of an assistant turn.
        trace_key: the name of the reasoning field that the template reads.
        notes: notes for the user.

    Raises:
        CannotAnnotate: if no placement of tags can obey the laws for a question and an answer.
    """

    def __init__(
        self,
        template: Template,
        stop_tokens: tuple[str, ...] = (),
        *,
        other_stops: bool = True,
        last_only: bool = False,
    ) -> None:
        self.template = template
        self.notes: list[Note] = []
        self.facts = facts_of(template)
        self.trace_key = next(iter(self.facts.reasoning_keys), "reasoning_content")
        self._needed_input = self._needed()
        facts = self.facts
        stops = stop_tokens or self._stop_tokens(last_only)
        self.frame = AnswerFrame(stops, facts.turn_endings, facts.next_turn_stops, other_stops, last_only=last_only)
        self._core = self._find_core()
        self.frame = replace(self.frame, header=header_of(self._core[0], self.frame))
        if self.ends_late:
            tokens = " or ".join(map(repr, self.facts.next_turn_stops))
            text = (
                f"the model stops by sampling {tokens}, with which the next turn begins: there it is generated, and "
                "after the last turn, where the template writes none, chattmpl encode adds it"
            )
            self.notes.append(Note(ProofNoteKind.NEXT_TURN_STOP, text))

    @property
    def ends_late(self) -> bool:
        """True if turns end with a token with which the next turn begins."""
        return not self.frame.stop_tokens and bool(self.facts.next_turn_stops)

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop tokens, for people."""
        return self.frame.stop_tokens or self.facts.next_turn_stops

    def conversation(self, name: str, carrier: Carrier | None = None) -> Conversation:
        """Return a conversation in the form that the template takes, with traces if a carrier is given."""
        data = CONVERSATIONS[name]
        messages = [_with_every_name(message) for message in data["messages"]]
        if carrier is not None:
            answers = (index for index, message in enumerate(messages) if message["role"] == "assistant")
            for trace, index in zip(TRACES, answers, strict=False):
                messages[index] = with_trace(messages[index], trace, carrier)
        return self.facts.fitted(Conversation.coerce({**self._needed_input, **data, "messages": messages}))

    @cached_property
    def cases(self) -> list[tuple[Case, list[TargetSpan]]]:
        """The conversations that the template renders, each with its target spans."""
        found = []
        for conversation, kwargs in self.searched:
            case = Case(self.template, conversation, kwargs)
            try:
                case.rendering  # noqa: B018 — nothing else renders a conversation without an assistant message
                found.append((case, list(target_spans(case, self.frame))))
            except ChatTmplError:
                continue
        return found

    @cached_property
    def searched(self) -> list[Trial]:
        """The conversations and kwargs that tags are placed with."""
        fitted = self.facts.fitted
        usual = [
            *map(self.conversation, CONVERSATIONS),
            *map(fitted, shipped_conversations()),
            *map(Conversation.coerce, _MEDIA),
            *(fitted(Conversation.coerce({**self._needed_input, "messages": messages})) for messages in _ORDERS),
        ]
        result = fitted(Conversation.coerce({**self._needed_input, **_REASONED_RESULT}))
        modal = [*map(self.conversation, _MODAL), result]
        return [
            *((case.conversation, case.kwargs) for case in self._core),
            *((part, {}) for conversation in (*usual, result) for part in self._parts(conversation)),
            *(
                (part, kwargs)
                for kwargs in self.facts.settings
                for conversation in modal
                for part in self._parts(conversation)
            ),
        ]

    def _parts(self, conversation: Conversation) -> list[Conversation]:
        """Return the conversation; where only last turns are generated, also up to each other turn of the assistant."""
        found = [conversation]
        if self.frame.last_only:
            turns = [index for index, message in enumerate(conversation.messages[:-1]) if message.role == "assistant"]
            found += [conversation.with_messages(conversation.messages[: index + 1]) for index in turns]
        return found

    def independent(self, count: int) -> Iterator[Trial]:
        """Yield other conversations: generated for this template, and some that it may refuse."""
        for conversation, kwargs in self._generated(count):
            for part in self._parts(conversation)[-2:]:
                yield part, kwargs

    def _generated(self, count: int) -> Iterator[Trial]:
        fitting = generated_conversations(count, self.facts.shape)
        for conversation in fitting:
            yield self.facts.fitted(Conversation.coerce({**self._needed_input, **conversation.dump()})), {}
        for kwargs in self.facts.settings:
            for conversation in fitting[: max(count // 6, 1)]:
                yield self.facts.fitted(conversation), kwargs
        for conversation in generated_conversations(min(count, _HELD_OUT), Shape()):
            yield conversation, {}
        for conversation in fitting[:: max(count // _HELD_OUT, 1)]:
            yield _nulled(conversation), {}

    def _needed(self) -> dict[str, Any]:
        """Return the tools or documents without which the template renders no conversation."""
        made = self.facts.prober.outcome([ASK, SAY])
        if isinstance(made, ChatTmplError):
            raise _not_rendered("turn", made)
        error, needs = self.facts.prober.error_alone, self.facts.needs
        if error is not None and needs:
            text = f"the template renders no conversation without {' and '.join(needs)}: {error.message}"
            self.notes.append(Note(ProofNoteKind.INPUT_NEEDED, text))
        inputs = {"tools": [TOOL], "documents": [DOCUMENT]}
        return {name: inputs[name] for name in needs}

    def _stop_tokens(self, last_only: bool) -> tuple[str, ...]:
        case = Case(self.template, self.conversation("turn"))
        found = self.facts.answer_stops
        if not found and content_range(case.rendering, 1) is None:
            shown = Counterexample("sampled", "", case.conversation, {})
            raise CannotAnnotate(Refusal.ANSWER_DROPPED, law="sampled", counterexample=shown)
        if not found and not self.facts.next_turn_stops and not last_only:
            shown = Counterexample("stop", "", case.conversation, {})
            raise CannotAnnotate(Refusal.NO_STOP_TOKEN, law="stop", counterexample=shown)
        return found

    def last_stop(self) -> tuple[str, ...]:
        """Return the last control token of an answer, where several follow its content."""
        rendering = Case(self.template, self.conversation("turn")).rendering
        own = [span.end for span in rendering.spans if span.turn == 1]
        found = list(CONTROL.finditer(rendering.text[: own[-1]].rstrip())) if own else []
        ends = found and found[-1].end() == len(rendering.text[: own[-1]].rstrip())
        return (found[-1][0],) if ends else ()

    def _find_core(self) -> list[Case]:
        """Return the first pair of conversations for which the laws can hold.

        The pairs are tried in the default mode first. Other modes follow if no answer begins with its prompt there; a
        history that is written differently can be avoided in other ways.
        """
        refusals: list[CannotAnnotate] = []
        for kwargs in [{}, *self.facts.settings]:
            if kwargs and any(one.details.get("obstacle") == _REWRITTEN for one in refusals):
                break
            for kind, (carrier, names) in _CORES.items():
                try:
                    cases = [self._possible(name, carrier, kwargs) for name in names]
                except CannotAnnotate as error:
                    refusals.append(error)
                    continue
                if refusals:
                    mode = f" with {', '.join(f'{key}={value}' for key, value in kwargs.items())}" if kwargs else ""
                    text = f"the laws hold for {kind}{mode}; for others see the exceptions"
                    self.notes.append(Note(ProofNoteKind.SOME_ANSWERS, text))
                return cases
        raise next((one for one in refusals if one.details.get("obstacle") == _REWRITTEN), refusals[0])

    def _possible(self, name: str, carrier: Carrier | None, kwargs: dict[str, Any]) -> Case:
        """Return a conversation for which the laws can hold; raise `CannotAnnotate` if they cannot."""
        case = Case(self.template, self.conversation(name, carrier), kwargs)
        try:
            targets = list(target_spans(case, self.frame))
        except ChatTmplError as error:
            raise _not_rendered(name, error) from None
        for target in targets:
            if target.obstacle is not None:
                raise _impossible(target, target.obstacle, case, TITLES[name])
        return case


_REWRITTEN = Obstacle.HISTORY_DIFFERS.value.why


def _not_rendered(name: str, error: ChatTmplError) -> CannotAnnotate:
    return CannotAnnotate(Refusal.NOT_RENDERED, {"what": TITLES[name], "error": error.message})


def _impossible(target: TargetSpan, obstacle: Obstacle, case: Case, title: str) -> CannotAnnotate:
    """Return the refusal because of a law that cannot hold, with a counterexample."""
    texts: tuple[str | None, str | None] = (None, None)
    place = None
    if target.expected:
        texts = (target.expected, target.got)
        turn = case.head(target.turn + 1)
        if obstacle is Obstacle.HISTORY_DIFFERS:
            place = case.place_of_difference(turn, case.rendering)
        else:
            place = case.place_of_difference(case.head(target.turn, prompt=True), turn)
    found = Counterexample(obstacle.law, "", case.conversation, case.kwargs, *texts, place=place)
    why = obstacle.value.why if target.error is None else f"{obstacle.value.why}: {target.error.message}"
    details = {"law": obstacle.law, "turn": target.turn, "what": title, "obstacle": why, "fix": obstacle.value.fix}
    return CannotAnnotate(Refusal.LAW_IMPOSSIBLE, details, law=obstacle.law, counterexample=found)


def _with_every_name(message: Message) -> Message:
    """Return a message whose trace templates see under all its names."""
    return {"reasoning" if key == "reasoning_content" else key: value for key, value in message.items()}


def _nulled(conversation: Conversation) -> Conversation:
    """Return a conversation in which one message has no content, which templates may refuse or print."""
    data = conversation.dump()
    if data["messages"]:
        random.Random(len(str(data))).choice(data["messages"])["content"] = None
    return Conversation.coerce(data)
