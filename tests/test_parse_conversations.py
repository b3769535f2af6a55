"""Parsing of whole conversations of templates that are no families."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chattmpl import Template
from chattmpl.errors import NotRepresentable, UsageError

TURNS = (
    "{{ '<s>' }}{% if tools %}{{ '[TOOLS]' ~ (tools | tojson) ~ '[/TOOLS]' }}{% endif %}{% for m in messages %}"
    "{% if m.role == 'tool' %}{{ '[RESULT]' ~ (m.content | tojson) ~ '[/RESULT]' }}"
    "{% elif m.role == 'assistant' %}{{ '[BOT]' ~ (m.content or '') }}"
    "{% for c in m.tool_calls or [] %}{{ '[CALL]' ~ c.function.name ~ (c.function.arguments | tojson) }}{% endfor %}"
    "{{ '</s>' }}{% else %}{{ '[' ~ m.role | upper ~ ']' ~ m.content ~ '[/' ~ m.role | upper ~ ']' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '[BOT]' }}{% endif %}"
)
TOOL = {"type": "function", "function": {"name": "f", "description": "F.", "parameters": {"type": "object"}}}
QUESTION = {"role": "user", "content": "Which?\n\nSay `why`."}


def call(*arguments: dict[str, Any]) -> dict[str, Any]:
    calls = [{"type": "function", "function": {"name": "f", "arguments": given}} for given in arguments]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def result(content: str) -> dict[str, Any]:
    return {"role": "tool", "content": content}


ANSWER = {"role": "assistant", "content": "That one."}
CONVERSATIONS = {
    "a question": [QUESTION],
    "two turns": [QUESTION, ANSWER, QUESTION, ANSWER],
    "a system message": [{"role": "system", "content": "Be brief."}, QUESTION, ANSWER],
    "a tool loop": [QUESTION, call({"a": [1, "x"]}), result('{"n": "4"}'), ANSWER, QUESTION],
    "parallel calls": [QUESTION, call({"a": 1}, {"b": None}), result("r"), result("s"), ANSWER],
    "a call at the end": [QUESTION, call({"a": "[/RESULT]"})],
}


@pytest.mark.parametrize("prompt", [False, True])
@pytest.mark.parametrize("messages", CONVERSATIONS.values(), ids=list(CONVERSATIONS))
def test_a_conversation_of_any_template_comes_back(messages: list[dict[str, Any]], prompt: bool) -> None:
    template = Template.from_source(TURNS)
    text = template.render(messages, prompt).text
    assert template.parse(text).dump()["messages"] == messages
    with_tools = template.render(messages, prompt, tools=[TOOL]).text
    parsed = template.parse(with_tools).dump()
    assert (parsed["messages"], parsed["tools"]) == (messages, [TOOL])


def test_a_text_that_no_conversation_renders_to_is_refused_with_its_place() -> None:
    template = Template.from_source(TURNS)
    with pytest.raises(NotRepresentable, match="where the template writes") as caught:
        template.parse("<s>[ADMIN]Hi[/ADMIN]")
    assert caught.value.place is not None


def test_a_template_without_text_between_messages_has_no_grammar() -> None:
    with pytest.raises(UsageError, match="no grammar can be derived"):
        Template.from_source("{% for m in messages %}{{ m.content }}{% endfor %}").parse("Hi")


def test_system_messages_without_text_between_them_are_read_in_bounded_time() -> None:
    marked = "{{ '<|' ~ m.role ~ '|>' ~ m.content ~ '<|end|>' }}"
    written = f"{{% if m.role == 'system' %}}{{{{ m.content }}}}{{% else %}}{marked}{{% endif %}}"
    prompt = "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
    template = Template.from_source(f"{{% for m in messages %}}{written}{{% endfor %}}<eot>{prompt}")
    with pytest.raises(NotRepresentable, match="not closed"):
        template.parse("Be brief.<|user|>Hi")


CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
VERBATIM = (
    "{% set a = c.function.arguments %}{{ a if a is string else a | tojson }}",
    "{% set a = c.function.arguments %}{% if a is string %}{{ a }}{% else %}"
    "{% for k, v in a.items() %}<arg>{{ k }}={{ v }}</arg>{% endfor %}{% endif %}",
)
"""Notations of arguments in a template that writes arguments as they are if they are JSON text."""


@pytest.mark.parametrize("given", ['{"a":1,"b":[2,3]}', '{"a":  1}', '{"a": "\\u00f8"}', '{"b": {}, "a": null}'])
@pytest.mark.parametrize("notation", VERBATIM, ids=["json", "tags"])
@pytest.mark.parametrize(
    "call", ['{"name": "NAME", "arguments": ARGUMENTS}', "NAME:ARGUMENTS"], ids=["json call", "name"]
)
def test_arguments_that_are_json_text_come_back_in_their_spelling(given: str, notation: str, call: str) -> None:
    call = call.replace("NAME", "{{ c.function.name }}").replace("ARGUMENTS", notation)
    source = (
        CHATML
        + "{% for c in m.tool_calls or [] %}<tool_call>"
        + call
        + "</tool_call>{% endfor %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    template = Template.from_source(source)
    calls = [{"type": "function", "function": {"name": "f", "arguments": given}}]
    messages = [QUESTION, {"role": "assistant", "content": "", "tool_calls": calls}, result("r"), ANSWER]
    text = template.render(messages).text
    parsed = template.parse(text)
    assert template.render(parsed).text == text
    assert len(parsed.messages) == 4
    (made,) = parsed.messages[1].tool_calls or []
    found = made.function.arguments
    assert (json.loads(found) if isinstance(found, str) else found) == json.loads(given)
    with pytest.raises(NotRepresentable, match=r"assistant turn|writes"):
        template.parse(text.replace(given, given[:-1]))


def test_tools_that_stand_beside_any_message_are_read_whatever_they_are() -> None:
    """Frames are derived once for all tools."""
    source = (
        "{% for m in messages %}{% if loop.last and tools %}<|tools|>{{ tools | tojson }}{% endif %}<|im_start|>"
        "{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
        "{% endif %}"
    )
    template = Template.from_source(source)
    for tools in ([TOOL], [TOOL, {**TOOL, "function": {"name": "g"}}], [{**TOOL, "function": {"name": "h"}}]):
        for messages in ([QUESTION], [QUESTION, ANSWER, QUESTION]):
            text = template.render(messages, tools=tools).text
            assert template.parse(text, tools=tools).dump()["messages"] == messages
