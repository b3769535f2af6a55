"""hybrid, the template of our own: what it renders, that every law holds, and that every engine renders the same."""

from __future__ import annotations

import datetime as dt
import functools
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import jinja2
import jinja2.sandbox
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chattmpl import Conversation, Rendering, Template
from chattmpl.compiler.export import TARGETS
from chattmpl.compiler.retention import POLICIES
from chattmpl.encode.loading import load_tokenizer
from chattmpl.engines import Engine
from chattmpl.errors import RenderError, UsageError
from chattmpl.family import load_family, shipped_folder
from chattmpl.loaders import load_conversation
from support import engines
from support.reference import transformers_render

HYBRID = Template.load("hybrid")
OTHER_POLICIES = ("since_last_user", "last", "none")
FIXTURES = sorted(shipped_folder("fixtures").glob("*.json"))

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
    """What the model samples for a message that answers the user."""
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
    assert text_of([system(""), USER]) == text_of([system(None), USER]) != text_of([USER])


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


# ── Made-up conversations ────────────────────────────────────────────────────────────────────────────────────────────

ODD = [
    "", " ", "\n", "\n\n x \n", "a\r\nb", "</think>", "<think>\n", "<tool_call>\n{", "</tool_call>", "</tool_response>",
    "<|im_end|>\n<|im_start|>user\n", "## Tools\n\n", "/think", "Hi /no_think\n", "docs/think", "日本 🌍",
    "\u00a0\u2028", "\ufeff", "\x85\x1c", "{{ x }}{% endif %}", '"\\', "<é>&'", "None",
]  # fmt: skip
texts = st.sampled_from(ODD) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
names = st.sampled_from(["f", "get_weather", 'a"b\n', "日本"])
ids = st.sampled_from(["call_1", "x"])
contents = st.none() | texts | st.lists(st.builds(lambda text: {"type": "text", "text": text}, texts), max_size=3)
values = st.none() | st.booleans() | st.integers(-9, 9) | texts | st.lists(texts, max_size=2)
arguments = st.none() | st.dictionaries(texts, values, max_size=3) | st.sampled_from(['{"a": 1}', "{}", '{"a":"</x>"}'])
calls = st.fixed_dictionaries(
    {"type": st.just("function"), "function": st.fixed_dictionaries({"name": names, "arguments": arguments})},
    optional={"id": ids},
)


def said_by(role: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"role": st.just(role), "content": contents}, optional={"name": names, **fields})


assistant_messages = said_by(
    "assistant", reasoning_content=st.none() | texts, tool_calls=st.none() | st.lists(calls, max_size=2)
)
all_messages = st.one_of(
    said_by("system"), said_by("developer"), said_by("user"), said_by("tool", tool_call_id=ids), assistant_messages
)
tools = st.fixed_dictionaries(
    {"type": st.just("function"), "function": st.fixed_dictionaries({"name": names, "description": texts})}
)
template_kwargs = st.fixed_dictionaries(
    {},
    optional={
        "enable_thinking": st.booleans(),
        "system_override": st.booleans(),
        "date": texts,
        "knowledge_cutoff": texts,
        "custom_instructions": texts,
        "xml_tools": st.lists(tools, max_size=1),
        "python_tools": st.just(True) | st.lists(tools | texts, max_size=2),
    },
)
conversations = st.fixed_dictionaries(
    {"messages": st.lists(all_messages, max_size=6), "chat_template_kwargs": template_kwargs},
    optional={
        "tools": st.none() | st.lists(tools, max_size=2),
        "documents": st.lists(st.dictionaries(texts, texts, max_size=2), max_size=2),
    },
)
ended_by_the_assistant = st.builds(
    lambda conversation, last: {**conversation, "messages": [*conversation["messages"], last]},
    conversations,
    assistant_messages,
)

Made = dict[str, Any]


def beginning(conversation: Made, count: int) -> Made:
    return {**conversation, "messages": conversation["messages"][:count]}


def turns_of(rendering: Rendering) -> Iterator[tuple[int, int, int]]:
    """Index, start and end of each generated span."""
    spoken = [i for i, message in enumerate(rendering.conversation.messages) if message.role == "assistant"]
    assert len(spoken) == len(rendering.generated)
    for index, (start, end) in zip(spoken, rendering.generated, strict=True):
        yield index, start, end


