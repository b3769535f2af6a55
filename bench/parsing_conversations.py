"""Small conversations that templates render and that are parsed as a whole, for ``bench/parsing.py``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from chattmpl import Conversation, Template
from chattmpl.errors import ChatTmplError, NotRepresentable
from chattmpl.probing import TemplateFacts
from chattmpl.probing.corpus import CLOCK, Message, as_parts, with_trace

_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
    },
}
_DOCUMENTS = [{"title": "Opening hours", "text": "Open from 10 to 18."}, {"title": "Prices", "text": "It costs 12."}]
_SYSTEM: Message = {"role": "system", "content": "You are brief and kind."}
_ASKED: tuple[Message, ...] = tuple(
    {"role": "user", "content": text}
    for text in (
        "Which city is larger, Oslo or Porto?",
        "Which one is older?\n\nSay `why`.",
        "Thanks, that is all!",
    )
)
_ANSWERS = ("Oslo is larger.", "Porto: it was founded by the Romans.\n\n- Really.", "You are welcome & goodbye.")
_TRACES = ("Oslo has 700,000 people.", "Portus Cale is old.\n\nSo Porto.", "No more questions.")
_RESULTS = ('{"degrees": 4}', "17 degrees, sunny")


def conversations(facts: TemplateFacts) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the conversations by name, in the form that a template takes."""
    carrier, options = facts.traces.carrier, facts.prober.call_form[0]

    def answer(number: int, *, traced: bool = False) -> Message:
        message: Message = {"role": "assistant", "content": _ANSWERS[number]}
        return with_trace(message, _TRACES[number], carrier) if traced and carrier in ("field", "part") else message

    def call(*cities: str, traced: bool = False) -> Message:
        form = options or {}
        given = [{"city": city, "days": 3} for city in cities]
        message: Message = {
            "role": "assistant",
            "content": form.get("content", ""),
            "tool_calls": [
                {
                    "id": f"walrus{number}00",
                    "type": "function",
                    "function": {
                        "name": "get_weather",
                        "arguments": json.dumps(each) if form.get("text") else each,
                    },
                }
                for number, each in enumerate(given, 1)
            ],
        }
        return with_trace(message, _TRACES[0], carrier) if traced and carrier == "field" else message

    def result(number: int) -> Message:
        return {
            "role": "tool",
            "name": "get_weather",
            "tool_call_id": f"walrus{number + 1}00",
            "content": _RESULTS[number],
        }

    turns = [each for number in range(3) for each in (_ASKED[number], answer(number))]
    yield "plain", {"messages": turns[:2]}
    yield "question alone", {"messages": turns[:1]}
    yield "several turns", {"messages": turns}
    yield "system", {"messages": [_SYSTEM, *turns[:4]]}
    if carrier in ("field", "part"):
        traced = [each for number in range(3) for each in (_ASKED[number], answer(number, traced=True))]
        yield "reasoning", {"messages": traced[:2]}
        yield "reasoning in several turns", {"messages": traced}
    yield "tools", {"messages": turns[:2], "tools": [_TOOL]}
    if options is not None:
        loop = [_ASKED[0], call("Oslo"), result(0), answer(0)]
        yield "tool loop", {"messages": loop, "tools": [_TOOL]}
        yield "call at the end", {"messages": loop[:2], "tools": [_TOOL]}
        yield "tool loop, then a turn", {"messages": [_SYSTEM, *loop, *turns[2:4]], "tools": [_TOOL]}
        both = [_ASKED[0], call("Oslo", "Porto"), result(0), result(1), answer(0)]
        yield "parallel calls", {"messages": both, "tools": [_TOOL]}
        if carrier == "field":
            thought = [_ASKED[0], call("Oslo", traced=True), result(0), answer(0, traced=True)]
            yield "tool loop with reasoning", {"messages": thought, "tools": [_TOOL]}
    if facts.documents.fate == "rendered":
        yield "documents", {"messages": turns[:4], "documents": _DOCUMENTS}


def outcomes(template: Template, facts: TemplateFacts) -> Iterator[tuple[str, str, str, str]]:
    """Yield the outcome for each conversation that a template renders: its name, the outcome, the text, the reason."""
    for name, given in conversations(facts):
        data = as_parts(given) if facts.only_parts else given
        for prompt in (False, True):
            try:
                rendering = template.render(data, prompt, CLOCK)
            except ChatTmplError:
                continue
            text = rendering.text
            # Roles and contents that the template drops cannot come back.
            if any(_words(message["content"]) not in _words(text) for message in given["messages"]):
                continue
            calls = [each for message in given["messages"] for each in message.get("tool_calls", ())]
            rest = text[text.find(_ASKED[0]["content"]) :]
            if min(rest.count("days"), rest.count("get_weather")) < len(calls):
                continue
            beside = {key: given[key] for key in ("tools", "documents") if key in given}
            try:
                parsed = template.parse(text, clock=CLOCK, **beside)
            except NotRepresentable as error:
                yield name, "refused", text, error.message
            except ChatTmplError as error:
                yield name, "no grammar", text, error.message
            else:
                found, expected = _plain(parsed), _plain(rendering.conversation)
                if found == expected:
                    yield name, "read", text, ""
                elif template.render(parsed, prompt, CLOCK, **beside).text == text:
                    yield name, "another conversation of the same text", text, f"read as {found}"
                else:
                    yield name, "wrong", text, f"read as {found}"


def _words(text: str) -> str:
    return "".join(character for character in str(text) if character.isalnum())


def _value(arguments: Any) -> Any:
    return json.loads(arguments) if isinstance(arguments, str) else arguments


def _plain(conversation: Conversation) -> list[tuple[Any, ...]]:
    """Return roles, texts and calls, which each template writes that renders them at all."""
    plain: list[tuple[Any, ...]] = []
    for message in conversation.messages:
        content = message.content
        if isinstance(content, list):
            content = "".join(part.get("text", "") for part in content if part.get("type") == "text")
        calls = [(call.function.name, _value(call.function.arguments)) for call in message.tool_calls or ()]
        plain.append((message.role, (content or "").strip(), repr(calls)))
    return plain
