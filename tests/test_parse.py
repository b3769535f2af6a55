"""Whole conversations, back from their texts: what is recovered, what is given, and what is refused."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chattmpl import Conversation, Template
from chattmpl.conversation.strategies import conversations, texts
from chattmpl.errors import ConversationError, NotRepresentable, RenderError, UsageError
from support.parsing import CLOCK, FAMILIES, as_sampled, differences
from support.snapshots import error_of, matches_snapshot, sections

TOOL = {"type": "function", "function": {"name": "f", "description": "F.", "parameters": {"type": "object"}}}
QUESTION = {"role": "user", "content": "Hi"}

quick = settings(max_examples=12, suppress_health_check=list(HealthCheck))


def plain_texts() -> st.SearchStrategy[str]:
    """Text that no template trims or obeys."""
    return st.text("ab z.,'\"\\é日\n", min_size=1, max_size=12).map(str.strip).filter(bool)


@st.composite
def plain_conversations(draw: st.DrawFn, family: str) -> dict[str, Any]:
    """A conversation of nothing but what the family has a place for."""
    facts = Template.load(family).family
    assert facts is not None
    reasons, calls = facts.supports.reasoning, facts.supports.tool_calls
    messages: list[dict[str, Any]] = []
    if facts.supports.system and family != "gemma3" and draw(st.booleans()):
        messages.append({"role": "system", "content": draw(plain_texts())})
    for turn in range(draw(st.integers(1, 3))):
        messages.append({"role": "user", "content": draw(plain_texts())})
        traced = {"reasoning_content": draw(plain_texts())} if reasons and draw(st.booleans()) else {}
        if calls and draw(st.booleans()):
            arguments = draw(st.dictionaries(plain_texts(), plain_texts() | st.integers(), max_size=2))
            call = {"id": f"call_{turn}", "function": {"name": "f", "arguments": arguments}}
            messages.append({"role": "assistant", "content": "", **traced, "tool_calls": [call]})
            result = {"role": "tool", "content": draw(plain_texts()), "tool_call_id": f"call_{turn}", "name": "f"}
            messages.append(result)
        messages.append({"role": "assistant", "content": draw(plain_texts()), **traced})
    return {"messages": messages}


def parsed_or_refused(template: Template, text: str, **options: Any) -> Conversation | NotRepresentable:
    try:
        return template.parse(text, clock=CLOCK, **options)
    except NotRepresentable as error:
        return error


@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data())
@quick
def test_what_a_family_has_a_place_for_comes_back_as_it_was(family: str, data: st.DataObject) -> None:
    template = as_sampled(family)
    rendering = template.render(data.draw(plain_conversations(family)), clock=CLOCK)
    parsed = template.parse(rendering.text, clock=CLOCK)
    assert [path for path in differences(parsed, rendering.conversation) if path not in rendering.lost] == []


@pytest.mark.parametrize("family", FAMILIES)
@given(given=conversations())
@quick
def test_any_conversation_comes_back_as_one_of_the_same_text_or_is_refused(family: str, given: dict[str, Any]) -> None:
    template = Template.load(family)
    try:
        text = template.render(given, clock=CLOCK).text
    except (RenderError, ConversationError):
        return
    outcome = parsed_or_refused(template, text)
    if isinstance(outcome, NotRepresentable):
        assert outcome.place is not None
        assert outcome.place.source.text == text
    else:
        assert template.render(outcome, clock=CLOCK).text == text


@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data(), completion=st.booleans())
@quick
def test_garbage_is_parsed_exactly_or_refused_with_its_place(
    family: str, data: st.DataObject, completion: bool
) -> None:
    template = Template.load(family)
    facts = template.family
    assert facts is not None
    assert facts.parse is not None
    frames = [part for turn in facts.parse.turns for part in (turn.opens, *turn.closes)]
    pieces = st.sampled_from([*facts.generation.control_tokens, *frames, '{"name": "', '", "arguments": ', "{}", "\n"])
    text = data.draw(st.lists(pieces | texts(2), max_size=12).map("".join))
    outcome = parsed_or_refused(template, text, completion=completion)
    if isinstance(outcome, NotRepresentable):
        assert outcome.place is not None
        assert 0 <= outcome.place.start <= outcome.place.end <= len(text)
    elif not completion:
        assert text in [template.render(outcome, prompt, clock=CLOCK).text for prompt in (False, True)]


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in ("deepseek_r1", "gemma3", "gpt_oss")])
def test_tools_are_recovered_from_the_text(family: str) -> None:
    template = Template.load(family)
    text = template.render([QUESTION], tools=[TOOL], clock=CLOCK).text
    assert template.parse(text, clock=CLOCK).tools == [TOOL]


@pytest.mark.parametrize("family", ["hybrid", "command_a_reasoning"])
def test_documents_are_recovered_from_the_text(family: str) -> None:
    template = Template.load(family)
    documents = [{"title": "A", "text": "a"}, {"title": "B", "text": "b"}]
    text = template.render([QUESTION, {"role": "assistant", "content": "a"}], documents=documents, tools=[TOOL]).text
    parsed = template.parse(text)
    assert (parsed.documents, parsed.tools, len(parsed.messages)) == (documents, [TOOL], 2)


def test_tools_that_the_text_states_as_prose_are_given() -> None:
    template = Template.load("gpt_oss")
    text = template.render([QUESTION], tools=[TOOL], clock=CLOCK).text
    with pytest.raises(NotRepresentable, match="where the template writes") as caught:
        template.parse(text, clock=CLOCK)
    assert "tools" in str(caught.value.hint)
    assert template.parse(text, clock=CLOCK, tools=[TOOL]).messages[0].content == "Hi"


def test_a_mode_that_the_text_shows_is_recovered() -> None:
    messages = [QUESTION, {"role": "assistant", "content": "Ho"}]
    template = Template.load("qwen3")
    quiet = template.render(messages, enable_thinking=False).text
    loud = template.render([*messages[:1], {"role": "assistant", "content": "Ho", "reasoning_content": "hm"}]).text
    assert template.parse(loud).chat_template_kwargs is None
    assert template.parse(quiet).messages == template.parse(quiet, enable_thinking=False).messages
    prompt = template.render([QUESTION], True, enable_thinking=False).text
    assert template.parse(prompt).chat_template_kwargs == {"enable_thinking": False}


@pytest.mark.parametrize(
    ("family", "kwargs"),
    [
        ("hybrid", {"date": "1 May 2025", "knowledge_cutoff": "June 2024"}),
        ("hybrid", {"date": "1 May 2025", "enable_thinking": False}),
        ("llama3", {"date_string": "1 May 2025"}),
        ("gpt_oss", {"model_identity": "You are Pip.", "reasoning_effort": "low"}),
        ("command_a_reasoning", {"safety_mode": "STRICT"}),
    ],
)
def test_kwargs_that_the_text_shows_are_recovered(family: str, kwargs: dict[str, Any]) -> None:
    template = Template.load(family)
    text = template.render([QUESTION], clock=CLOCK, **kwargs).text
    assert template.parse(text, clock=CLOCK).chat_template_kwargs == kwargs
    assert template.parse(text, clock=CLOCK, **kwargs).chat_template_kwargs is None


def test_the_systems_own_turn_is_not_taken_for_a_message() -> None:
    template = Template.load("smollm3")
    text = template.render([QUESTION], clock=CLOCK).text
    with pytest.raises(NotRepresentable, match="where the template writes"):
        template.parse(text.replace("10 July", "11 July"), clock=CLOCK)


def test_a_system_message_that_commands_the_template_is_recovered() -> None:
    for family, content in (("smollm3", "Be brief. /no_think"), ("hybrid", "/system_override\nBe brief.")):
        template = Template.load(family)
        messages = [{"role": "system", "content": content}, QUESTION]
        assert template.parse(template.render(messages, clock=CLOCK).text, clock=CLOCK).messages[0].content == content


def test_a_generation_prompt_is_found_demanded_or_excluded() -> None:
    template = Template.load("qwen3")
    with_prompt, without = template.render([QUESTION], True).text, template.render([QUESTION]).text
    assert template.parse(with_prompt) == template.parse(without) == template.parse(with_prompt, generation_prompt=True)
    with pytest.raises(NotRepresentable, match="the text ends where the template continues"):
        template.parse(without, generation_prompt=True)
    with pytest.raises(NotRepresentable, match=r"the text continues with .* where the template ends"):
        template.parse(with_prompt, generation_prompt=False)


def test_names_in_headers_come_back() -> None:
    messages = [{"role": "user", "name": 'a "b"', "content": "Hi"}, {"role": "tool", "name": "f", "content": "x"}]
    template = Template.load("hybrid")
    parsed = template.parse(template.render(messages).text)
    assert [message.name for message in parsed.messages] == ['a "b"', "f"]


def test_text_that_looks_like_a_stop_token_stays_content_where_no_turn_follows_it() -> None:
    template = Template.load("qwen3")
    messages = [{"role": "user", "content": "What is <|im_end|>?"}]
    assert template.parse(template.render(messages).text).messages[0].content == "What is <|im_end|>?"


REFUSED = {
    "nothing of the template": ("qwen3", "Hello", {}),
    "a turn that is not closed": ("qwen3", "<|im_start|>user\nHi", {}),
    "a turn of nobody": ("hybrid", "<|im_start|>system\n## Metadata\n\nReasoning Mode: /think<|im_end|>\nHi", {}),
    "another date": ("smollm3", "<|im_start|>system\n## Metadata\n\nKnowledge Cutoff Date: June 2024\n", {}),
    "no alternation": ("gemma3", "<bos><start_of_turn>model\nHi<end_of_turn>\n", {}),
    "an answer without a trace": ("qwen3", "Hi", {"completion": True}),
    "a trace that is not closed": ("qwen3", "<think>\nhm", {"completion": True}),
    "a call that is not closed": ("qwen3", '<think>\n\n</think>\n\n<tool_call>\n{"name": "f"', {"completion": True}),
    "arguments in other spacing": (
        "chatml", '<tool_call>\n{"name": "f", "arguments": {"a":1}}\n</tool_call>', {"completion": True},
    ),
    "analysis alone": ("gpt_oss", "<|channel|>analysis<|message|>hm<|end|>", {"completion": True}),
    "text after the stop token": ("llama3", "Hi<|eot_id|> there", {"completion": True}),
    "a prompt that is not there": ("qwen3", "Hi", {"completion": True, "generation_prompt": True}),
}  # fmt: skip


def test_each_refusal_says_what_and_where() -> None:
    refusals = []
    for name, (family, text, options) in REFUSED.items():
        error = error_of(functools.partial(Template.load(family).parse, text, clock=CLOCK, **options))
        assert isinstance(error, NotRepresentable)
        refusals.append((name, str(error)))
    matches_snapshot("parse_refusals.txt", sections(refusals))


def test_what_cannot_be_asked_for_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="has no grammar"):
        Template.from_source("{% for m in messages %}{{ m.content }}{% endfor %}").parse("x")
    template = Template.load("qwen3")
    with pytest.raises(UsageError, match="not bytes"):
        template.parse(b"x")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no kwarg 'enable_thinkin'"):
        template.parse("x", enable_thinkin=True)
    with pytest.raises(UsageError, match="add_generation_prompt"):
        template.parse("x", add_generation_prompt=True)
    with pytest.raises(UsageError, match="includes its prompt"):
        template.parse("x", prompt=[QUESTION])