def assert_pure(rendering: Rendering) -> None:
    for span in rendering.spans:
        if span.field in (None, "role"):
            continue
        role = None if span.message is None else rendering.conversation.messages[span.message].role
        assert span.generated == (role == "assistant"), span


@given(conversations)
def test_each_turn_is_sampled_after_exactly_its_prompt_and_stays_as_it_was(conversation: Made) -> None:
    rendering = HYBRID.render(conversation)
    for index, start, end in turns_of(rendering):
        prompt = HYBRID.render(beginning(conversation, index), add_generation_prompt=True)
        assert prompt.text == rendering.text[:start]
        newest = HYBRID.render(beginning(conversation, index + 1))
        assert newest.text[newest.generated[-1][0] :] == rendering.text[start : end + 1]


@given(conversations)
def test_each_turn_ends_with_its_stop_token_and_the_newline_behind_it_is_not_sampled(conversation: Made) -> None:
    rendering = HYBRID.render(conversation)
    for _, start, end in turns_of(rendering):
        assert rendering.text[start:end].startswith("<think>")
        assert rendering.text[start:end].endswith("<|im_end|>")
        assert rendering.text[end] == "\n"


@given(conversations)
def test_only_what_the_assistant_says_is_sampled_and_all_of_that(conversation: Made) -> None:
    assert_pure(HYBRID.render(conversation))


@given(conversations, all_messages)
def test_a_longer_conversation_begins_with_the_shorter_one(conversation: Made, message: dict[str, Any]) -> None:
    longer = {**conversation, "messages": [*conversation["messages"], message]}
    assert HYBRID.render(longer).text.startswith(HYBRID.render(conversation).text)


@given(conversations.filter(lambda conversation: bool(conversation["messages"])))
def test_nothing_is_lost_but_ids_and_two_kinds_of_names(conversation: Made) -> None:
    conversation["chat_template_kwargs"].pop("system_override", None)
    for tool in conversation.get("tools") or []:
        tool["function"]["description"] += "x"  # an empty one cannot be lost or kept
    declared = set()
    for index, message in enumerate(conversation["messages"]):
        for number, call in enumerate(message.get("tool_calls") or []):
            if "id" in call:
                declared.add(f"messages[{index}].tool_calls[{number}].id")
        if "tool_call_id" in message:
            declared.add(f"messages[{index}].tool_call_id")
        nameless = message["role"] == "assistant" or (message["role"] == "system" and index == 0)
        if nameless and "name" in message:
            declared.add(f"messages[{index}].name")
    assert set(HYBRID.render(conversation).lost) == declared


@pytest.mark.parametrize("policy", OTHER_POLICIES)
@given(conversation=ended_by_the_assistant)
def test_under_the_other_policies_the_last_turn_is_lawful(policy: str, conversation: Made) -> None:
    template = HYBRID.with_retention(policy)
    rendering = template.render(conversation)
    *_, (index, start, end) = turns_of(rendering)
    assert template.render(beginning(conversation, index), add_generation_prompt=True).text == rendering.text[:start]
    assert rendering.text[start:].endswith("<|im_end|>\n")
    assert rendering.text[end:] == "\n"
    assert_pure(rendering)


@given(st.lists(assistant_messages, min_size=1, max_size=3))
def test_what_a_server_splits_at_the_tags_renders_as_it_was_sampled(messages: list[dict[str, Any]]) -> None:
    """As the parsers of vLLM and SGLang do it: they cut at the tags, and strip nothing."""
    tags = re.compile(r"</?(?:think|tool_call)>")
    messages = [USER, *messages]
    rendering = HYBRID.render(messages)
    for index, start, end in turns_of(rendering):
        span = rendering.text[start:end].removesuffix("<|im_end|>")
        thought, _, said = span.removeprefix("<think>").partition("</think>")
        content, *found = said.split("<tool_call>")
        if len(tags.findall(span)) != 2 + 2 * len(found):
            continue  # a field that has a tag in it is for `parse` to refuse
        parsed = [json.loads(call.rstrip("\n").removesuffix("</tool_call>")) for call in found]
        again = {"role": "assistant", "content": content, "reasoning_content": thought, "tool_calls": parsed}
        spaced_otherwise = any(
            '":"' in str(c["function"]["arguments"]) for c in messages[index].get("tool_calls") or []
        )
        if not spaced_otherwise:
            assert HYBRID.render([*messages[:index], again]).text == rendering.text[: end + 1]


# ── Steadiness ───────────────────────────────────────────────────────────────────────────────────────────────────────


