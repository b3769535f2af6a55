"""Parsing of texts: whole conversations, completions and streams."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chattmpl import Conversation, Template
from chattmpl.conversation.strategies import conversations, texts
from chattmpl.errors import ConversationError, NotRepresentable, RenderError, UsageError
from chattmpl.parse import Parser
from support.goldens import UPSTREAM_FAMILIES, conversation_of, goldens, kwargs_of, render_row
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
    frames = as_sampled(family).render([QUESTION, {"role": "assistant", "content": "Ho"}, QUESTION]).text.split("H")
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


@pytest.mark.parametrize("content", ["", "0", "null", '"ab"', "[1]", '{"a": 1}'])
def test_a_system_message_that_is_json_is_text(content: str) -> None:
    template = Template.load("command_a_reasoning")
    messages = [{"role": "system", "content": content}, QUESTION]
    assert template.parse(template.render(messages).text).messages[0].content == content


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
    "an answer without a trace": ("qwen3", "Hi", {"completion": True, "exact": True}),
    "a trace that is not closed": ("qwen3", "<think>\nhm", {"completion": True}),
    "a call that is not closed": ("qwen3", '<think>\n\n</think>\n\n<tool_call>\n{"name": "f"', {"completion": True}),
    "arguments in other spacing": (
        "chatml", '<tool_call>\n{"name": "f", "arguments": {"a":1}}\n</tool_call>', {"completion": True, "exact": True},
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
    with pytest.raises(UsageError, match="no grammar can be derived"):
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


WARMER = {"role": "user", "content": "Where is it warmer?"}


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


PARSED: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("hybrid", "<think>hm</think>Look.<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>", {},
     {"reasoning_content": "hm", "content": "Look.", "tool_calls": [call("f", a=1)]}),
    ("hybrid", "<think></think><code>\n1 + 1\n</code>", {"python_tools": True},
     {"content": "", "tool_calls": [call("python", code="1 + 1")]}),
    ("hybrid", "<think></think><code>\n1 + 1\n</code>", {}, {"content": "<code>\n1 + 1\n</code>"}),
    ("qwen3", "<think>\nhm\n</think>\n\nOslo.", {}, {"reasoning_content": "hm", "content": "Oslo."}),
    ("qwen3", "Oslo.", {"enable_thinking": False}, {"content": "Oslo."}),
    ("qwen3", '<think>\n\n</think>\n\n<tool_call>\n{"name": "f", "arguments": {"a":1}}\n</tool_call>', {},
     {"content": "", "tool_calls": [call("f", a=1)]}),
    ("chatml", 'Two.\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>\n'
     '<tool_call>\n{"name": "g", "arguments": {"b": [1.0]}}\n</tool_call>', {},
     {"content": "Two.", "tool_calls": [call("f"), call("g", b=[1.0])]}),
    ("smollm3", "<think>\nhm\n</think>\nOslo.", {}, {"reasoning_content": "hm", "content": "Oslo."}),
    ("llama3", '{"name": "f", "parameters": {"a": 1}}', {}, {"content": "", "tool_calls": [call("f", a=1)]}),
    ("llama3", '<|python_tag|>brave_search.call(query="x", n="2")', {"builtin_tools": ["brave_search"]},
     {"content": "", "tool_calls": [call("brave_search", query="x", n="2")]}),
    ("gemma3", "[f(a=1)]", {}, {"content": "[f(a=1)]"}),
    ("deepseek_r1", "<think>\nhm\n</think>\n\nOslo.", {}, {"reasoning_content": "hm", "content": "Oslo."}),
    ("deepseek_r1", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": 1}\n```"
     "<｜tool▁call▁end｜><｜tool▁calls▁end｜>", {}, {"content": "", "tool_calls": [call("f", a=1)]}),
    ("gpt_oss", "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Oslo.", {},
     {"reasoning_content": "hm", "content": "Oslo."}),
    ("gpt_oss", "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary<|message|>Look.<|end|>"
     "<|start|>assistant to=functions.f<|channel|>commentary json<|message|>{\"a\": 1}", {},
     {"reasoning_content": "hm", "content": "Look.", "tool_calls": [call("f", a=1)]}),
    ("command_a_reasoning", "<|START_THINKING|>hm<|END_THINKING|><|START_RESPONSE|>Oslo.<|END_RESPONSE|>", {},
     {"reasoning_content": "hm", "content": "Oslo."}),
    ("command_a_reasoning", '<|START_ACTION|>[    {"tool_call_id": "3", "tool_name": "f", "parameters": {"a": 1}}]'
     "<|END_ACTION|>", {}, {"content": "", "tool_calls": [{"id": "3", **call("f", a=1)}]}),
]  # fmt: skip


@pytest.mark.parametrize(("family", "text", "kwargs", "message"), PARSED, ids=lambda value: str(value)[:24])
def test_a_completion_is_the_message_that_it_means(
    family: str, text: str, kwargs: dict[str, Any], message: dict[str, Any]
) -> None:
    parsed = Template.load(family).parse(text, completion=True, **kwargs)
    assert parsed == Conversation(messages=[{"role": "assistant", **message}])


def completions(family: str) -> list[tuple[dict[str, Any], int, str, str]]:
    """The turns of the goldens: the row, the index of the message, its prompt's text and its own."""
    found = []
    for row in goldens(family):
        try:
            rendering = render_row(as_sampled(family), row, add_generation_prompt=False)
        except RenderError:
            continue
        for index, message in enumerate(row["messages"]):
            spans = [span for span in rendering.spans if span.generated and span.turn == index]
            contradicts = row["kwargs"].get("enable_thinking") is False and message.get("reasoning_content")
            if message["role"] == "assistant" and not contradicts:
                start, end = spans[0].start, spans[-1].end
                found.append((row, index, rendering.text[:start], rendering.text[start:end]))
    return found


