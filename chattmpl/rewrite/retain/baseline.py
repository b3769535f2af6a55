"""Baseline of a retention rewrite: how the template renders turns with and without their traces."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from chattmpl.compiler.policies import POLICIES
from chattmpl.conversation.models import Conversation
from chattmpl.conversation.normalization import REASONING_NAMES
from chattmpl.laws.outcome import first_difference
from chattmpl.rewrite.proof import no_longer_fails
from chattmpl.rewrite.retain.probes import Probes
from chattmpl.rewrite.retain.turn_text import (
    CLOSE,
    TurnText,
    insert_trace,
    matches,
    render_or_none,
    rendered_fields,
    restore_trace,
    trace_of,
    turn_text,
    with_traces,
    without_trace,
)
from chattmpl.template.template import Rendering

Render = Callable[[Conversation, dict[str, Any], bool], "Rendering | None"]

_PLACEHOLDER = "Marvel marmot"
"""A content that no template treats specially."""

_ASK_MORE = {"role": "user", "content": "Follow fig"}


@dataclass(frozen=True)
class Mismatch:
    """A difference between a rendering and the text that the policy requires.

    Attributes:
        what: a clause for people.
        turn: index of the assistant message; None for any other text.
        expected, got: the text that is expected, and the one that is rendered.
    """

    what: str
    turn: int | None
    expected: str
    got: str


@dataclass
class Expected:
    """Expectations of one rendering after a change.

    Attributes:
        old: its rendering before the change; None if the template refuses it.
        wanted: indices of the messages whose traces the policy keeps.
        agree: whether the template keeps the same traces already.
        free: whether an unchanged text is accepted without further checks.
        switched: whether the kwargs select another policy, so that each turn may stay as it is.
        forms: for each turn, its text before the change, and the texts that are accepted after it.
    """

    conversation: Conversation
    old: Rendering | None
    wanted: frozenset[int]
    agree: bool = False
    free: bool = False
    switched: bool = False
    forms: dict[int, tuple[TurnText, list[TurnText]]] = field(default_factory=dict)


def _with_content(conversation: Conversation, index: int, content: str) -> Conversation:
    """Return the conversation with another content of one message."""
    data = conversation.dump()
    data["messages"][index]["content"] = content
    return Conversation.coerce(data)


class ConversationKeys:
    """Cache keys of conversations: equal ones have the same key. Each object is dumped once and kept alive."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Conversation, str]] = {}
        self._heads: dict[tuple[int, int], Conversation] = {}

    def of(self, conversation: Conversation) -> str:
        """Return the key."""
        known = self._known.get(id(conversation))
        if known is None:
            known = self._known[id(conversation)] = conversation, repr(conversation.dump())
        return known[1]

    def head(self, conversation: Conversation, count: int) -> Conversation:
        """Return the conversation with its first messages only."""
        self.of(conversation)
        key = id(conversation), count
        if key not in self._heads:
            self._heads[key] = conversation.with_messages(conversation.messages[:count])
        return self._heads[key]


