"""The frame of turns: the generation prompt, the stop tokens that end a turn, and the BOS token."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from chattmpl.capabilities.conversations import ASK, ASK_MORE, SAY, SAY_MORE, TRACES, Message, calling, result, thinking
from chattmpl.capabilities.modes import Mode, shown
from chattmpl.capabilities.prober import NAMED, Prober
from chattmpl.lint.probe import common_length
from chattmpl.template.special_tokens import CONTROL
from chattmpl.template.template import Rendering

_BOS = re.compile(
    r"<s>|<bos>|<BOS_TOKEN>|<\|begin_of_text\|>|<｜begin▁of▁sentence｜>|<\|startoftext\|>|<\|endoftext\|>"
    r"|<\|begin▁of▁sentence\|>|<seed:bos>(?!\w)|<\|bos\|>|\[BOS\]"
)
"""How BOS tokens are spelt, for templates that write them themselves."""


_CONTROL = re.compile(rf"{CONTROL.pattern}|\]~b\]|</user>")
"""What looks like a control token, with some that only end turns."""


def generation_prompt(prober: Prober, kwargs: dict[str, Any] | None = None) -> str | None:
    """What ``add_generation_prompt`` appends to a question; None where that is not known."""
    without, prompted = (prober.text([ASK], prompt=prompt, kwargs=kwargs) for prompt in (False, True))
    if without is None or prompted is None:
        return None
    start = common_length(without, prompted)
    if not prompted.startswith(without):
        # Two control tokens that begin alike have nothing in common.
        start = next((m.start() for m in _CONTROL.finditer(prompted) if m.start() < start < m.end()), start)
    return named(prober, prompted[start:])


def generation_prompts(prober: Prober, modes: Iterable[Mode]) -> dict[str, str]:
    """The other generation prompts, by the setting that gives them."""
    usual = generation_prompt(prober)
    found = {}
    for mode in modes:
        for setting in mode.changing("generation prompt") if mode.values else ():
            prompt = generation_prompt(prober, setting)
            if prompt is not None and prompt != usual:
                found[f"{mode.name}={shown(setting[mode.name])}"] = prompt
    return found


def stop_tokens(prober: Prober, modes: Iterable[Mode]) -> list[str] | None:
    """The tokens that end an assistant turn, in every mode; None where no such turn could be rendered."""
    ways: list[dict[str, Any]] = [{}, *(setting for mode in modes for setting in mode.changing("history"))]
    call = calling(**prober.call_options)
    found: dict[str, None] = {}
    seen, opener = False, _opener(prober)
    for kwargs in ways:
        for turn, tools in ((SAY, False), (thinking(SAY, TRACES[0]), False), (call, True)):
            behind = [result(), SAY_MORE] if tools else [ASK_MORE]
            alone = _tail(prober, [ASK, turn], turn, tools, kwargs)
            followed = _tail(prober, [ASK, turn, *behind], turn, tools, kwargs)
            if alone is not None:
                seen = True
                found.update(dict.fromkeys(_ends(alone, followed, behind[0]["content"], opener)))
    return [named(prober, token) for token in found] if seen else None


def _tail(prober: Prober, messages: list[Message], turn: Message, tools: bool, kwargs: dict[str, Any]) -> str | None:
    """The text behind what a turn holds."""
    text = prober.text(messages, tools=tools, kwargs=kwargs)
    word = "lefttusk" if turn.get("tool_calls") else SAY["content"]
    return None if text is None or word not in text else text[text.rindex(word) + len(word) :]


def _ends(alone: str, followed: str | None, next_word: str, opener: str | None) -> list[str]:
    """The stop tokens: the last control token that stands behind a turn whatever follows.

    Where the last turn and an earlier one end differently, both ends count.

    Args:
        alone: the text behind a turn that is the last one.
        followed: the text behind it where a message follows.
        next_word: what that message says.
        opener: the control token that opens a question.
    """
    last = _controls(alone, opener)
    if followed is None or next_word not in followed:
        return [match[0] for match in last[-1:]]
    followed = followed[: followed.index(next_word)]
    common = common_length(alone, followed)
    both = [match for match in last if match.end() <= common]
    if both or (last and opener is None):
        return [match[0] for match in (both or last)[-1:]]
    closing = _controls(followed, opener) if opener is not None and opener in followed else []
    return [match[0] for match in (*last[-1:], *closing[-1:])]


def _controls(text: str, opener: str | None) -> list[re.Match[str]]:
    """The control tokens before the one that opens the next turn."""
    end = text.find(opener) if opener else -1
    return list(_CONTROL.finditer(text, 0, len(text) if end < 0 else end))


def _opener(prober: Prober) -> str | None:
    """The first control token of those that open every question; None where there is none.

    They are what two questions have before them alike, and what is written while the second one is rendered. Either may
    hold more: the end of the turn before, where that is alike as well, or where it is written late.
    """
    made = prober.render([ASK, SAY, ASK_MORE])
    words = [ASK["content"], SAY["content"], ASK_MORE["content"]]
    if not isinstance(made, Rendering) or not all(word in made.text for word in words):
        return None
    at, said, more = (made.text.index(word) for word in words)
    alike = []
    pairs = zip(
        reversed(_CONTROL.findall(made.text[:at])), reversed(_CONTROL.findall(made.text[said:more])), strict=False
    )
    for one, other in pairs:
        if one != other:
            break
        alike.append(one)
    starts = [span.start for span in made.spans if span.turn == 2]
    written = _CONTROL.findall(made.text[starts[0] : more]) if starts else alike
    opener = min(alike[::-1], written, key=len)
    return opener[0] if opener else None


def bos(prober: Prober) -> str | None:
    """The BOS token that the template writes; None if it writes none."""
    text = prober.text([ASK], prompt=True)
    if text is None:
        return None
    token = prober.tokens.get("bos_token")
    if token and text.startswith(token):
        return named(prober, token)
    match = _BOS.match(text)
    return match[0] if match else None


def named(prober: Prober, text: str) -> str:
    """The text with variables for the special tokens that are not known: ``{eos_token}``."""
    for name, token in NAMED.items():
        if prober.tokens.get(name) == token:
            text = text.replace(token, f"{{{name}}}")
    return text
