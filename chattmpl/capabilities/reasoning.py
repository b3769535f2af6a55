"""Reasoning: whether traces are rendered, from which key, and which retention policy the template implements."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jinja2 import nodes

from chattmpl.capabilities.answer import Answer, raised, refuses
from chattmpl.capabilities.conversations import (
    ASK,
    ASK_MORE,
    SAY,
    SAY_MORE,
    TRACES,
    Message,
    calling,
    result,
    thinking,
)
from chattmpl.capabilities.prober import Prober, holds
from chattmpl.conversation.normalization import REASONING_NAMES
from chattmpl.errors import ChatTmplError
from chattmpl.lint.tree import key
from chattmpl.template.template import Rendering, Template

_PRINTED = re.compile(r"""['"]thinking['"]\s*:""")
"""A list of parts that was printed as data."""

CARRIERS = ("field", "part", "content")
"""Where a trace may be: in a field of its own, in a part of the content of type thinking, in the content's text."""


@dataclass
class Traces:
    """How a template renders reasoning.

    Attributes:
        carrier: where it takes traces from; None if it takes none.
        kwargs: template kwargs without which it does not.
        template: another policy without which it does not: None for its own.
        texts: renderings in which a trace is.
        cut_from_content: whether it takes traces in ``<think>`` out of the content.
    """

    carrier: str | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)
    template: Template | None = None
    texts: list[str] = field(default_factory=list)
    cut_from_content: bool = False


def carry(carrier: str, message: Message, trace: str) -> Message:
    """The message with a trace."""
    if carrier == "field":
        return thinking(message, trace)
    if carrier == "part":
        parts = [{"type": "thinking", "thinking": trace}, {"type": "text", "text": message["content"]}]
        return {**message, "content": parts}
    return {**message, "content": f"<think>\n{trace}\n</think>\n\n{message['content'] or ''}"}


def find_traces(prober: Prober, modes: Iterable[dict[str, Any]]) -> Traces:
    """How reasoning gets into a rendering: by default, else with a mode, else under the policy ``all``."""
    found = Traces(cut_from_content=_cut(prober))
    ways = [{}, *sorted(modes, key=len)]
    if any(_found(prober, found, kwargs, None) for kwargs in ways):
        return found
    policy = prober.template.retention
    if policy not in (None, "all") and _found(prober, found, {}, prober.template.with_retention("all")):
        return found
    if found.cut_from_content:
        found.carrier = "content"
        alone = prober.text([ASK, carry("content", SAY, TRACES[0])]) or ""
        found.texts = [alone] if TRACES[0] in alone else []
    return found


def _found(prober: Prober, found: Traces, kwargs: dict[str, Any], template: Template | None) -> bool:
    """Whether traces are rendered in one way, which is then written down."""
    for carrier in ("field", "part"):
        texts = [
            text
            for messages, tools in _endings(prober, carrier)
            if TRACES[0] in (text := prober.text(messages, tools=tools, template=template, kwargs=kwargs) or "")
            and not _PRINTED.search(text)
        ]
        if texts:
            found.carrier, found.kwargs, found.template, found.texts = carrier, kwargs, template, texts
            return True
    return False


def _endings(prober: Prober, carrier: str) -> list[tuple[list[Message], bool]]:
    call = calling(**prober.call_options)
    ends: list[tuple[list[Message], bool]] = [([ASK, carry(carrier, SAY, TRACES[0])], False)]
    if carrier == "field":
        ends.append(([ASK, thinking(call, TRACES[0])], True))
        ends.append(([ASK, thinking(call, TRACES[0]), result()], True))
    return ends


def _cut(prober: Prober) -> bool:
    """Whether a trace in the content is taken out, of the last answer or of an earlier one."""
    answer = carry("content", SAY, TRACES[0])
    for messages in ([ASK, answer], [ASK, answer, ASK_MORE]):
        text = prober.text(messages)
        if text is not None and SAY["content"] in text and TRACES[0] not in text:
            return True
    return False


def keys_read(prober: Prober) -> list[str]:
    """The names of reasoning that the template looks up in messages."""
    read = set()
    for node in prober.subject.nodes(nodes.Node):
        name = key(node)
        if name is None and isinstance(node, nodes.Const) and isinstance(node.value, str):
            name = node.value
        if name in REASONING_NAMES:
            read.add(name)
    return [name for name in REASONING_NAMES if name in read]


def reasoning(prober: Prober, traces: Traces) -> Answer:
    """Whether traces are rendered."""
    facts: dict[str, Any] = {
        "carrier": traces.carrier,
        "keys": keys_read(prober) if traces.carrier == "field" else [],
        "in_content": "cut" if traces.cut_from_content else "not treated",
        "needs": traces.kwargs,
    }
    if prober.base is not None:
        return Answer("unknown", "", facts)
    if not traces.texts:
        made = prober.render([ASK, thinking(SAY, TRACES[0])])
        if isinstance(made, ChatTmplError):
            return Answer("unknown", f"raises: {raised(made)}", facts)
        if facts_unseen(prober):
            return Answer("unknown", "not in answers; turns with calls raise", facts)
        return Answer("no", "cut out of the content" if traces.cut_from_content else "dropped", facts)
    if traces.carrier == "content":
        return Answer("partly", "<think> in the content", facts)
    note = ", ".join(facts["keys"]) if traces.carrier == "field" else "a part of type thinking"
    if traces.kwargs:
        note += f", with {_settings(traces.kwargs)}"
    if traces.template is not None:
        note += ", under another retention"
    return Answer("yes", note, facts)