class Baseline:
    """The template before a change, with which its renderings after the change are compared.

    Args:
        probes: the template, its facts, and the conversations that it is probed with.

    Attributes:
        sampled: number of turns in history that were found to be as they were sampled.
        keys: cache keys of conversations.
    """

    def __init__(self, probes: Probes) -> None:
        self.policy = probes.policy
        self._template = probes.template
        self._probes = probes
        self.sampled = 0
        self.keys = ConversationKeys()
        self._cached: dict[tuple[str, bool], Rendering | None] = {}
        self._expectations: dict[str, Expected] = {}
        self._switching: dict[str, bool] = {}

    def render(self, conversation: Conversation, kwargs: dict[str, Any], prompt: bool) -> Rendering | None:
        """Render with the template before the change; None if it refuses."""
        key = f"{self.keys.of(conversation)}{kwargs}", prompt
        if key not in self._cached:
            self._cached[key] = render_or_none(self._template, conversation, kwargs, prompt)
        return self._cached[key]

    # -- what is expected

    def keeps(self, conversation: Conversation, kwargs: dict[str, Any], prompt: bool) -> frozenset[int]:
        """Return the messages whose traces the template renders, or would render if they had one."""
        found = set(POLICIES[self.policy].keeps(conversation, prompt))
        for carrier in self._probes.carriers[:1]:
            twin = with_traces(conversation, carrier)
            whole = self.render(twin, kwargs, prompt)
            for index, message in enumerate(twin.messages):
                if message.role != "assistant" or whole is None:
                    continue
                shows = (
                    one.shows for one in (self.alone(twin, index, kwargs), self._asked(twin, index, kwargs)) if one
                )
                if carrier == "content" or any(shows):
                    (found.add if turn_text(whole, index).shows else found.discard)(index)
        return frozenset(found)

    def alone(self, conversation: Conversation, index: int, kwargs: dict[str, Any]) -> TurnText | None:
        """Return the text of a turn that comes last, as it was sampled."""
        made = self.render(self.keys.head(conversation, index + 1), kwargs, False)
        return None if made is None else turn_text(made, index)

    def _asked(self, conversation: Conversation, index: int, kwargs: dict[str, Any]) -> TurnText | None:
        """Return the text of a turn that comes last if the template finds no question before it, and is given one.

        Templates that search for the last question may keep nothing where there is none, and may find only those whose
        content is a text.
        """
        before = conversation.messages[:index]
        if any(message.role == "user" and isinstance(message.content, str) for message in before):
            return None
        data = conversation.dump()
        asked = Conversation.coerce({**data, "messages": [_ASK_MORE, *data["messages"]]})
        return self.alone(asked, index + 1, kwargs)

    def _kept_forms(
        self, conversation: Conversation, index: int, kwargs: dict[str, Any], here: TurnText
    ) -> Iterator[TurnText]:
        alone = self.alone(conversation, index, kwargs)
        message = conversation.messages[index]
        trace = trace_of(message)
        content = message.content
        cut = "content" in self._probes.carriers and alone is not None and not alone.shows
        if alone is not None and cut and isinstance(content, str) and CLOSE in content:
            yield from restore_trace(alone, content, content.split(CLOSE)[-1].strip())
            marked = self.alone(_with_content(conversation, index, _PLACEHOLDER), index, kwargs)
            yield from restore_trace(marked, content, _PLACEHOLDER) if marked is not None else ()
        if alone is not None and (alone.shows or message.reasoning_content or not trace):
            yield alone
        asked = self._asked(conversation, index, kwargs)
        if asked is not None:
            alone = asked
            yield asked
        if here.shows or not trace:
            # For ``all``, a separate check asks whether that is as it was sampled.
            yield here
        elif alone is not None and alone.shows:
            bare = self.alone(without_trace(conversation, index), index, kwargs)
            made = None if bare is None else insert_trace(alone, bare, here)
            if made is not None:
                yield made

    def _dropped_forms(
        self, conversation: Conversation, index: int, kwargs: dict[str, Any], prompt: bool
    ) -> Iterator[TurnText]:
        bare = without_trace(conversation, index)
        for variant, ending in ((conversation, prompt), (bare, prompt)):
            whole = self.render(variant, kwargs, ending)
            if whole is not None:
                yield turn_text(whole, index)
            for more in ([], [_ASK_MORE]):
                tail = [*variant.dump()["messages"][: index + 1], *more]
                made = self.render(Conversation.coerce({**variant.dump(), "messages": tail}), kwargs, False)
                if made is not None:
                    yield turn_text(made, index)

    def mismatches(
        self, new: Render, conversation: Conversation, kwargs: dict[str, Any], prompt: bool
    ) -> Iterator[Mismatch]:
        """Yield the differences between a rendering and the text that the policy requires."""
        expected = self._expected(conversation, kwargs, prompt)
        got = new(conversation, kwargs, prompt)
        old = expected.old
        if old is None or got is None:
            if (old is None) != (got is None) and not no_longer_fails(self._template, got, kwargs, prompt):
                yield Mismatch("refused" if got is None else "no longer refused", None, "", "")
            return
        if got.text == old.text and expected.free:
            return
        if expected.agree and self.policy != "all":
            if got.text != old.text:
                yield Mismatch("a text changes that the policy does not concern", None, old.text, got.text)
            return
        wrong = None
        # If each trace is kept already and no character changes, only the law needs a check.
        for wrong in self._segments(expected, old, got) if not expected.agree or got.text != old.text else ():
            yield wrong
        if self.policy == "all" and not prompt and wrong is None:
            yield from self._as_sampled(new, got, kwargs)

    def _expected(self, conversation: Conversation, kwargs: dict[str, Any], prompt: bool) -> Expected:
        key = f"{self.keys.of(conversation)}{kwargs}{prompt}"
        if key not in self._expectations:
            old = self.render(conversation, kwargs, prompt)
            made = Expected(conversation, old, POLICIES[self.policy].keeps(conversation, prompt))
            if old is not None:
                made.agree = self.keeps(conversation, kwargs, prompt) == made.wanted
                # A kwarg of the template that selects another policy still works.
                made.switched = not made.agree and self._switches(conversation, kwargs)
                made.free = made.switched or self._free(conversation, prompt, made.agree)
                if not (made.agree and self.policy != "all"):
                    made.forms = self._forms(made, kwargs, prompt)
            self._expectations[key] = made
        return self._expectations[key]

    def _forms(
        self, expected: Expected, kwargs: dict[str, Any], prompt: bool
    ) -> dict[int, tuple[TurnText, list[TurnText]]]:
        """Return the text of each turn, and for those of the assistant the texts that are accepted."""
        assert expected.old is not None
        found = {}
        for index, message in enumerate(expected.conversation.messages):
            here, forms = turn_text(expected.old, index), []
            if message.role == "assistant" and index in expected.wanted:
                forms = list(self._kept_forms(expected.conversation, index, kwargs, here))
            elif message.role == "assistant":
                dropped = self._dropped_forms(expected.conversation, index, kwargs, prompt)
                forms = [one for one in dropped if not one.shows]
            found[index] = (here, forms)
        return found

    def _free(self, conversation: Conversation, prompt: bool, agree: bool) -> bool:
        """Return whether an unchanged text is accepted without further checks."""
        if agree:
            return self.policy != "all"
        return POLICIES[self.policy].undecided(conversation, prompt)

    def _switches(self, conversation: Conversation, kwargs: dict[str, Any]) -> bool:
        """Return whether the kwargs make the template keep other traces than without them."""
        usual = {
            **self._probes.thinking,
            **{name: value for name, value in kwargs.items() if name in self._probes.thinking},
        }
        if kwargs == usual:
            return False

        def switch(one: Conversation) -> bool:
            return self.keeps(one, kwargs, False) != self.keeps(one, usual, False)

        known = repr(kwargs)
        if known not in self._switching:
            self._switching[known] = any(switch(sample) for sample, _ in self._probes.searched)
        return self._switching[known] or switch(conversation)

    def _segments(self, expected: Expected, old: Rendering, got: Rendering) -> Iterator[Mismatch]:
        for index, message in enumerate(expected.conversation.messages):
            before, forms = expected.forms[index]
            after = turn_text(got, index)
            if message.role != "assistant":
                if before.text != after.text:
                    yield Mismatch(f"messages[{index}] is not rendered as before", None, before.text, after.text)
            elif expected.switched and after.text == before.text:
                continue
            elif forms and not any(matches(after, one, before) for one in forms):
                which = "with" if index in expected.wanted else "without"
                what = f"messages[{index}] is not rendered as the template renders it {which} its trace"
                yield Mismatch(what, index, forms[0].text, after.text)
        outside = [
            "".join(one.text[span.start : span.end] for span in one.spans if span.turn is None and span.message is None)
            for one in (old, got)
        ]
        if outside[0] != outside[1]:
            yield Mismatch("the text outside turns is not rendered as before", None, outside[0], outside[1])
        # Some templates render tool results within the turn that called the tools.
        held, now = rendered_fields(old), rendered_fields(got)
        for (index, path), text in held.items():
            if text.strip() != now.get((index, path), "").strip():
                yield Mismatch(
                    f"messages[{index}].{path} is not rendered as before", None, text, now.get((index, path), "")
                )
        for index, path in sorted(now.keys() - held.keys())[:1]:
            yield Mismatch(f"messages[{index}].{path} was not rendered before", None, "", now[index, path])

    def _as_sampled(self, new: Render, whole: Rendering, kwargs: dict[str, Any]) -> Iterator[Mismatch]:
        """Check the law ``sampled`` in history without tags: the text starts with each turn up to its stop token."""
        conversation = whole.conversation
        for index, message in enumerate(conversation.messages[:-1]):
            # Templates join consecutive answers, whatever their contents.
            if message.role != "assistant" or conversation.messages[index + 1].role == "assistant":
                continue
            alone = new(self.keys.head(conversation, index + 1), kwargs, False)
            if alone is None:
                continue
            end = self._end(alone, index)
            if whole.text.startswith(alone.text[:end]):
                self.sampled += 1
                continue
            at = first_difference(alone.text[:end], whole.text)
            turn, before = (_turn_at(each, at) for each in (whole, alone))
            # Text outside of the turn, such as a default system message, says nothing about its trace.
            if at < len(alone.text) and before != index and turn == index:
                continue
            if turn is not None and conversation.messages[turn].role == "assistant":
                if turn == index and self._differs_anyway(alone, index, at, whole, kwargs):
                    continue
                yield Mismatch(
                    f"in history messages[{turn}] is not rendered as it was sampled", turn, alone.text[:end], whole.text
                )

    def _differs_anyway(self, alone: Rendering, turn: int, at: int, whole: Rendering, kwargs: dict[str, Any]) -> bool:
        """Return whether history differs for a reason other than traces: after them, and also without any.

        The proof notes the law that is broken by it.
        """
        own = [span for span in alone.spans if span.message == turn and span.field != "role"]
        if any(span.end > at for span in own if span.field in REASONING_NAMES):
            return False
        if not any(span.end <= at for span in own if span.field not in REASONING_NAMES):
            return False
        bare = whole.conversation
        for index in range(len(bare.messages)):
            bare = without_trace(bare, index)
        history = self.render(bare, kwargs, False)
        last = self.render(self.keys.head(bare, turn + 1), kwargs, False)
        return (
            history is not None and last is not None and not history.text.startswith(last.text[: self._end(last, turn)])
        )

    def _end(self, rendering: Rendering, turn: int) -> int:
        """Return the end of the last turn, after its stop token."""
        held = [
            span.end
            for span in rendering.spans
            if span.message == turn and span.turn in (turn, None) and span.field != "role"
        ]
        start = held[-1] if held else 0
        ends = [at + len(stop) for stop in self._probes.stops if (at := rendering.text.find(stop, start)) >= 0]
        return min(ends, default=start)


def _turn_at(rendering: Rendering, at: int) -> int | None:
    """Return the index of the message whose turn holds a character; None for any other text."""
    return next((span.turn for span in rendering.spans if span.start <= at < span.end), None)
