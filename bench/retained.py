"""Independent check of rewritten templates: transformers renders them, and a few rules check the texts.

Used by ``bench/retain.py``. It shares nothing with the proof: it has other conversations, in which each trace is a
unique word, and computes from the roles which traces a policy keeps.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from unittest import mock

Message = dict[str, Any]

WORDS = ("Zebrafish", "Yellowtail", "Xenopus", "Wombat", "Vicuna", "Urchin")
_EMPTY = re.compile(r"(?:<think>\s*)?</think>\s*")
_NOW = datetime(2025, 7, 10, 12, 0)
_TOOL = {
    "type": "function",
    "function": {
        "name": "count",
        "description": "Counts things.",
        "parameters": {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]},
    },
}
# The simplest form of a call that a template takes: some want arguments as text, some no ids.
_ARGUMENTS: tuple[Any, ...] = ({"what": "sheep"}, '{"what": "sheep"}')


def _ask(number: int) -> Message:
    return {"role": "user", "content": f"Ask {number}?"}


def _say(number: int, trace: str | None = None, *, carrier: str = "field", calls: Any = None) -> Message:
    content = "" if calls is not None else f"Say {number}."
    made: Message = {"role": "assistant", "content": content}
    if trace is not None and carrier == "field":
        made["reasoning_content"] = trace
    elif trace is not None:
        made["content"] = f"<think>\n{trace}\n</think>\n\n{content}"
    if calls is not None:
        call = {"id": f"call{number:05d}", "type": "function", "function": {"name": "count", "arguments": calls}}
        made["tool_calls"] = [call]
    return made


def _result(number: int) -> Message:
    return {"role": "tool", "name": "count", "tool_call_id": f"call{number:05d}", "content": f"Count {number}"}


def conversations(carrier: str, arguments: Any) -> Iterator[tuple[str, list[Message], bool]]:
    """Yield conversations: a title, the messages, and whether tools are passed."""
    traces = [f"Because {word} swims." for word in WORDS]

    def say(number: int, trace: str | None = None, calls: Any = None) -> Message:
        return _say(number, trace, carrier=carrier, calls=calls)

    system = {"role": "system", "content": "Be brief."}
    yield "none", [_ask(0), say(0), _ask(1), say(1), _ask(2), say(2)], False
    yield "none at first", [_ask(0), say(0), _ask(1), say(1, traces[1])], False
    yield "two", [_ask(0), say(0, traces[0]), _ask(1), say(1, traces[1])], False
    yield "three", [system, *(one for n in range(3) for one in (_ask(n), say(n, traces[n])))], False
    yield "asked", [_ask(0), say(0, traces[0]), _ask(1)], False
    yield "last without", [_ask(0), say(0, traces[0]), _ask(1), say(1)], False
    yield "gap", [_ask(0), say(0, traces[0]), _ask(1), say(1), _ask(2), say(2, traces[2])], False
    yield "empty", [_ask(0), say(0, ""), _ask(1), say(1, traces[1])], False
    call = [say(n, traces[n], arguments) for n in range(2)]
    loop = [_ask(0), call[0], _result(0), call[1], _result(1)]
    yield "open loop", loop, True
    yield "interrupted loop", [*loop[:3], _ask(1)], True
    yield "loop", [*loop, say(2, traces[2])], True
    yield "two loops", [*loop, say(2, traces[2]), _ask(1), say(3, traces[3], arguments), _result(3)], True
    yield "loop without", [_ask(0), say(0, None, arguments), _result(0), say(1), _ask(1), say(2)], True


def kept(policy: str, messages: list[Message], prompt: bool, tools: bool) -> set[int]:
    """Return the indices of the messages whose traces a policy keeps."""
    answers = {index for index, message in enumerate(messages) if message["role"] == "assistant"}
    asked = max((index for index, message in enumerate(messages) if message["role"] == "user"), default=-1)
    done = [n for n in answers if "tool_calls" not in messages[n] and (prompt or n < len(messages) - 1)]
    since = {index for index in answers if index > asked}
    return {
        "all": answers,
        "all_with_tools": answers if tools else since,
        "calls_since_last_user": {index for index in since if "tool_calls" in messages[index]},
        "none": set(),
        "last": {index for index in answers if index == len(messages) - 1 and not prompt},
        "since_last_user": since,
        "open_tool_loop": {index for index in answers if index > max(done, default=-1)},
    }[policy]


@dataclass
class Look:
    """Result of the check of one template under one policy.

    Attributes:
        texts: number of texts that were rendered with transformers.
        traces: number of traces that were searched for.
        laws: for ``all``, number of times that the laws sampled and prefix held.
        wrong: what the rewrite got wrong.
        upstream: what was wrong before the rewrite.
    """

    texts: int = 0
    traces: int = 0
    laws: int = 0
    wrong: list[str] = field(default_factory=list)
    upstream: list[str] = field(default_factory=list)


class _Side:
    """One template, rendered by transformers."""

    def __init__(self, source: str, tokens: dict[str, str], kwargs: dict[str, Any]) -> None:
        self._source = source
        self._beside = {**tokens, **kwargs}
        self._known: dict[str, str | None] = {}

    def text(self, messages: list[Message], tools: bool, prompt: bool = False) -> str | None:
        key = repr((messages, tools, prompt))
        if key not in self._known:
            self._known[key] = _rendered(self._source, messages, tools, prompt, self._beside)
        return self._known[key]


def _rendered(source: str, messages: list[Message], tools: bool, prompt: bool, beside: dict[str, Any]) -> str | None:
    import transformers.utils.chat_template_utils as utils

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Clock:
            return cls(*_NOW.timetuple()[:6], tzinfo=tz)

    utils.logger.setLevel("ERROR")
    try:
        with mock.patch.object(utils, "datetime", Clock):
            texts, _ = utils.render_jinja_template(
                conversations=[copy.deepcopy(messages)],
                tools=[_TOOL] if tools else None,
                chat_template=source,
                add_generation_prompt=prompt,
                **beside,
            )
    except Exception:  # whatever a template raises
        return None
    return str(texts[0])


def look(before: str, after: str, policy: str, tokens: dict[str, str], modes: list[dict[str, Any]]) -> Look:
    """Compare two templates on the conversations of this module."""
    found = Look()
    for carrier in ("field", "content"):
        for kwargs in _kwargs(before, tokens, modes, carrier):
            old, new = _Side(before, tokens, kwargs), _Side(after, tokens, kwargs)
            for arguments in _ARGUMENTS:
                probe = [_ask(0), _say(0, calls=arguments), _result(0)]
                if old.text(probe, True) is not None or arguments is _ARGUMENTS[-1]:
                    break
            for title, messages, tools in conversations(carrier, arguments):
                where = f"{title}, {carrier}{f' {kwargs}' if kwargs else ''}"
                for prompt in (False, True) if messages[-1]["role"] != "assistant" else (False,):
                    _judge(found, old, new, policy, carrier, messages, tools, prompt, where)
                if policy == "all":
                    _laws(found, old, new, messages, tools, where)
    return found


def _kwargs(source: str, tokens: dict[str, str], modes: list[dict[str, Any]], carrier: str) -> list[dict[str, Any]]:
    """Return the kwargs under which the trace of the last answer is rendered: none, or those of the first mode."""
    for kwargs in ({}, *modes):
        text = _Side(source, tokens, kwargs).text([_ask(0), _say(0, WORDS[0], carrier=carrier)], False)
        if text is not None and WORDS[0] in text:
            return [kwargs]
    return [{}]


def _judge(
    found: Look,
    old: _Side,
    new: _Side,
    policy: str,
    carrier: str,
    messages: list[Message],
    tools: bool,
    prompt: bool,
    where: str,
) -> None:
    was, is_ = old.text(messages, tools, prompt), new.text(messages, tools, prompt)
    found.texts += 2
    where += " + prompt" if prompt else ""
    if was is None or is_ is None:
        if (was is None) != (is_ is None):
            found.wrong.append(f"{where}: {'now' if is_ is None else 'no longer'} refused")
        return
    for word in ("Ask ", "Say ", "Count ", "sheep", "Be brief"):
        if was.count(word) != is_.count(word):
            found.wrong.append(f"{where}: {word!r} is rendered {is_.count(word)} times, not {was.count(word)}")
    keep = kept(policy, messages, prompt, tools)
    # Traces that the template cuts out of all contents may stay now.
    cuts = carrier == "content" and _treats_content(old)
    carrying = {n: word for n, word in _traces(messages) if _can(old, messages, n, tools, word, cuts)}
    shown = {n for n, word in carrying.items() if word in is_}
    found.traces += len(carrying)
    wanted = keep & carrying.keys()
    if carrier == "content" and was == is_:
        # Text that the template treats as content is content.
        if shown != wanted and cuts:
            found.wrong.append(f"{where}: traces of {sorted(shown)} are rendered, not of {sorted(wanted)}")
    elif shown != wanted:
        found.wrong.append(f"{where}: traces of {sorted(shown)} are rendered, not of {sorted(wanted)}")
    last = max((n for n, message in enumerate(messages) if message["role"] == "assistant"), default=-1)
    earlier = [n for n, message in enumerate(messages) if n != last and "</think>" in message["content"]]
    earlier += [n for n, _ in _traces(messages) if n != last]
    # An empty block is a trace too, and so is </think> alone in its place.
    changed = _EMPTY.sub("", was) != _EMPTY.sub("", is_)
    if not earlier and changed and policy != "all" and {n for n, word in carrying.items() if word in was} == wanted:
        found.wrong.append(f"{where}: the text changes without an earlier trace")


def _treats_content(old: _Side) -> bool:
    """Return whether a template cuts traces out of some contents."""
    answers = [_ask(0), _say(0, WORDS[0], carrier="content"), _ask(1), _say(1, WORDS[1], carrier="content")]
    text = old.text(answers, False)
    return text is not None and "Say 0" in text and not (WORDS[0] in text and WORDS[1] in text)


def _traces(messages: list[Message]) -> list[tuple[int, str]]:
    found = []
    for n, message in enumerate(messages):
        trace = message.get("reasoning_content") or ""
        held = next((word for word in WORDS if word in trace or word in message["content"]), None)
        if held is not None:
            found.append((n, held))
    return found


def _can(old: _Side, messages: list[Message], n: int, tools: bool, word: str, cuts: bool) -> bool:
    """Return whether the template renders this trace, or a content in its place, when its message is the last one."""
    last = {**messages[n], "content": word} if cuts else messages[n]
    alone = old.text([*messages[:n], last], tools)
    return alone is not None and word in alone


def _laws(found: Look, old: _Side, new: _Side, messages: list[Message], tools: bool, where: str) -> None:
    """Check that each turn starts with its prompt, and stays in history as it was when it was the last one."""
    whole, was = new.text(messages, tools), old.text(messages, tools)
    if whole is None or was is None:
        return
    for n, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        for law, one, two in (
            ("sampled", _began(old, messages, n, tools), _began(new, messages, n, tools)),
            ("prefix", _stays(old, messages, n, tools), _stays(new, messages, n, tools)),
        ):
            found.laws += two
            if not two:
                # A turn that does not follow its prompt alone did not do so before either.
                bare = _stays if law == "prefix" else _began
                plain = [{k: v for k, v in one.items() if k != "reasoning_content"} for one in messages]
                upstream = not one and (law == "sampled" or not bare(old, plain, n, tools))
                (found.upstream if upstream else found.wrong).append(f"{where}: {law} fails for messages[{n}]")


def _began(side: _Side, messages: list[Message], n: int, tools: bool) -> bool:
    prompt, alone = side.text(messages[:n], tools, True), side.text(messages[: n + 1], tools)
    return prompt is None or alone is None or alone.startswith(prompt)


def _stays(side: _Side, messages: list[Message], n: int, tools: bool) -> bool:
    alone, whole = side.text(messages[: n + 1], tools), side.text(messages, tools)
    if alone is None or whole is None:
        return True
    return whole.startswith(alone) or (n < len(messages) - 1 and whole.startswith(_cut(alone)))


def _cut(alone: str) -> str:
    """Return a text without trailing white space."""
    return alone.rstrip()
