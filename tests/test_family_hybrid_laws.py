"""hybrid, the template of our own, on made-up conversations: every law holds, and every engine renders the same."""

from __future__ import annotations

import datetime as dt
import functools
import json
import re
from collections.abc import Iterator
from typing import Any

import jinja2
import jinja2.sandbox
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from chattmpl import Conversation, Rendering, Template
from chattmpl.compiler.export import TARGETS
from chattmpl.compiler.policies import NAMES, POLICIES
from chattmpl.conversation.files import load_conversation
from chattmpl.engine import Engine
from chattmpl.errors import RenderError
from chattmpl.template.family import load_family, shipped_folder
from support import engines
from support.fetched import REAL_TOKENIZERS, real_tokenizer_path
from support.reference import transformers_render

HYBRID = Template.load("hybrid")
OTHER_POLICIES = tuple(policy for policy in POLICIES if policy != "all")
FIXTURES = sorted(shipped_folder("fixtures").glob("*.json"))
USER = {"role": "user", "content": "Hi"}

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
    """As the parsers of vLLM and SGLang split: they cut at the tags, and strip nothing from reasoning."""
    rendering = HYBRID.render([USER, *messages])
    for index, start, end in turns_of(rendering):
        calls = messages[index - 1].get("tool_calls") or []
        span = rendering.text[start:end].removesuffix("<|im_end|>")
        thought, _, said = span.removeprefix("<think>").partition("</think>")
        content, *found = said.split("<tool_call>")
        if len(re.findall("</?(?:think|tool_call)>", span)) != 2 + 2 * len(calls):
            continue  # a field has a tag in it: that is for `parse` to refuse
        if any(isinstance(call["function"]["arguments"], str) for call in calls):
            continue  # a server hands dicts on, which need not be spaced as the string was
        parsed = [json.loads(call.rstrip("\n").removesuffix("</tool_call>")) for call in found]
        again = {"role": "assistant", "content": content, "reasoning_content": thought, "tool_calls": parsed}
        assert HYBRID.render([USER, *messages[: index - 1], again]).text == rendering.text[: end + 1]


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
    text = HYBRID.render(conversation).text
    if '": null' not in text:  # a null inside of arguments may be padding, which is cleaned
        assert HYBRID.render(padded).text == text


@pytest.mark.parametrize("policy", ["all", *OTHER_POLICIES])
def test_null_means_the_same_as_absent_in_an_export_too(policy: str) -> None:
    family = load_family("hybrid")
    context = {"messages": [{"role": "system", "content": "x"}, USER], "add_generation_prompt": True}
    nulls = dict.fromkeys(["tools", "documents", *family.modes, *family.kwargs])
    jinja = plain_jinja(policy, True)
    assert jinja.render({**context, **nulls}) == jinja.render(context)


# ── Tokens ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_prompt_and_its_completion_are_encoded_as_the_whole() -> None:
    for fixture in FIXTURES:
        try:
            rendering = HYBRID.render(load_conversation(fixture))
        except RenderError:
            continue
        assert rendering.encode("demo").straddles == ()


@pytest.mark.upstream
@pytest.mark.parametrize("name", REAL_TOKENIZERS)
@settings(max_examples=30)
@given(conversation=conversations)
def test_with_the_tokens_of_chatml_no_token_straddles_the_edge_of_a_span(name: str, conversation: Made) -> None:
    assert HYBRID.render(conversation).encode(with_chatml(name)).straddles == ()


@functools.cache
def with_chatml(name: str) -> Tokenizer:
    """A real tokenizer that knows where turns begin and end, and has no other tag as a token of its own."""
    tokenizer = Tokenizer.from_file(str(real_tokenizer_path(name)))
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    return tokenizer


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
@pytest.mark.parametrize("policy", NAMES)
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


@pytest.fixture(scope="module", params=engines.EACH)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    yield from engines.opened(request.param)


@pytest.mark.parametrize("policy", NAMES)
@settings(max_examples=60)
@given(conversation=conversations, prompt=st.booleans())
def test_another_engine_renders_the_same(engine: Engine, policy: str, conversation: Made, prompt: bool) -> None:
    template = HYBRID.with_retention(policy)
    context = {**template_input(conversation), "add_generation_prompt": prompt}
    expected = template.render(conversation, add_generation_prompt=prompt).text
    assert engine.render(template.export("inference"), context) == expected
