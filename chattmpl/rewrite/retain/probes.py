"""What a template does with traces, and the conversations that a change is looked for with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from chattmpl.capabilities.answer import raised
from chattmpl.capabilities.conversations import (
    ASK,
    ASK_MORE,
    SAY,
    SAY_MORE,
    SYSTEM,
    TOOL,
    TRACES,
    TUSKS,
    Message,
    calling,
    result,
)
from chattmpl.capabilities.frames import generation_prompt
from chattmpl.capabilities.prober import Prober
from chattmpl.capabilities.reasoning import Traces, carry, facts_unseen, find_traces, keys_read
from chattmpl.conversation.models import Conversation
from chattmpl.conversation.normalization import REASONING_NAMES
from chattmpl.errors import ChatTmplError
from chattmpl.laws.checker import fixtures, made
from chattmpl.laws.law import Case
from chattmpl.laws.modes import modes
from chattmpl.laws.shapes import Shape, as_parts, shape_of
from chattmpl.lint.probe import common_length
from chattmpl.rewrite.annotate.target_spans import stop_tokens
from chattmpl.rewrite.retain.refusal import CannotRetain
from chattmpl.rewrite.retain.turn_text import CLOSE, OPEN, rendered
from chattmpl.template.resolver import Found
from chattmpl.template.template import Template

Trial = tuple[Conversation, dict[str, Any]]


@dataclass
class Probes:
    """The conversations for one template.

    Args:
        template: the template as it is.
        policy: what is asked for, for messages.

    Attributes:
        carriers: where the template reads traces.
        thinking: the kwargs without which it renders none.
        stops: what ends an assistant's turn; found where it is not given.
        examples: how many conversations are made beside those that ship.
    """

    template: Template
    policy: str
    carriers: tuple[str, ...] = ()
    thinking: dict[str, Any] = field(default_factory=dict)
    stops: tuple[str, ...] = ()
    examples: int = 0

    def __post_init__(self) -> None:
        found = Found(self.template.program.source, self.template.tokens, self.template.family)
        self._prober = Prober(found)
        if self._prober.base is not None:
            message = f"it does not even render a question: {self._prober.base.message}"
            raise CannotRetain(message, policy=self.policy)
        traces = find_traces(self._prober, self.modes)
        self.thinking = traces.kwargs
        self.carriers = self._carriers(traces)
        if not self.carriers:
            raise self._no_place(traces)
        if not self.stops:
            self.stops = self._stops()

    @cached_property
    def modes(self) -> list[dict[str, Any]]:
        """The kwargs that switch what the template does, each in turn."""
        return modes(self.template)

    def _stops(self) -> tuple[str, ...]:
        try:
            return stop_tokens(Case(self.template, self._fitted([ASK, SAY]), self.thinking))
        except ChatTmplError:
            return ()

    def _carriers(self, traces: Traces) -> tuple[str, ...]:
        first = (traces.carrier,) if traces.carrier in ("field", "content") else ()
        prompt = generation_prompt(self._prober, traces.kwargs) or ""
        in_content = traces.cut_from_content or (not first and prompt.rstrip().endswith("<think>"))
        return (*first, "content") if in_content and "content" not in first else first

    def _no_place(self, traces: Traces) -> CannotRetain:
        hint: str | None
        if traces.carrier == "part":
            message, hint = "it renders traces only as parts of the content, which come with the content", None
        else:
            keys = keys_read(self._prober)
            message = "it never renders reasoning, so there is no place for a policy"
            if keys:
                message = f"it reads {', '.join(keys)}, and no trace is rendered in any of its modes"
                error = self._prober.call_form[1]
                if isinstance(error, ChatTmplError) and facts_unseen(self._prober):
                    message += f"; turns with calls, where one may be, raise: {raised(error)}"
            hint = "put {% reasoning %}…{% endreasoning %} where a message's reasoning is to be rendered"
        return CannotRetain(message, policy=self.policy, hint=hint)

    # -- conversations

    def searched(self) -> list[Trial]:
        """The conversations that a change is looked for with."""
        return [(one, self.thinking) for one in self._probes()]

    @cached_property
    def again(self) -> list[Trial]:
        """The same and fixtures in each of the template's modes."""
        usual = [*self._probes(), *self._heads(), *(self._fit(one) for one in fixtures())]
        return [(one, {**self.thinking, **kwargs}) for kwargs in [{}, *self.modes] for one in usual]

    @cached_property
    def independent(self) -> list[Trial]:
        """Conversations that no change is looked for with."""
        made_ = _made(self.examples, shape_of(self.template)) if self.examples else ()
        fitting = [self._fit(one) for one in made_]
        found: list[Trial] = []
        for conversation in fitting:
            found.append((conversation, {}))
            if self.thinking:
                found.append((conversation, self.thinking))
        for kwargs in self.modes:
            found += [(conversation, {**self.thinking, **kwargs}) for conversation in fitting[::6]]
        if "content" in self.carriers:
            found += [(_in_content(conversation), self.thinking) for conversation in fitting[::3]]
        return found

    def _probes(self) -> Iterator[Conversation]:
        first, second, third, fourth = TRACES
        for carrier in self.carriers:
            say, more = carry(carrier, SAY, first), carry(carrier, SAY_MORE, second)
            yield self._fitted([ASK, say])
            yield self._fitted([SYSTEM, ASK, say, ASK_MORE, more])
            yield self._fitted([ASK, say, ASK_MORE, SAY_MORE, ASK])
            if self._prober.call_form[0] is not None:
                calls = [calling((tusk,), **self._prober.call_options) for tusk in ("lefttusk", "righttusk")]
                if carrier == self.carriers[0]:
                    calls = [carry(carrier, calls[0], first), carry(carrier, calls[1], third)]
                loop = [ASK, calls[0], result(), carry(carrier, SAY, second), ASK_MORE, calls[1], result()]
                yield self._fitted([*loop, carry(carrier, SAY_MORE, fourth)], tools=True)
                if carrier == self.carriers[0]:
                    yield self._fitted(loop, tools=True)
                    yield self._fitted(loop[:2], tools=True)
            elif carrier == "content":
                # Calls are lost, and what follows the result of a tool may be rendered apart.
                yield self._fitted([ASK, say, result(), more], tools=True)
                yield self._fitted([ASK, say, result(), more, ASK_MORE], tools=True)
        yield self._fitted([ASK, SAY, ASK_MORE, SAY_MORE])

    def leads_to_traces(self, made: Template) -> bool:
        """Whether a turn with its trace in the content can follow from a prompt, in any mode.

        Always true where traces have a field of their own, whose place in a turn is what the template says.
        """
        if self.carriers != ("content",) or self.policy == "none":
            return True
        asked, answered = self._fitted([ASK]), self._fitted([ASK, carry("content", SAY, TRACES[0])])
        for kwargs in [{}, *self.modes]:
            bare, prompt = rendered(made, asked, kwargs, False), rendered(made, asked, kwargs, True)
            turn = rendered(made, answered, kwargs, False)
            if bare is None or prompt is None or turn is None:
                continue
            begun = turn.text[common_length(bare.text, prompt.text) :].partition(TRACES[0])[0]
            if turn.text.startswith(prompt.text) and CLOSE not in begun and begun.count(OPEN) == 1:
                return True
        return False

    def _heads(self) -> Iterator[Conversation]:
        """A long conversation, ended at each of its messages."""
        first, second, third, fourth = TRACES
        for carrier in self.carriers:
            long = [ASK, carry(carrier, SAY, first), ASK_MORE]
            if self._prober.call_form[0] is not None:
                options = self._prober.call_options
                spoken = {**calling(("lefttusk",), **options), "content": "Plan plum"}
                both = calling(TUSKS, **options)
                long += [carry(carrier, spoken, second), result(), carry(carrier, both, third), result(), result(1)]
            long += [carry(carrier, SAY_MORE, fourth), SAY, ASK, SAY]
            for count in range(2, len(long) + 1):
                yield self._fitted(long[:count], tools=True)

    def _fitted(self, messages: list[Message], *, tools: bool = False) -> Conversation:
        given: dict[str, Any] = {"messages": messages}
        if tools or "tools" in self._prober.needs:
            given["tools"] = [TOOL]
        return self._fit(Conversation.coerce(given))

    def _fit(self, conversation: Conversation) -> Conversation:
        if not self._prober.in_parts:
            return conversation
        return as_parts(conversation)


@lru_cache(maxsize=16)
def _made(count: int, shape: Shape) -> tuple[Conversation, ...]:
    """Made conversations of a shape; of templates of one shape they are the same."""
    return tuple(made(count, shape))


def _in_content(conversation: Conversation) -> Conversation:
    """The same with the traces in the contents."""
    data = conversation.dump()
    for given, message in zip(conversation.messages, data["messages"], strict=True):
        trace = given.reasoning_content
        if trace and isinstance(message.get("content"), str):
            for name in REASONING_NAMES:
                message.pop(name, None)
            message["content"] = f"<think>\n{trace}\n</think>\n\n{message['content']}"
    return Conversation.coerce(data)


__all__ = ["Probes", "Trial"]
