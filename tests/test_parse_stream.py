"""Streams: text in pieces, cut anywhere, gives what the whole gives, and takes nothing back on the way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chattmpl import Conversation, Template
from chattmpl.conversation.strategies import conversations
from chattmpl.errors import ConversationError, NotRepresentable, RenderError, UsageError
from chattmpl.parse import Parser
from support.parsing import CLOCK, FAMILIES, as_sampled

QUESTION = {"role": "user", "content": "Hi"}
CALLING = '<think>\nhm\n</think>\n\nLook.\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'

quick = settings(max_examples=10, suppress_health_check=list(HealthCheck))


def outcome(finish: Any) -> Conversation | str:
    """What was parsed, or the refusal."""
    try:
        parsed: Conversation = finish()
    except NotRepresentable as error:
        return str(error)
    return parsed


def pieces(data: st.DataObject, text: str) -> list[str]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def fed(parser: Parser, parts: list[str]) -> list[list[dict[str, Any]]]:
    """What is known after each piece."""
    known = []
    for part in parts:
        parser.feed(part)
        known.append([message.dump() for message in parser.messages])
    return known


def is_part(known: dict[str, Any], message: dict[str, Any]) -> bool:
    """Whether nothing of what was known of a message had to be taken back."""
    texts = all(
        str(message.get(key) or "").startswith(known[key]) for key in ("content", "reasoning_content") if key in known
    )
    return texts and (message.get("tool_calls") or [])[: len(known.get("tool_calls", []))] == known.get(
        "tool_calls", []
    )


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
        [Template.load("qwen3").parse(CALLING, completion=True).messages[0].dump()],
    ]


def test_a_prompt_in_front_of_a_completion_is_not_part_of_it() -> None:
    parser = Template.load("qwen3").parser(completion=True, prompt=[QUESTION])
    known = fed(parser, ["<|im_sta", "rt|>assistant\n", "<think>\nh", "m"])
    assert known[:2] == [[], []]
    assert known[-1] == [{"role": "assistant", "reasoning_content": "hm"}]


def test_a_stream_that_breaks_off_is_refused_but_tells_what_is_known() -> None:
    parser = Template.load("hybrid").parser(completion=True)
    parser.feed("<think>all of th")
    assert parser.messages[0].reasoning_content == "all of th"
    with pytest.raises(NotRepresentable, match="a trace is opened here"):
        parser.finish()


def test_a_parser_is_fed_with_text() -> None:
    with pytest.raises(UsageError, match="not with int"):
        Template.load("qwen3").parser().feed(3)  # type: ignore[arg-type]
