"""Tools: their definitions, calls of them, and what they return."""

from __future__ import annotations

import re
from typing import Any

from jinja2 import nodes

from chattmpl.capabilities.answer import Answer, from_error, raised
from chattmpl.capabilities.conversations import (
    ASK,
    ASK_MORE,
    FRUITS,
    IDENTIFIERS,
    SAY,
    SYSTEM,
    TOOL,
    TUSKS,
    calling,
    result,
)
from chattmpl.capabilities.prober import Prober, holds
from chattmpl.errors import ChatTmplError
from chattmpl.lint.tree import key
from chattmpl.template.template import Rendering

_FUNCTION: dict[str, Any] = TOOL["function"]  # type: ignore[assignment]
_NAME: str = _FUNCTION["name"]
_PARAMETER = "tusk"


def tools(prober: Prober) -> Answer:
    """Whether the definitions of tools are rendered, how, and where."""
    made = prober.render([ASK, SAY, ASK_MORE], tools=True, prompt=True)
    if isinstance(made, ChatTmplError):
        made = prober.render([ASK], tools=True, prompt=True)
    if isinstance(made, ChatTmplError):
        return from_error(made)
    asked = made
    if _NAME not in made.text:
        made = prober.render([SYSTEM, ASK, SAY, ASK_MORE], tools=True, prompt=True)
    if isinstance(made, ChatTmplError) or _NAME not in made.text:
        return Answer("no", "dropped", {"form": None, "place": None})
    form, place = _form(made.text), _place(made.text)
    facts = {"form": form, "place": place}
    if made is not asked:
        return Answer("partly", "only beside a system message", facts)
    missing = [
        what
        for what, word in (("description", _FUNCTION["description"]), ("parameters", _PARAMETER))
        if word not in made.text
    ]
    if missing:
        return Answer("partly", f"without {' and '.join(missing)}", facts)
    return Answer("yes", f"{form}, {place}", facts)


def _form(text: str) -> str:
    if re.search(rf'"name"\s*:\s*"{_NAME}"', text):
        return "JSON"
    if f"'name': '{_NAME}'" in text:
        return "a Python dict"
    if re.search(rf"<name>\s*{_NAME}", text):
        return "XML"
    return "TypeScript" if re.search(rf"\b(type|function) {_NAME}\b", text) else "own form"


def _place(text: str) -> str:
    at = text.find(_NAME)
    if at < text.find(ASK["content"]):
        return "at the start"
    return "at the last question" if ASK_MORE["content"] in text else "behind the question"


def tool_calls(prober: Prober) -> Answer:
    """Whether calls are rendered, with which form of arguments, and whether their ids are."""
    form, made = prober.call_form
    if form is None:
        if isinstance(made, ChatTmplError):
            return from_error(made)
        # Null is as absent here, and a template can tell the two apart.
        if _asks_for_null(prober):
            return Answer("unknown", "not beside text; it asks whether content is null, which is absent here")
        return Answer("no", "dropped")
    assert isinstance(made, Rendering)
    arguments = {"object": _arguments(prober, False), "string": _arguments(prober, True)}
    complete = prober.render([ASK, calling(**form), result()], tools=True)
    facts: dict[str, Any] = {
        "arguments": arguments,
        "ids": IDENTIFIERS[0] in made.text or holds(complete, IDENTIFIERS[0]),
        "content_beside": _content_beside(prober, form),
    }
    if _NAME not in made.text:
        return Answer("partly", "without the function's name", facts)
    fine = [kind for kind, what in arguments.items() if what == "rendered"]
    notes = [f"arguments as {' or '.join(fine)}" if fine else "arguments escaped"]
    notes += ["ids kept"] if facts["ids"] else []
    notes += ["content beside them dropped"] if facts["content_beside"] == "dropped" else []
    return Answer("yes", "; ".join(notes), facts)


def _asks_for_null(prober: Prober) -> bool:
    tests = prober.subject.nodes(nodes.Test)
    return any(test.name == "none" and key(test.node) == "content" for test in tests)


def _arguments(prober: Prober, text: bool) -> str:
    form = {**prober.call_options, "text": text}
    made = prober.render([ASK, calling(**form)], tools=True)
    if isinstance(made, ChatTmplError):
        return f"raises: {raised(made)}"
    if TUSKS[0] not in made.text:
        return "dropped"
    return "encoded twice" if f'\\"{TUSKS[0]}\\"' in made.text else "rendered"


def _content_beside(prober: Prober, form: dict[str, Any]) -> str:
    made = prober.render([ASK, calling(**{**form, "content": SAY["content"]})], tools=True)
    if isinstance(made, ChatTmplError):
        return f"raises: {raised(made)}"
    return "rendered" if holds(made, SAY["content"], 1) else "dropped"


def parallel_tool_calls(prober: Prober) -> Answer:
    """Whether two calls in one message are both rendered."""
    form = prober.call_form[0]
    if form is None:
        answer = tool_calls(prober)
        return Answer(answer.state, "calls are dropped" if answer.state == "no" else answer.note)
    both = prober.render([ASK, calling(TUSKS, **form)], tools=True)
    if isinstance(both, ChatTmplError):
        return from_error(both)
    return Answer("yes") if all(tusk in both.text for tusk in TUSKS) else Answer("no", "only the first is rendered")


def tool_results(prober: Prober) -> Answer:
    """Whether what tools return is rendered, also where several results stand in a row."""
    call = calling(**prober.call_options)
    made = prober.render([ASK, call, result()], tools=True)
    if isinstance(made, ChatTmplError):
        return from_error(made)
    word = f"Result {FRUITS[0]}"
    if not holds(made, word, 2):
        return Answer("no", "dropped")
    several = _several(prober)
    facts = {"several": several, "ids": _shows_id(made)}
    if word not in made.text:
        return Answer("partly", "in pieces", facts)
    return Answer("yes", "" if several == "rendered" else f"several in a row: {several}", facts)


def _shows_id(made: Rendering) -> bool:
    return any(span.message == 2 and span.field == "tool_call_id" for span in made.spans)


def _several(prober: Prober) -> str:
    """Two results in a row, of two calls in one message, or in two where a message can have only one."""
    options = prober.call_options
    last: Any = None
    for head in ([calling(TUSKS, **options)], [calling(TUSKS[:1], **options)]):
        made = prober.render([ASK, *head, result(), result(1)], tools=True)
        if isinstance(made, Rendering):
            index = len(made.conversation.messages)
            kept = all(holds(made, f"Result {fruit}", index - 2 + at) for at, fruit in enumerate(FRUITS))
            return "rendered" if kept else "dropped"
        last = made
    return f"raises: {raised(last)}"