@pytest.mark.parametrize("family", UPSTREAM_FAMILIES)
def test_each_turn_of_the_goldens_is_parsed_after_its_prompt(family: str) -> None:
    template = Template.load(family)
    exact = 0
    for row, index, before, text in completions(family):
        prompt = {**conversation_of(row), "messages": row["messages"][:index]}
        refusable = "</think>" in str(row["messages"][index]) and family in ("qwen3", "deepseek_r1", "smollm3")
        try:
            parsed = template.parse(text, completion=True, exact=True, prompt=prompt, clock=CLOCK, **kwargs_of(row))
        except NotRepresentable:
            assert refusable, row["id"]
            continue
        again = as_sampled(family).render(parsed, clock=CLOCK, **kwargs_of(row))
        assert again.text.removeprefix(before).startswith(text), row["id"]
        given = Conversation.coerce({"messages": row["messages"][index : index + 1]})
        exact += not differences(Conversation(messages=parsed.messages[index:]), given)
    assert exact > 30


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("stop", [True, False])
def test_the_generation_prompt_and_the_stop_token_may_be_there_or_not(family: str, stop: bool) -> None:
    template = as_sampled(family)
    message = {"role": "assistant", "content": "In Porto."}
    prompt = template.render([WARMER], True, clock=CLOCK).text
    before = template.render([WARMER], clock=CLOCK).text
    rendering = template.render([WARMER, message], clock=CLOCK)
    ((start, end),) = rendering.generated
    assert template.family is not None
    stops = template.family.generation.stop_tokens
    length = 0 if stop else max(len(token) for token in stops if rendering.text[:end].endswith(token))
    text = rendering.text[start : end - length]
    for head in ("", prompt[len(before) :], prompt):
        parsed = template.parse(head + text, completion=True, prompt=[WARMER], clock=CLOCK)
        assert [m.content for m in parsed.messages] == [WARMER["content"], "In Porto."]
    with pytest.raises(NotRepresentable, match=r"where the template (writes|continues with)"):
        template.parse(text, completion=True, generation_prompt=True, clock=CLOCK)


@pytest.mark.parametrize("family", [name for name in FAMILIES if Template.load(name).program.has_reasoning])
def test_a_completion_keeps_its_trace_under_every_retention(family: str) -> None:
    message = {"role": "assistant", "content": "In Porto.", "reasoning_content": "hm"}
    rendering = as_sampled(family).render([WARMER, message], clock=CLOCK)
    ((start, end),) = rendering.generated
    for retention in ("none", "last", "since_last_user", "all"):
        template = Template.load(family, retention=retention)
        parsed = template.parse(rendering.text[start:end], completion=True, clock=CLOCK)
        assert parsed.messages[0].reasoning_content == "hm"


def test_a_prompt_that_the_template_refuses_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="the prompt cannot be rendered"):
        Template.load("gemma3").parse("Hi", completion=True, prompt=[WARMER, WARMER])
    with pytest.raises(UsageError, match="the prompt cannot be rendered"):
        Template.load("gemma3").parse("Hi", completion=True, prompt=[{"role": "usr", "content": ""}])


def test_a_completion_of_several_turns_is_refused() -> None:
    with pytest.raises(NotRepresentable, match="after the stop token"):
        Template.load("chatml").parse("Hi<|im_end|>\n<|im_start|>user\nHo<|im_end|>\n", completion=True)


CALLING = '<think>\nhm\n</think>\n\nLook.\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'


