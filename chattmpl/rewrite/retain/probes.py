"""Conversations with traces, in the form that a template takes, with which a change is searched and proven."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.conversation.normalization import REASONING_NAMES
from chattmpl.errors import ChatTmplError
from chattmpl.probing.corpus import (
    ASK,
    ASK_MORE,
    SAY,
    SAY_MORE,
    SYSTEM,
    TRACES,
    TUSKS,
    Carrier,
    Message,
    call_message,
    result_message,
    with_trace,
)
from chattmpl.probing.facts import facts_of
from chattmpl.probing.frames import answer_stops, generation_prompt
from chattmpl.probing.prober import reason_of
from chattmpl.probing.reasoning import Traces, find_traces
from chattmpl.probing.shapes import generated_conversations, shipped_conversations
from chattmpl.rewrite.proof import Trial
from chattmpl.rewrite.refusal import CannotRetain, Refusal
from chattmpl.rewrite.retain.turn_text import CLOSE, OPEN, render_or_none
from chattmpl.source import common_length
from chattmpl.template.template import Template


@dataclass
class Probes:
    """The conversations for one template.

    Attributes:
        template: the template before the change.
        carriers: places that the template reads traces from: ``field``, ``content``.
        thinking: the kwargs without which it renders no trace.
        stops: the stop tokens of the assistant's turns; by default those that probing finds.
        examples: number of conversations that hypothesis generates.

    Raises:
        CannotRetain: if the template has no place for a policy.
    """

    template: Template
    policy: str
    carriers: tuple[Carrier, ...] = ()
    thinking: dict[str, Any] = field(default_factory=dict)
    stops: tuple[str, ...] = ()
    examples: int = 0

    def __post_init__(self) -> None:
        self.facts = facts_of(self.template)
        self._prober = self.facts.prober
        if self.facts.refusal is not None:
            details = {"what": "a question", "error": self.facts.refusal.message}
            raise CannotRetain(Refusal.NOT_RENDERED, details, policy=self.policy)
        traces = find_traces(self._prober, self.facts.settings)
        self.thinking = traces.kwargs
        self.carriers = self._carriers(traces)
        if not self.carriers:
            raise self._no_place(traces)
        if not self.stops:
            self.stops = answer_stops(self._prober, self.thinking)

    def _carriers(self, traces: Traces) -> tuple[Carrier, ...]:
        first: tuple[Carrier, ...] = (traces.carrier,) if traces.carrier in ("field", "content") else ()
        prompt = generation_prompt(self._prober, traces.kwargs) or ""
        in_content = traces.cut_from_content or (not first and prompt.rstrip().endswith("<think>"))
        return (*first, "content") if in_content and "content" not in first else first

    def _no_place(self, traces: Traces) -> CannotRetain:
        if traces.carrier == "part":
            return CannotRetain(Refusal.TRACES_IN_PARTS, policy=self.policy)
        keys = self.facts.reasoning_keys
        if not keys:
            return CannotRetain(Refusal.NO_TRACES, policy=self.policy)
        error = self._prober.call_form[1]
        calls = ""
        if isinstance(error, ChatTmplError) and self.facts.traces_unseen:
            calls = f"; turns with tool calls, which may render some, raise {reason_of(error)}"
        return CannotRetain(Refusal.TRACES_UNRENDERED, {"keys": ", ".join(keys), "calls": calls}, policy=self.policy)

    # -- conversations

    @cached_property
    def searched(self) -> list[Trial]:
        """The conversations that a change is searched with."""
        return [(one, self.thinking) for one in self._probes()]

    @cached_property
    def again(self) -> list[Trial]:
        """The same and the shipped conversations, in each mode of the template."""
        usual = [*self._probes(), *self._heads(), *map(self.facts.fitted, shipped_conversations())]
        return [(one, {**self.thinking, **kwargs}) for kwargs in [{}, *self.facts.settings] for one in usual]

    @cached_property
    def independent(self) -> list[Trial]:
        """Other conversations that a change is checked with."""
        made_ = generated_conversations(self.examples, self.facts.shape) if self.examples else ()
        fitting = list(map(self.facts.fitted, made_))
        found: list[Trial] = []
        for conversation in fitting:
            found.append((conversation, {}))
            if self.thinking:
                found.append((conversation, self.thinking))
        for kwargs in self.facts.settings:
            found += [(conversation, {**self.thinking, **kwargs}) for conversation in fitting[::6]]
        if "content" in self.carriers:
            found += [(_in_content(conversation), self.thinking) for conversation in fitting[::3]]
        return found

    def _probes(self) -> Iterator[Conversation]:
        first, second, third, fourth = TRACES
        for carrier in self.carriers:
            say, more = with_trace(SAY, first, carrier), with_trace(SAY_MORE, second, carrier)
            yield self._fitted([ASK, say])
            yield self._fitted([SYSTEM, ASK, say, ASK_MORE, more])
            yield self._fitted([ASK, say, ASK_MORE, SAY_MORE, ASK])
            if self._prober.call_form[0] is not None:
                calls = [call_message((tusk,), **self._prober.call_options) for tusk in TUSKS]
                if carrier == self.carriers[0]:
                    calls = [with_trace(calls[0], first, carrier), with_trace(calls[1], third, carrier)]
                result, answer = result_message(), with_trace(SAY, second, carrier)
                loop = [ASK, calls[0], result, answer, ASK_MORE, calls[1], result]
                yield self._fitted([*loop, with_trace(SAY_MORE, fourth, carrier)], tools=True)
                if carrier == self.carriers[0]:
                    yield self._fitted(loop, tools=True)
                    yield self._fitted(loop[:2], tools=True)
                    # A question that interrupts the loop: only here do since_last_user and open_tool_loop differ.
                    yield self._fitted([*loop[:3], ASK_MORE], tools=True)
            elif carrier == "content":
                # Calls are lost, and messages after the result of a tool may be rendered differently.
                yield self._fitted([ASK, say, result_message(), more], tools=True)
                yield self._fitted([ASK, say, result_message(), more, ASK_MORE], tools=True)
        yield self._fitted([ASK, SAY, ASK_MORE, SAY_MORE])

    def leads_to_traces(self, made: Template) -> bool:
        """Return whether a turn with its trace in the content can follow a prompt, in any mode.

        Always true for traces in a field, whose place in a turn the template decides.
        """
        if self.carriers != ("content",) or self.policy == "none":
            return True
        asked, answered = self._fitted([ASK]), self._fitted([ASK, with_trace(SAY, TRACES[0], "content")])
        for kwargs in [{}, *self.facts.settings]:
            bare, prompt = render_or_none(made, asked, kwargs, False), render_or_none(made, asked, kwargs, True)
            turn = render_or_none(made, answered, kwargs, False)
            if bare is None or prompt is None or turn is None:
                continue
            begun = turn.text[common_length(bare.text, prompt.text) :].partition(TRACES[0])[0]
            if turn.text.startswith(prompt.text) and CLOSE not in begun and begun.count(OPEN) == 1:
                return True
        return False

    def _heads(self) -> Iterator[Conversation]:
        """Yield a long conversation, cut after each of its messages."""
        first, second, third, fourth = TRACES
        for carrier in self.carriers:
            long = [ASK, with_trace(SAY, first, carrier), ASK_MORE]
            if self._prober.call_form[0] is not None:
                options = self._prober.call_options
                spoken = {**call_message(("lefttusk",), **options), "content": "Plan plum"}
                both = call_message(TUSKS, **options)
                long += [
                    with_trace(spoken, second, carrier),
                    result_message(),
                    with_trace(both, third, carrier),
                    result_message(),
                    result_message(1),
                ]
            long += [with_trace(SAY_MORE, fourth, carrier), SAY, ASK, SAY]
            for count in range(2, len(long) + 1):
                yield self._fitted(long[:count], tools=True)

    def _fitted(self, messages: list[Message], *, tools: bool = False) -> Conversation:
        return self._prober.conversation_of(messages, tools=tools)


def _in_content(conversation: Conversation) -> Conversation:
    """Return the conversation with its traces in the contents."""
    data = conversation.dump()
    for given, message in zip(conversation.messages, data["messages"], strict=True):
        trace = given.reasoning_content
        if trace and isinstance(message.get("content"), str):
            for name in REASONING_NAMES:
                message.pop(name, None)
            message["content"] = f"<think>\n{trace}\n</think>\n\n{message['content']}"
    return Conversation.coerce(data)
