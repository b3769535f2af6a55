"""hybrid, the template of our own: what it renders."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chattmpl import Template
from chattmpl.compiler.policies import POLICIES
from chattmpl.errors import RenderError, UsageError

HYBRID = Template.load("hybrid")
OTHER_POLICIES = tuple(policy for policy in POLICIES if policy != "all")

USER = {"role": "user", "content": "Hi"}
ANSWER = {"role": "assistant", "content": "Hello"}
METADATA = "<|im_start|>system\n## Metadata\n\nReasoning Mode: /think"
PING = {
    "type": "function",
    "function": {"name": "ping", "description": "Is <it> up?", "parameters": {"type": "object", "properties": {}}},
}
DOCUMENT = {"title": "Über", "text": 'a\n"b"'}
EVERYTHING: dict[str, Any] = {
    "tools": [PING],
    "documents": [DOCUMENT],
    "chat_template_kwargs": {
        "date": "10 July 2025",
        "knowledge_cutoff": "June 2025",
        "custom_instructions": "Be brief.",
        "xml_tools": [PING],
        "python_tools": ["def ping():"],
    },
}


def text_of(messages: Sequence[Any], **kwargs: Any) -> str:
    return HYBRID.render(list(messages), **kwargs).text


def system(text: str | None, **more: Any) -> dict[str, Any]:
    return {"role": "system", "content": text, **more}


def calling(*calls: tuple[str, Any], content: str | None = None) -> dict[str, Any]:
    functions = [{"type": "function", "function": {"name": name, "arguments": given}} for name, given in calls]
    return {"role": "assistant", "content": content, "tool_calls": functions}


def sampled(message: dict[str, Any], **kwargs: Any) -> str:
    """Return the text that the model samples for a message that answers the user."""
    rendering = HYBRID.render([USER, message], **kwargs)
    ((start, end),) = rendering.generated
    return rendering.text[start:end]


def mode_of(messages: Sequence[Any], **kwargs: Any) -> str:
    found = re.search(r"^Reasoning Mode: ([/a-z_]+)", text_of(messages, **kwargs), re.MULTILINE)
    assert found
    return found[1]


# ── The system turn ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_bare_conversation_gets_a_system_turn_that_names_the_mode_and_nothing_else() -> None:
    assert text_of([USER]) == f"{METADATA}<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"


def test_the_sections_of_the_system_turn_stand_in_one_order() -> None:
    text = HYBRID.render({"messages": [system("You play chess."), USER], **EVERYTHING}).text
    ping = json.dumps(PING)
    head, _, rest = text.partition("\n\n## Tools\n\n")
    assert head == (
        "<|im_start|>system\n## Metadata\n\n"
        "Knowledge Cutoff Date: June 2025\nToday Date: 10 July 2025\nReasoning Mode: /think\n\n"
        "## Custom Instructions\n\nBe brief.\n\nYou play chess."
    )
    tools, _, rest = rest.partition("\n\n## Python Tools\n\n")
    assert f"\n\n<tools>\n{ping}\n{ping}\n</tools>\n\n" in tools
    python, _, rest = rest.partition("\n\n## Documents\n\n")
    assert python.endswith("\n\n<tools>\ndef ping():\n</tools>")
    document = json.dumps(DOCUMENT, ensure_ascii=False)
    assert rest == f"<documents>\n{document}\n</documents><|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"


def test_an_empty_system_message_is_told_from_none() -> None:
    for instructions in (None, "Be brief."):
        without = text_of([USER], custom_instructions=instructions)
        for empty in ("", None):
            assert text_of([system(empty), USER], custom_instructions=instructions) != without


def test_no_list_is_opened_for_tools_that_are_not_there() -> None:
    assert text_of([USER], tools=[], xml_tools=[], python_tools=[], documents=[], custom_instructions="") == text_of(
        [USER]
    )


def test_python_can_be_had_without_functions() -> None:
    text = text_of([USER], python_tools=True)
    assert "## Python Tools" in text
    assert "<tools>" not in text


def test_a_system_message_that_comes_later_and_a_developers_message_are_turns() -> None:
    developer = {"role": "developer", "content": " Be brief.\n"}
    assert text_of([developer, system("Now."), USER]) == (
        f"{METADATA}<|im_end|>\n<|im_start|>developer\n Be brief.\n<|im_end|>\n<|im_start|>system\nNow.<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n"
    )


def test_an_override_makes_the_system_message_the_whole_system_turn() -> None:
    expected = "<|im_start|>system\n Only this.\n<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
    by_flag = {"messages": [system("/system_override\n Only this.\n"), USER], **EVERYTHING}
    by_kwarg = {"messages": [system(" Only this.\n"), USER], **EVERYTHING}
    assert HYBRID.render(by_flag).text == expected
    assert HYBRID.render(by_kwarg, system_override=True).text == expected


def test_an_override_without_a_system_message_leaves_no_system_turn() -> None:
    assert text_of([USER], system_override=True) == "<|im_start|>user\nHi<|im_end|>\n"
    assert text_of([], system_override=True, add_generation_prompt=True) == "<|im_start|>assistant\n"


@pytest.mark.parametrize("text", ["/system_override", "/system_override Be brief."])
def test_an_override_that_is_not_on_a_line_of_its_own_is_refused(text: str) -> None:
    with pytest.raises(RenderError, match="needs a line of its own"):
        text_of([system(text), USER])


def test_an_override_is_read_at_the_start_of_the_first_message_only() -> None:
    later = "/system_override\nx"
    assert f"<|im_start|>system\n{later}<|im_end|>" in text_of([USER, system(later)])
    assert "## Custom Instructions\n\nSay /system_override\nx" in text_of([system(f"Say {later}")])


def test_the_documentation_shows_what_is_rendered() -> None:
    page = (Path(__file__).parents[1] / "docs" / "reference" / "hybrid.md").read_text(encoding="utf-8")
    conversation, call = (json.loads(found) for found in re.findall(r"```json\n(.*?)```", page, re.DOTALL))
    whole, code = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    assert HYBRID.render(conversation).text == whole
    assert sampled({"role": "assistant", "tool_calls": [call]}, python_tools=True) == (
        f"<think></think>{code.removesuffix(chr(10))}<|im_end|>"
    )


# ── The reasoning mode ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "enable_thinking", "mode"),
    [
        (None, None, "/think"),
        (None, True, "/think"),
        (None, False, "/no_think"),
        ("You play chess.", False, "/no_think"),
        ("You play chess. /no_think", None, "/no_think"),
        ("You play chess. /no_think", True, "/no_think"),
        ("You play chess.\n/think \r\n\t", False, "/think"),
        ("/no_think", None, "/no_think"),
        ("Answers to /no_think are short.", None, "/think"),
        ("See docs/no_think", None, "/think"),
        ("See docs/think", False, "/no_think"),
        ("/think or /no_think", None, "/no_think"),
    ],
)
def test_the_last_word_of_the_system_message_decides_over_the_kwarg(
    text: str | None, enable_thinking: bool | None, mode: str
) -> None:
    messages = [USER] if text is None else [system(text), USER]
    assert mode_of(messages, enable_thinking=enable_thinking) == mode


def test_a_mode_that_is_a_string_is_an_error() -> None:
    with pytest.raises(UsageError, match="enable_thinking"):
        text_of([USER], enable_thinking="false")


@pytest.mark.parametrize("enable_thinking", [True, False])
def test_the_generation_prompt_is_the_bare_header_in_every_mode(enable_thinking: bool) -> None:
    for asked in ("Hi", "Hi /think", "Hi /no_think"):
        messages = [{"role": "user", "content": asked}]
        kwargs = {"enable_thinking": enable_thinking}
        prompt = text_of(messages, add_generation_prompt=True, **kwargs)
        assert prompt == text_of(messages, **kwargs) + "<|im_start|>assistant\n"
        assert f"<|im_start|>user\n{asked}<|im_end|>" in prompt


def test_a_turn_without_reasoning_samples_an_empty_think_block() -> None:
    assert sampled(ANSWER) == sampled({**ANSWER, "reasoning_content": ""}) == "<think></think>Hello<|im_end|>"


def test_reasoning_and_content_stand_between_the_tags_as_they_are() -> None:
    message = {"role": "assistant", "content": "\n\n Hello \n", "reasoning_content": "\n Hm.\n\n"}
    assert sampled(message) == "<think>\n Hm.\n\n</think>\n\n Hello \n<|im_end|>"


@pytest.mark.parametrize("policy", OTHER_POLICIES)
def test_history_without_its_reasoning_has_no_think_block(policy: str) -> None:
    messages = [USER, {**ANSWER, "reasoning_content": "Hm."}, USER]
    text = HYBRID.with_retention(policy).render(messages).text
    assert "<|im_start|>assistant\nHello<|im_end|>\n" in text


# ── Tools ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_calls_follow_the_content_without_a_gap_and_each_other_on_new_lines() -> None:
    message = calling(("f", {"a": "é", "b": [1, None]}), ("g", {}), content="Wait.")
    assert sampled(message) == (
        '<think></think>Wait.<tool_call>\n{"name": "f", "arguments": {"a": "é", "b": [1, null]}}\n</tool_call>\n'
        '<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call><|im_end|>'
    )


@pytest.mark.parametrize(("given", "rendered"), [('{"a":1}', '{"a":1}'), ("", "{}"), (None, "{}"), ({}, "{}")])
def test_arguments_that_are_a_string_are_rendered_as_they_are(given: Any, rendered: str) -> None:
    assert f'{{"name": "f", "arguments": {rendered}}}' in sampled(calling(("f", given)))


def test_a_call_without_a_function_around_it_is_a_call() -> None:
    flat = {"role": "assistant", "tool_calls": [{"name": "f", "arguments": {"a": 1}}]}
    assert sampled(flat) == sampled(calling(("f", {"a": 1})))


def test_code_for_python_is_rendered_as_code_where_there_is_python() -> None:
    message = calling(("python", {"code": "print(1)\n"}), content="Wait.")
    assert sampled(message, python_tools=True) == ("<think></think>Wait.<code>\nprint(1)\n\n</code><|im_end|>")
    assert '{"name": "python", "arguments": {"code": "print(1)\\n"}}' in sampled(message)


def test_a_call_of_python_with_more_than_code_is_json() -> None:
    for arguments in ({"code": "1", "timeout": 5}, {"code": 1}, {}):
        written = json.dumps({"name": "python", "arguments": arguments})
        assert f"<tool_call>\n{written}\n</tool_call>" in sampled(calling(("python", arguments)), python_tools=True)


def test_code_inside_a_string_of_json_is_refused() -> None:
    with pytest.raises(RenderError, match="must be a dict"):
        sampled(calling(("python", '{"code": "1"}')), python_tools=True)


def test_each_result_has_a_turn_of_its_own_with_the_name_of_its_tool() -> None:
    results = [{"role": "tool", "content": " 1\n", "name": 'a"b'}, {"role": "tool", "content": "2"}]
    assert text_of([USER, *results]).endswith(
        '<|im_start|>tool name="a\\"b"\n<tool_response>\n 1\n\n</tool_response><|im_end|>\n'
        "<|im_start|>tool\n<tool_response>\n2\n</tool_response><|im_end|>\n"
    )


def test_a_speaker_with_a_name_has_it_in_the_header() -> None:
    assert '<|im_start|>user name="Ann"\nHi<|im_end|>' in text_of([{**USER, "name": "Ann"}])


def test_text_parts_are_joined_and_other_parts_are_refused() -> None:
    parts = [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]
    for role in ("system", "user", "tool", "assistant"):
        assert text_of([{"role": role, "content": parts}]) == text_of([{"role": role, "content": "Hi"}])
        with pytest.raises(RenderError, match="text only"):
            text_of([{"role": role, "content": [*parts, {"type": "image", "image": "a.png"}]}])