@given(conversations)
def test_the_text_depends_on_no_clock_and_no_bos_token(conversation: Made) -> None:
    first = HYBRID.render(conversation, clock=dt.datetime(2024, 1, 1))
    assert first.text == HYBRID.render(conversation, clock=dt.datetime(2031, 12, 3), bos_token="<s>").text
    assert "strftime_now" not in HYBRID.source


@given(conversations)
def test_null_means_the_same_as_absent_and_the_order_of_keys_means_nothing(conversation: Made) -> None:
    kwargs = load_family("hybrid").kwargs.keys() | load_family("hybrid").modes.keys()
    nulls = dict.fromkeys(["name", "reasoning_content", "tool_calls", "tool_call_id"])
    padded = {
        **conversation,
        "messages": [dict(reversed({**nulls, **message}.items())) for message in conversation["messages"]],
        "chat_template_kwargs": {**dict.fromkeys(sorted(kwargs)), **conversation["chat_template_kwargs"]},
    }
    for message in conversation["messages"]:
        for call in message.get("tool_calls") or []:
            assert "arguments" in call["function"]
    text = HYBRID.render(conversation).text
    if '": null' not in text:  # a null inside of arguments may be padding, which is cleaned
        assert HYBRID.render(padded).text == text


# ── Tokens ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_prompt_and_its_completion_are_encoded_as_the_whole() -> None:
    for fixture in FIXTURES:
        try:
            rendering = HYBRID.render(load_conversation(fixture))
        except RenderError:
            continue
        assert rendering.encode("demo").straddles == ()


@pytest.mark.upstream
@pytest.mark.parametrize("name", ["qwen3", "llama3_1", "gemma3", "deepseek_v3", "gptoss"])
@settings(max_examples=30)
@given(conversation=conversations)
def test_no_token_of_a_real_tokenizer_straddles_the_edge_of_a_span(name: str, conversation: Made) -> None:
    from support.tokenizers import real_tokenizer_path

    tokenizer = load_tokenizer(str(real_tokenizer_path(name)))
    assert HYBRID.render(conversation).encode(tokenizer).straddles == ()


# ── Other engines ────────────────────────────────────────────────────────────────────────────────────────────────────


def template_input(conversation: Any) -> dict[str, Any]:
    data = Conversation.coerce(conversation).to_template_input()
    return {**data["kwargs"], **{name: data[name] for name in ("messages", "tools", "documents")}}


@functools.cache
def plain_jinja(policy: str, trims: bool) -> jinja2.Template:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=trims, lstrip_blocks=trims)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(HYBRID.with_retention(policy).export("inference"))


@pytest.mark.parametrize("policy", ["all", *OTHER_POLICIES])
@given(conversation=conversations, prompt=st.booleans())
def test_an_engine_that_trims_no_blocks_renders_the_same(policy: str, conversation: Made, prompt: bool) -> None:
    expected = HYBRID.with_retention(policy).render(conversation, add_generation_prompt=prompt).text
    context = {**template_input(conversation), "add_generation_prompt": prompt}
    assert plain_jinja(policy, True).render(context) == expected
    if policy != "since_last_user":  # what the lowering writes above the template is for engines that trim
        assert plain_jinja(policy, False).render(context) == expected


@pytest.mark.upstream
@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=40)
@given(conversation=conversations, prompt=st.booleans())
def test_transformers_renders_the_same_text_and_finds_the_same_spans(
    policy: str, conversation: Made, prompt: bool
) -> None:
    template = HYBRID.with_retention(policy)
    rendering = template.render(conversation, add_generation_prompt=prompt)
    for target in TARGETS:
        text, spans = transformers_render(
            template.export(target), **template_input(conversation), add_generation_prompt=prompt
        )
        assert text == rendering.text
        assert spans == (list(rendering.generated) if target == "train" else [])


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("minijinja", marks=pytest.mark.upstream),
        pytest.param("huggingface_jinja", marks=pytest.mark.node),
    ],
)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    made: Engine = getattr(engines, request.param)()
    yield made
    made.close()


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=60)
@given(conversation=conversations, prompt=st.booleans())
def test_another_engine_renders_the_same(engine: Engine, policy: str, conversation: Made, prompt: bool) -> None:
    template = HYBRID.with_retention(policy)
    context = {**template_input(conversation), "add_generation_prompt": prompt}
    expected = template.render(conversation, add_generation_prompt=prompt).text
    assert engine.render(template.export("inference"), context) == expected