def facts_unseen(prober: Prober) -> bool:
    """Whether the template reads traces, and raises where it may render them: in turns with calls."""
    error = prober.call_form[1]
    return bool(keys_read(prober)) and isinstance(error, ChatTmplError) and not refuses(error)


def _settings(kwargs: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in kwargs.items())


# -- retention

Kept = dict[str, tuple[list[int], int, list[int]]]

_OPEN, _NEW, _FINISHED, _FIRST = "open_tool_loop", "new_question", "finished", "first_answer"


def retention(prober: Prober, traces: Traces, prompts: Iterable[str]) -> Answer:
    """Which policy the template implements: one of ours, or ``other`` with what it keeps.

    ``no reasoning`` is a template that has nothing to do with traces; ``drops reasoning`` one whose prompts ask for
    them, and that never renders any.
    """
    if prober.base is not None:
        return Answer("unknown")
    if traces.carrier is None and facts_unseen(prober):
        return Answer("unknown", "turns with calls raise", {"kept": {}})
    if traces.carrier is None:
        from chattmpl.capabilities.parsers import opens_reasoning

        asks = any(opens_reasoning(prompt) < len(prompt) for prompt in prompts)
        return Answer("no", "drops reasoning" if asks else "no reasoning", {"kept": {}})
    plain = _kept(prober, traces, loops=False)
    # Of traces in the content those of turns with calls say little: there the content is often treated apart.
    looped = _kept(prober, traces, loops=True) if traces.carrier == "field" else {}
    if _FINISHED in looped:
        return _together(_recognised(looped, True), plain)
    if not plain:
        return Answer("unknown", "no conversation with several turns could be rendered", {"kept": {}})
    return _recognised(plain, False)


_LOOPS: dict[str, tuple[int, bool]] = {_FINISHED: (8, False), _OPEN: (7, True), _NEW: (5, True), _FIRST: (4, False)}
_PLAIN: dict[str, tuple[int, bool]] = {_FINISHED: (4, False), _NEW: (3, True), _FIRST: (2, False)}


def _messages(prober: Prober, traces: Traces, loops: bool) -> tuple[list[Message], dict[str, int]]:
    """A conversation, and for each trace the index of its message."""
    carrier = traces.carrier or "field"
    with_calls = carrier == "field"
    first, second, third, fourth = TRACES
    if not loops:
        return [ASK, carry(carrier, SAY, first), ASK_MORE, carry(carrier, SAY_MORE, second)], {first: 1, second: 3}
    calls = [calling((tusk,), **prober.call_options) for tusk in ("lefttusk", "righttusk")]
    if with_calls:
        calls = [thinking(calls[0], first), thinking(calls[1], third)]
    answers = [carry(carrier, SAY, second), carry(carrier, SAY_MORE, fourth)]
    messages = [ASK, calls[0], result(), answers[0], ASK_MORE, calls[1], result(), answers[1]]
    places = {first: 1, second: 3, third: 5, fourth: 7}
    return messages, places if with_calls else {second: 3, fourth: 7}


def _kept(prober: Prober, traces: Traces, *, loops: bool) -> Kept:
    """For each way to end: the messages whose traces are rendered, how many messages there are, and those with one."""
    messages, places = _messages(prober, traces, loops)
    found = {}
    for name, (count, prompt) in (_LOOPS if loops else _PLAIN).items():
        # A policy of ours is the template's own, whatever was needed to see a trace at all.
        made = prober.render(messages[:count], prompt=prompt, tools=loops, kwargs=traces.kwargs)
        if isinstance(made, Rendering):
            there = [index for index in places.values() if index < count]
            rendered = [index for trace, index in places.items() if index < count and holds(made, trace, index)]
            found[name] = (rendered, count, there)
    return found


def _expected(policy: str, count: int, there: list[int], loops: bool) -> list[int]:
    users = (0, 4) if loops else (0, 2)
    last_user = max(index for index in users if index < count)
    return {
        "all": there,
        "none": [],
        "last": [index for index in there if index == count - 1],
        "since_last_user": [index for index in there if index > last_user],
    }[policy]


def _together(answer: Answer, plain: Kept) -> Answer:
    """The answer found with tool loops, unless conversations without them show another policy."""
    policy = answer.facts["policy"]
    if not plain or policy == "other" or not _wrong(plain, policy, False):
        return answer
    without = _recognised(plain, False).facts["policy"]
    return Answer("partly", f"{policy} in tool loops, {without} without", {**answer.facts, "policy": "other"})


def _wrong(kept: Kept, policy: str, loops: bool) -> list[str]:
    """The ways to end in which a policy would keep other traces."""
    return [
        name for name, (rendered, count, there) in kept.items() if rendered != _expected(policy, count, there, loops)
    ]


def _recognised(kept: Kept, loops: bool) -> Answer:
    facts = {"kept": {name: rendered for name, (rendered, _, _) in kept.items()}, "tool_loops": loops}
    wrong = {policy: _wrong(kept, policy, loops) for policy in ("none", "last", "since_last_user", "all")}
    for policy, names in wrong.items():
        if not names:
            note = "" if loops or policy in ("none", "all") else "tool loops could not be seen"
            return Answer("yes", note, {**facts, "policy": policy})
    for policy, names in wrong.items():
        if names == [_OPEN]:
            return Answer("partly", "an open tool loop keeps its own", {**facts, "policy": policy})
    shown = "; ".join(f"{name.replace('_', ' ')}: {_list(rendered)}" for name, (rendered, _, _) in kept.items())
    return Answer("partly", f"keeps of messages 1, 3, 5, 7 {shown}" if loops else shown, {**facts, "policy": "other"})


def _list(indices: list[int]) -> str:
    return ", ".join(map(str, indices)) or "none"
