"""Reading of harmony, the format of gpt-oss: a turn of several messages, each with a channel and perhaps a recipient.

Templates write one order of these; models write others. A recipient stands before or after the channel, the type of the
content may be missing or a constraint, and a turn may have several traces, or text to the user before a call:

    <|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>commentary to=functions.f<|message|>{}<|call|>

Source of the format: https://github.com/openai/harmony.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from chattmpl.conversation.json_text import STRICT
from chattmpl.parse.forms import Arguments, Calls, Fields, Form, Slot

ENDS = ("<|return|>", "<|call|>", "<|end|>")
"""The tokens at which sampling may end."""

_RECIPIENT = r"(?: ?to=(?:functions\.)?(?P<{}>[^\s<]+))?"
_MESSAGE = re.compile(
    r"\s*(?:<\|start\|>assistant)?"
    + _RECIPIENT.format("before")
    + r"<\|channel\|>(?P<channel>analysis|commentary|final)"
    + _RECIPIENT.format("after")
    + r"(?: ?(?:<\|constrain\|>)?(?:json|code|text))?\s*<\|message\|>(?P<text>.*?)"
    + r"(?:<\|(?P<end>return|call|end)\|>|\Z)",
    re.DOTALL,
)


def writes_harmony(texts: Iterable[str]) -> bool:
    """Return whether a template's texts in turns are those of harmony."""
    joined = "".join(texts)
    return "<|channel|>" in joined and "<|message|>" in joined


def harmony_forms() -> tuple[Form, ...]:
    """Return the forms of turns with one trace and one call, in which models write them."""
    types = (" <|constrain|>json", " json", "")
    heads = [(" to=functions.", f"<|channel|>commentary{kind}<|message|>") for kind in types]
    heads += [("<|channel|>commentary to=functions.", f"{kind}<|message|>") for kind in types]
    calls = [Calls("", (before, Slot("name"), after, Arguments("json")), "", "", many=False) for before, after in heads]
    trace = ("<|channel|>analysis<|message|>", Slot("reasoning"), "<|end|><|start|>assistant")
    text = ("<|channel|>commentary<|message|>", Slot("content"), "<|end|><|start|>assistant")
    answers = [(f"<|channel|>final{kind}<|message|>", Slot("content")) for kind in ("", " <|constrain|>json")]
    rests = [*answers, *((call,) for call in calls), *((*text, call) for call in calls)]
    return tuple(Form((*start, *rest), "", "") for start in (trace, ()) for rest in rests)


def read_harmony(text: str) -> Fields | None:
    """Return the fields of a turn; None if it is none, or has no answer and no call."""
    traces, texts, calls = [], [], []
    answered, place = False, 0
    while place < len(text.rstrip()):
        match = _MESSAGE.match(text, place)
        if match is None or answered:
            return None
        name, content = match["before"] or match["after"], match["text"]
        last = match.end() >= len(text.rstrip())
        if (
            "<|" in content
            or (not match["end"] and not last)
            or (match["end"] == "return") > (match["channel"] == "final")
        ):
            return None
        if name is not None:
            try:
                arguments = STRICT.decode(content.strip())
            except (ValueError, RecursionError):
                return None
            calls.append({"name": name, "arguments": arguments})
        elif calls:
            return None
        elif match["channel"] == "analysis":
            traces.append(content)
        else:
            texts.append(content)
            answered = match["channel"] == "final"
        place = match.end()
    fields: dict[str, Any] = {"content": "\n\n".join(texts)}
    if traces:
        fields["reasoning"] = "\n\n".join(traces)
    if calls:
        fields["calls"] = calls
    return fields if calls or answered else None