def outcome(finish: Any) -> Conversation | str:
    """Return the parsed conversation, or the refusal."""
    try:
        parsed: Conversation = finish()
    except NotRepresentable as error:
        return str(error)
    return parsed


def pieces(data: st.DataObject, text: str) -> list[str]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def fed(parser: Parser, parts: list[str]) -> list[list[dict[str, Any]]]:
    """Return the messages that are known after each piece."""
    known = []
    for part in parts:
        parser.feed(part)
        known.append([message.dump() for message in parser.messages])
    return known


def is_part(known: dict[str, Any], message: dict[str, Any]) -> bool:
    """Return whether later messages only add to the known part of a message."""
    texts = all(
        str(message.get(key) or "").startswith(known[key]) for key in ("content", "reasoning_content") if key in known
    )
    names = [each["function"]["name"] for each in known.get("tool_calls", [])]
    return texts and [each["function"]["name"] for each in message.get("tool_calls") or []][: len(names)] == names


@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data())
@quick
def test_a_completion_in_pieces_gives_what_the_whole_gives(family: str, data: st.DataObject) -> None:
    template = as_sampled(family)
    try:
        rendering = template.render(data.draw(conversations()), clock=CLOCK)
    except (RenderError, ConversationError):
        return
    for start, end in rendering.generated[-1:]:
        text = rendering.text[start:end]
        parser = template.parser(completion=True, clock=CLOCK)
        known = fed(parser, pieces(data, text))
        whole = outcome(lambda text=text: template.parse(text, completion=True, clock=CLOCK))
        assert outcome(parser.finish) == whole
        if isinstance(whole, Conversation):
            message = whole.messages[-1].dump()
            assert all(is_part(so_far[0], message) for so_far in known if so_far)


@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data())
@quick
def test_a_conversation_in_pieces_gives_what_the_whole_gives(family: str, data: st.DataObject) -> None:
    template = Template.load(family)
    messages = [QUESTION, {"role": "assistant", "content": "Ho"}, QUESTION, {"role": "assistant", "content": "Hum"}]
    text = template.render(messages, clock=CLOCK).text
    parser = template.parser(clock=CLOCK)
    known = fed(parser, pieces(data, text))
    parsed = template.parse(text, clock=CLOCK)
    assert parser.finish() == parsed
    contents = [message.content for message in parsed.messages]
    assert all([m["content"] for m in so_far] == contents[: len(so_far)] for so_far in known)
    assert len(known[-1]) == 4


def test_what_is_known_grows_and_holds_back_what_may_be_markup() -> None:
    parser = Template.load("qwen3").parser(completion=True)
    known = fed(parser, ["<thi", "nk>\nhm\n</th", "ink>\n\nLook.\n<tool", CALLING.partition("\n<tool")[2]])
    assert known == [
        [],
        [{"role": "assistant", "reasoning_content": "hm"}],
        [{"role": "assistant", "reasoning_content": "hm", "content": "Look."}],
        [
            {
                "role": "assistant",
                "reasoning_content": "hm",
                "content": "Look.",
                "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": "{}"}}],
            }
        ],
    ]
    assert parser.finish().messages == parser.messages


def test_a_prompt_in_front_of_a_completion_is_not_part_of_it() -> None:
    parser = Template.load("qwen3").parser(completion=True, prompt=[QUESTION])
    known = fed(parser, ["<|im_sta", "rt|>assistant\n", "<think>\nh", "m"])
    assert known[:2] == [[], []]
    assert known[-1] == [{"role": "assistant", "reasoning_content": "hm"}]


def test_a_stream_that_breaks_off_is_refused_but_tells_what_is_known() -> None:
    parser = Template.load("hybrid").parser(completion=True)
    parser.feed("<think>all of th")
    assert parser.messages[0].reasoning_content == "all of th"
    with pytest.raises(NotRepresentable, match="opens a trace that is not closed"):
        parser.finish()


@pytest.mark.parametrize(
    ("family", "text", "kwargs"),
    [
        ("hybrid", "<think></think><code>\n1 + 1\n</code>", {"python_tools": True}),
        ("llama3", '<|python_tag|>search.call(query="x", n="2")', {"builtin_tools": ["search"]}),
    ],
)
def test_calls_of_special_tools_are_streamed(family: str, text: str, kwargs: dict[str, Any]) -> None:
    template = Template.load(family)
    parser = template.parser(completion=True, **kwargs)
    for character in text:
        parser.feed(character)
    assert all("content" not in delta for delta in parser.deltas())
    assert parser.finish().messages == template.parse(text, completion=True, **kwargs).messages


def test_a_parser_is_fed_with_text() -> None:
    with pytest.raises(UsageError, match="feed takes text, not int"):
        Template.load("qwen3").parser().feed(3)  # type: ignore[arg-type]
