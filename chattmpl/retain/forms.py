"""How a template renders a turn with its trace, and without it: what a change of its policy must lead to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from chattmpl.capabilities.answer import refuses
from chattmpl.conversation import Conversation
from chattmpl.errors import ChatTmplError
from chattmpl.fields import REASONING_NAMES
from chattmpl.laws.law import CLOCK
from chattmpl.laws.outcome import first_difference
from chattmpl.render import Rendering
from chattmpl.retain.policy import kept
from chattmpl.template import Template

Render = Callable[[Conversation, dict[str, Any], bool], "Rendering | None"]

OPEN, CLOSE = "<think>", "</think>"
_ASK_MORE = {"role": "user", "content": "Follow fig"}


@dataclass(frozen=True)
class Form:
    """The text of a turn.

    Attributes:
        text: of the turn.
        held: where what the message holds ends in it; None if nothing of it is rendered.
        shows: whether the trace is in it.
    """

    text: str
    held: int | None
    shows: bool


@dataclass(frozen=True)
class Wrong:
    """What is not as it should be.

    Attributes:
        what: in words.
        turn: index of the message; None for what is no assistant's turn.
    """

    what: str
    turn: int | None
    expected: str
    got: str


@dataclass
class Expected:
    """What is known of one rendering before a change.

    Attributes:
        wanted: the messages whose traces the policy keeps.
        agree: whether the template keeps the same already.
        free: whether a text that is as before is right without another look.
        forms: how each turn is rendered now, and how it may be.
    """

    conversation: Conversation
    old: Rendering | None
    wanted: frozenset[int]
    agree: bool = False
    free: bool = False
    forms: dict[int, tuple[Form, list[Form]]] = field(default_factory=dict)


def trace_of(message: Any) -> str:
    """The trace of a message, in its own field or in ``<think>`` in its content."""
    if message.reasoning_content:
        return str(message.reasoning_content).strip()
    content = message.content.lstrip() if isinstance(message.content, str) else ""
    # What only mentions the tag is no trace.
    return content.split(CLOSE)[0].removeprefix(OPEN).strip() if CLOSE in content and content.startswith(OPEN) else ""


def without_trace(conversation: Conversation, index: int) -> Conversation:
    """The conversation, and nothing of the trace of one message in it."""
    data = conversation.dump()
    message = data["messages"][index]
    for name in REASONING_NAMES:
        message.pop(name, None)
    if isinstance(message.get("content"), str) and CLOSE in message["content"]:
        message["content"] = message["content"].split(CLOSE)[-1].lstrip("\n")
    return Conversation.coerce(data)


def form(rendering: Rendering, turn: int) -> Form:
    """The text of a turn in a rendering."""
    text, held, shows = "", None, False
    for span in rendering.spans:
        if span.turn != turn:
            continue
        text += rendering.text[span.start : span.end]
        if span.message == turn and span.field != "role" and span.end > span.start:
            held = len(text)
            shows = shows or span.field in REASONING_NAMES
    trace = trace_of(rendering.conversation.messages[turn])
    in_content = not rendering.conversation.messages[turn].reasoning_content
    return Form(text, held, shows or bool(in_content and trace and trace in text))


class Before:
    """The template as it is, as the measure of what it may become.

    Args:
        template: plain Jinja.
        policy: what is asked for.
        carriers: where it reads traces: ``field``, ``content``.
        thinking: the kwargs without which no trace is rendered.
        stops: what ends an assistant's turn.
        sample: a conversation of two questions and answers with traces, which tells what a kwarg switches.
    """

    def __init__(
        self,
        template: Template,
        policy: str,
        carriers: tuple[str, ...],
        thinking: dict[str, Any],
        stops: tuple[str, ...],
        sample: Conversation | None = None,
    ) -> None:
        self.template = template
        self.policy = policy
        self.carriers = carriers
        self.thinking = thinking
        self.stops = stops
        self.sample = sample
        self._cached: dict[tuple[str, bool], Rendering | None] = {}
        self._expectations: dict[str, Expected] = {}

    def render(self, conversation: Conversation, kwargs: dict[str, Any], prompt: bool) -> Rendering | None:
        """With the template as it is; None if it refuses."""
        key = repr((conversation.dump(), kwargs)), prompt
        if key not in self._cached:
            self._cached[key] = rendered(self.template, conversation, kwargs, prompt)
        return self._cached[key]

    # -- what is expected

    def keeps(self, conversation: Conversation, kwargs: dict[str, Any], prompt: bool) -> frozenset[int]:
        """The messages whose traces are rendered, or would be if they had one."""
        found = set(kept(self.policy, conversation, prompt))
        for carrier in self.carriers[:1]:
            twin = with_traces(conversation, carrier)
            whole = self.render(twin, kwargs, prompt)
            for index, message in enumerate(twin.messages):
                if message.role != "assistant" or whole is None:
                    continue
                alone = self.alone(twin, index, kwargs)
                if carrier == "content" or (alone is not None and alone.shows):
                    (found.add if form(whole, index).shows else found.discard)(index)
        return frozenset(found)

    def alone(self, conversation: Conversation, index: int, kwargs: dict[str, Any]) -> Form | None:
        """A turn as the last one: as it was sampled."""
        made = self.render(conversation.with_messages(conversation.messages[: index + 1]), kwargs, False)
        return None if made is None else form(made, index)

    def _kept_forms(self, conversation: Conversation, index: int, kwargs: dict[str, Any], here: Form) -> Iterator[Form]:
        alone = self.alone(conversation, index, kwargs)
        message = conversation.messages[index]
        trace = trace_of(message)
        content = message.content
        if alone is not None and not alone.shows and "content" in self.carriers and isinstance(content, str):
            yield from _restored(alone, content)
        if alone is not None and (alone.shows or message.reasoning_content or not trace):
            yield alone
        if not any(earlier.role == "user" for earlier in conversation.messages[:index]):
            # Templates look for the last question, and keep nothing where there is none.
            asked = Conversation.coerce(
                {**conversation.dump(), "messages": [_ASK_MORE, *conversation.dump()["messages"]]}
            )
            alone = self.alone(asked, index + 1, kwargs)
            if alone is not None:
                yield alone
        if self.policy != "all" and (here.shows or not trace):
            yield here

    def _dropped_forms(
        self, conversation: Conversation, index: int, kwargs: dict[str, Any], prompt: bool
    ) -> Iterator[Form]:
        bare = without_trace(conversation, index)
        for variant, ending in ((conversation, prompt), (bare, prompt)):
            whole = self.render(variant, kwargs, ending)
            if whole is not None:
                yield form(whole, index)
            for more in ([], [_ASK_MORE]):
                tail = [*variant.dump()["messages"][: index + 1], *more]
                made = self.render(Conversation.coerce({**variant.dump(), "messages": tail}), kwargs, False)
                if made is not None:
                    yield form(made, index)

    def wrongs(self, new: Render, conversation: Conversation, kwargs: dict[str, Any], prompt: bool) -> Iterator[Wrong]:
        """What of a rendering is not as the policy wants it."""
        expected = self._expected(conversation, kwargs, prompt)
        got = new(conversation, kwargs, prompt)
        old = expected.old
        if old is None or got is None:
            if (old is None) != (got is None) and not (got is not None and self._mended(got, kwargs, prompt)):
                yield Wrong("refused" if got is None else "no longer refused", None, "", "")
            return
        if got.text == old.text and expected.free:
            return
        if expected.agree and self.policy != "all":
            if got.text != old.text:
                yield Wrong(
                    "the policy does not concern it, and it is not rendered as before", None, old.text, got.text
                )
            return
        wrong = None
        # Where each trace is kept already and no character changes, only the law is left to ask.
        for wrong in self._segments(expected, old, got) if not expected.agree or got.text != old.text else ():
            yield wrong
        if self.policy == "all" and not prompt and wrong is None:
            yield from self._as_sampled(new, got, kwargs)

    def _mended(self, got: Rendering, kwargs: dict[str, Any], prompt: bool) -> bool:
        """Whether the template failed here only where it cut a trace out of what is no string."""
        try:
            self.template.render(got.conversation, prompt, CLOCK, **kwargs)
        except ChatTmplError as error:
            return not refuses(error) and "None" not in got.text
        return False

    def _expected(self, conversation: Conversation, kwargs: dict[str, Any], prompt: bool) -> Expected:
        key = repr((id(conversation), kwargs, prompt))
        if key not in self._expectations:
            old = self.render(conversation, kwargs, prompt)
            made = Expected(conversation, old, kept(self.policy, conversation, prompt))
            if old is not None:
                made.agree = self.keeps(conversation, kwargs, prompt) == made.wanted
                made.free = self._free(conversation, kwargs, prompt, made.agree)
                if not (made.agree and self.policy != "all"):
                    made.forms = self._forms(made, kwargs, prompt)
            self._expectations[key] = made
        return self._expectations[key]

    def _forms(self, expected: Expected, kwargs: dict[str, Any], prompt: bool) -> dict[int, tuple[Form, list[Form]]]:
        """How each turn is rendered, and for those of the assistant how it may be."""
        assert expected.old is not None
        found = {}
        for index, message in enumerate(expected.conversation.messages):
            here, forms = form(expected.old, index), []
            if message.role == "assistant" and index in expected.wanted:
                forms = list(self._kept_forms(expected.conversation, index, kwargs, here))
            elif message.role == "assistant":
                dropped = self._dropped_forms(expected.conversation, index, kwargs, prompt)
                forms = [one for one in dropped if not one.shows]
            found[index] = (here, forms)
        return found

    def _free(self, conversation: Conversation, kwargs: dict[str, Any], prompt: bool, agree: bool) -> bool:
        """Whether a text that is as before is right without another look."""
        if agree:
            return self.policy != "all"
        roles = [message.role for message in conversation.messages]
        if self.policy == "since_last_user" and "user" not in roles:
            return True
        if self.policy == "last" and prompt and roles[-1:] == ["assistant"]:
            return True
        # A kwarg of its own that asks for another policy is still obeyed.
        return self._switches(conversation, kwargs)

    def _switches(self, conversation: Conversation, kwargs: dict[str, Any]) -> bool:
        """Whether kwargs make the template keep other traces than it does without them."""
        usual = {**self.thinking, **{name: value for name, value in kwargs.items() if name in self.thinking}}
        if kwargs == usual:
            return False
        samples = [conversation] if self.sample is None else [self.sample, conversation]
        return any(self.keeps(one, kwargs, False) != self.keeps(one, usual, False) for one in samples)

    def _segments(self, expected: Expected, old: Rendering, got: Rendering) -> Iterator[Wrong]:
        for index, message in enumerate(expected.conversation.messages):
            before, forms = expected.forms[index]
            after = form(got, index)
            if message.role != "assistant":
                if before.text != after.text:
                    yield Wrong("not rendered as before", None, before.text, after.text)
            elif forms and not any(_same(after, one, before) for one in forms):
                verb = "kept" if index in expected.wanted else "dropped"
                what = f"the trace of messages[{index}] is not {verb} as the template does it"
                yield Wrong(what, index, forms[0].text, after.text)
        outside = [
            "".join(one.text[span.start : span.end] for span in one.spans if span.turn is None) for one in (old, got)
        ]
        if outside[0] != outside[1]:
            yield Wrong("not rendered as before", None, outside[0], outside[1])

    def _as_sampled(self, new: Render, whole: Rendering, kwargs: dict[str, Any]) -> Iterator[Wrong]:
        """The law ``sampled`` for history, wherever tags stand: each turn begins the text, up to its stop token."""
        conversation = whole.conversation
        for index, message in enumerate(conversation.messages[:-1]):
            # Where two answers follow each other, templates join them, whatever is in them.
            if message.role != "assistant" or conversation.messages[index + 1].role == "assistant":
                continue
            alone = new(conversation.with_messages(conversation.messages[: index + 1]), kwargs, False)
            if alone is None:
                continue
            end = self._end(alone, index)
            if whole.text.startswith(alone.text[:end]):
                continue
            at = first_difference(alone.text[:end], whole.text)
            span = next((one for one in whole.spans if one.start <= at < one.end), None)
            turn = None if span is None else span.turn
            if turn is not None and conversation.messages[turn].role == "assistant":
                yield Wrong(
                    f"in history messages[{turn}] is not rendered as it was sampled", turn, alone.text[:end], whole.text
                )

    def _end(self, rendering: Rendering, turn: int) -> int:
        """Where a turn that is the last one ends, with its stop token."""
        held = [
            span.end
            for span in rendering.spans
            if span.message == turn and span.turn in (turn, None) and span.field != "role"
        ]
        start = held[-1] if held else 0
        ends = [at + len(stop) for stop in self.stops if (at := rendering.text.find(stop, start)) >= 0]
        return min(ends, default=start)


def rendered(template: Template, conversation: Conversation, kwargs: dict[str, Any], prompt: bool) -> Rendering | None:
    """A rendering, or None; kwargs that the template no longer reads are left out."""
    known = {name: value for name, value in kwargs.items() if name in template.program.variables}
    try:
        return template.render(conversation, prompt, CLOCK, **known)
    except ChatTmplError:
        return None


def with_traces(conversation: Conversation, carrier: str) -> Conversation:
    """The conversation with a trace in each assistant message; those that have one keep it."""
    data = conversation.dump()
    for index, message in enumerate(data["messages"]):
        if message.get("role") != "assistant" or trace_of(conversation.messages[index]):
            continue
        if carrier == "field":
            for name in REASONING_NAMES:
                message.pop(name, None)
            message["reasoning_content"] = f"Ponder papaya {index}"
        elif isinstance(message.get("content"), str):
            message["content"] = f"<think>\nPonder papaya {index}\n</think>\n\n{message['content']}"
    return Conversation.coerce(data)


def _restored(alone: Form, content: str) -> Iterator[Form]:
    """A turn that the template cuts the trace out of, with the whole content in the place of what is left of it."""
    rest = content.split(CLOSE)[-1].strip() if CLOSE in content else ""
    at = alone.text.rfind(rest) if rest else -1
    if at < 0:
        return
    head, tail = alone.text[:at], alone.text[at + len(rest) :]
    # White space before what is left was left by the cut, or is part of the frame.
    for before in dict.fromkeys((head, head.rstrip(), head.rstrip() + "\n", head.removesuffix("\n\n"))):
        for whole in dict.fromkeys((content, content.strip())):
            yield Form(
                before + whole + tail.removeprefix(content[len(content.rstrip()) :]), len(before) + len(whole), True
            )


def _same(got: Form, wanted: Form, here: Form) -> bool:
    """Whether a turn is rendered in a form, however the template ends it in this place."""
    if got.text == wanted.text or got.text.rstrip() == wanted.text.rstrip():
        return True
    if wanted.held is None or here.held is None:
        return False
    return got.text == wanted.text[: wanted.held] + here.text[here.held :]


__all__ = ["Before", "Form", "Render", "Wrong", "form", "rendered", "with_traces"]
