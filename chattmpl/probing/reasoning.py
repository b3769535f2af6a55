"""Reasoning traces: where a template reads them from, and which it keeps."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chattmpl.compiler.policies import POLICIES
from chattmpl.conversation.normalization import REASONING_NAMES
from chattmpl.errors import ChatTmplError
from chattmpl.probing.corpus import (
    ASK,
    ASK_MORE,
    SAY,
    SAY_MORE,
    TRACES,
    TUSKS,
    Carrier,
    Message,
    call_message,
    result_message,
    with_trace,
)
from chattmpl.probing.prober import Prober, holds, refuses
from chattmpl.syntax.nodes import Attribute, Constant
from chattmpl.template.template import Rendering, Template

_PRINTED = re.compile(r"""['"]thinking['"]\s*:""")
"""A list of parts that was printed as data."""


_TRACE_MARK = re.compile(
    r"</?(?:\w+:)?think(?::\w+)?>|\[/?THINK\]|◁/?think▷|<\|channel\|>analysis<\|message\|>|<\|channel>thought"
    r"|<\|(?:START_THINKING|inner_prefix|think:start|think:end)\|>|<\|open\|>think<\|sep\|>"
)
"""The texts that open or close a trace in generation prompts."""


def reasoning_start(prompt: str) -> int:
    """Return the offset in a generation prompt at which reasoning is opened or closed; its length if it is not."""
    found = _TRACE_MARK.search(prompt)
    return len(prompt) if found is None else found.start()


@dataclass
class Traces:
    """The way in which a template renders reasoning traces.

    Attributes:
        carrier: where it takes traces from; None if it takes none.
        kwargs: template kwargs without which it renders none.
        template: the template under the retention policy without which it renders none; None for its own policy.
        texts: renderings that contain a trace.
        cut_from_content: True if it removes ``<think>…</think>`` from the content.
    """

    carrier: Carrier | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)
    template: Template | None = None
    texts: list[str] = field(default_factory=list)
    cut_from_content: bool = False


def find_traces(prober: Prober, settings: Iterable[Mapping[str, Any]]) -> Traces:
    """Find a way to render traces: by default, else in one of the settings, else under the policy ``all``."""
    found = Traces(cut_from_content=_cuts_from_content(prober))
    ways = [{}, *sorted((dict(setting) for setting in settings), key=len)]
    if any(_renders_traces(prober, found, kwargs, None) for kwargs in ways):
        return found
    policy = prober.template.retention
    if policy not in (None, "all") and _renders_traces(prober, found, {}, prober.template.with_retention("all")):
        return found
    if found.cut_from_content:
        found.carrier = "content"
        alone = prober.text([ASK, with_trace(SAY, TRACES[0], "content")]) or ""
        found.texts = [alone] if TRACES[0] in alone else []
    return found


def _renders_traces(prober: Prober, found: Traces, kwargs: dict[str, Any], template: Template | None) -> bool:
    """Return whether traces are rendered in one way, and record that way."""
    call = with_trace(call_message(**prober.call_options), TRACES[0])
    carriers: tuple[Carrier, ...] = ("field", "part")
    for carrier in carriers:
        ends: list[tuple[list[Message], bool]] = [([ASK, with_trace(SAY, TRACES[0], carrier)], False)]
        if carrier == "field":
            ends += [([ASK, call], True), ([ASK, call, result_message()], True)]
        texts = [
            text
            for messages, tools in ends
            if TRACES[0] in (text := prober.text(messages, tools=tools, template=template, kwargs=kwargs) or "")
            and not _PRINTED.search(text)
        ]
        if texts:
            found.carrier, found.kwargs, found.template, found.texts = carrier, kwargs, template, texts
            return True
    return False


def _cuts_from_content(prober: Prober) -> bool:
    """Return whether a trace in the content is removed, from the last answer or from an earlier one."""
    answer = with_trace(SAY, TRACES[0], "content")
    texts = (prober.text(messages) for messages in ([ASK, answer], [ASK, answer, ASK_MORE]))
    return any(text is not None and SAY["content"] in text and TRACES[0] not in text for text in texts)


def reasoning_keys(template: Template) -> list[str]:
    """Return the names of the reasoning field that a template reads."""
    tree = template.program.syntax
    read = {node.name for node in tree.nodes(Attribute)} | {node.value for node in tree.nodes(Constant)}
    return [name for name in REASONING_NAMES if name in read]


def traces_unseen(prober: Prober) -> bool:
    """Return whether a template reads traces but fails where it may render them: in turns with calls."""
    error = prober.call_form[1]
    return bool(reasoning_keys(prober.template)) and isinstance(error, ChatTmplError) and not refuses(error)


# -- retention


@dataclass(frozen=True)
class Kept:
    """The traces that a template keeps in one conversation.

    Attributes:
        rendered: indices of the messages whose trace is rendered.
        expected: for each policy, indices of the messages whose trace it keeps.
    """

    rendered: list[int]
    expected: Mapping[str, list[int]]

    def agrees(self, policy: str) -> bool:
        """Return whether a policy keeps the same traces."""
        return self.rendered == self.expected[policy]


@dataclass(frozen=True)
class ObservedRetention:
    """Traces that a template keeps.

    Attributes:
        policy: the retention policy that keeps the same traces; ``other`` if none does.
        kept: the traces kept in each rendered conversation, by how the conversation ends.
        in_tool_loops: True if conversations with tool loops were rendered.
        but_open_loop: True if an open tool loop keeps traces that the policy drops.
        but_final: True if the final answer drops its own trace, which the policy keeps.
        loop_policy: the policy in tool loops, where another one holds without them; then `policy` is ``other``.
        plain_policy: the policy in conversations without tool loops, where another one holds in them.
    """

    policy: str
    kept: dict[str, list[int]]
    in_tool_loops: bool
    but_open_loop: bool = False
    but_final: bool = False
    loop_policy: str | None = None
    plain_policy: str | None = None


_LEAST_FIRST = tuple(reversed(POLICIES))
"""The policies, from the one that keeps least."""

_OPEN, _NEW, _FINISHED, _FIRST = "open_tool_loop", "new_question", "finished", "first_answer"
_LOOPS: dict[str, tuple[int, bool]] = {_FINISHED: (8, False), _OPEN: (7, True), _NEW: (5, True), _FIRST: (4, False)}
_PLAIN: dict[str, tuple[int, bool]] = {_FINISHED: (4, False), _NEW: (3, True), _FIRST: (2, False)}
"""For each end, the number of messages, and whether the generation prompt follows."""


def find_retention(prober: Prober, traces: Traces) -> ObservedRetention | None:
    """Return the traces that a template keeps; None if no conversation with several turns is rendered."""
    plain = _kept(prober, traces, _conversation(prober, traces.carrier or "field", False), _PLAIN)
    # Traces in the content say little of turns with calls: there the content is often treated apart.
    looped: dict[str, Kept] = {}
    if traces.carrier == "field":
        looped = _kept(prober, traces, _conversation(prober, "field", True), _LOOPS, tools=True)
    if _FINISHED not in looped:
        return _recognized(plain, False) if plain else None
    found = _recognized(looped, True, _interrupted(prober, traces))
    # Without tools there is no open loop, so a template that drops the final trace drops all of them.
    same = "none" if found.but_final else found.policy
    if plain and same != "other" and not all(kept.agrees(same) for kept in plain.values()):
        every = (*looped.values(), *plain.values())
        if (policy := next((name for name in POLICIES if all(kept.agrees(name) for kept in every)), None)) is not None:
            return ObservedRetention(policy, found.kept, True)
        without = _recognized(plain, False).policy
        return ObservedRetention("other", found.kept, True, loop_policy=found.policy, plain_policy=without)
    return found


def _interrupted(prober: Prober, traces: Traces) -> dict[str, Kept]:
    """Return the traces that are kept where a question interrupts a tool loop."""
    call = with_trace(call_message(TUSKS[:1], **prober.call_options), TRACES[0])
    loop = [ASK, call, result_message(), ASK_MORE]
    return _kept(prober, traces, (loop, {TRACES[0]: 1}), {"interrupted": (4, True)}, tools=True)


def _kept(
    prober: Prober,
    traces: Traces,
    conversation: tuple[list[Message], dict[str, int]],
    ends: Mapping[str, tuple[int, bool]],
    *,
    tools: bool = False,
) -> dict[str, Kept]:
    """Return the traces that are kept in a conversation, by how it ends."""
    messages, places = conversation
    found = {}
    for name, (count, prompt) in ends.items():
        # A policy is the template's own, whatever was needed to see a trace at all.
        made = prober.outcome(messages[:count], prompt=prompt, tools=tools, kwargs=traces.kwargs)
        if isinstance(made, Rendering):
            given = {trace: index for trace, index in places.items() if index < count}
            rendered = [index for trace, index in given.items() if holds(made, trace, index)]
            keeps = {name: policy.keeps(made.conversation, prompt) for name, policy in POLICIES.items()}
            expected = {name: [index for index in given.values() if index in kept] for name, kept in keeps.items()}
            found[name] = Kept(rendered, expected)
    return found


def _conversation(prober: Prober, carrier: Carrier, loops: bool) -> tuple[list[Message], dict[str, int]]:
    """Return a conversation, and for each trace the index of its message."""
    first, second, third, fourth = TRACES
    if not loops:
        messages = [ASK, with_trace(SAY, first, carrier), ASK_MORE, with_trace(SAY_MORE, second, carrier)]
        return messages, {first: 1, second: 3}
    one, other = (call_message((tusk,), **prober.call_options) for tusk in TUSKS)
    answers = [with_trace(SAY, second, carrier), with_trace(SAY_MORE, fourth, carrier)]
    result = result_message()
    messages = [ASK, with_trace(one, first), result, answers[0], ASK_MORE, with_trace(other, third), result, answers[1]]
    return messages, {first: 1, second: 3, third: 5, fourth: 7}


def _recognized(
    kept: Mapping[str, Kept], loops: bool, tie_break: Mapping[str, Kept] | None = None
) -> ObservedRetention:
    """Return the policy that keeps the same traces, by how a conversation ends, with or without tool loops.

    Conversations of ``tie_break`` tell policies apart which agree in all others.
    """
    indices = {name: one.rendered for name, one in kept.items()}
    wrong = {policy: [name for name, one in kept.items() if not one.agrees(policy)] for policy in _LEAST_FIRST}
    agreeing = [policy for policy, names in wrong.items() if not names]
    if agreeing and tie_break is not None:
        told = [policy for policy in agreeing if all(one.agrees(policy) for one in tie_break.values())]
        return ObservedRetention((told or agreeing)[-1], indices, loops)
    if agreeing:
        return ObservedRetention(agreeing[0], indices, loops)
    for policy, names in wrong.items():
        if names == [_OPEN] and policy == "none":
            return ObservedRetention("open_tool_loop", indices, loops, but_final=True)
        if names == [_OPEN]:
            return ObservedRetention(policy, indices, loops, but_open_loop=True)
    return ObservedRetention("other", indices, loops)
