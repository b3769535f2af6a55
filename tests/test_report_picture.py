"""The picture: every character is in it once, and what a person should know is said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattmpl import Template
from chattmpl.conversation.files import load_conversation
from chattmpl.report.losses import losses
from chattmpl.report.picture import Picture, picture
from chattmpl.template.family import family_names
from chattmpl.template.rendering import Rendering
from support import ROOT

MINI = (
    "<s>{% for m in messages %}<|{{ m.role }}|>"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|end|>{% endgeneration %}"
    "{% else %}{{ m.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TALK = [{"role": "user", "content": "Hi <|end|>"}, {"role": "assistant", "content": "Ho"}]


def _rendering(messages: Any = TALK, source: str = MINI, **kwargs: Any) -> Rendering:
    return Template.from_source(source, name="mini").render(messages, **kwargs)


def _text(shown: Picture) -> str:
    return "".join(piece.text for frame in shown.frames for piece in frame.pieces)


def test_each_turn_has_a_frame_and_so_has_the_text_outside_of_turns() -> None:
    shown = picture(_rendering(add_generation_prompt=True), generation_prompt=True)
    assert [(frame.turn, frame.title) for frame in shown.frames] == [
        (None, "before the first turn"),
        (0, "0 user"),
        (1, "1 assistant"),
        (None, "generation prompt"),
    ]


def test_a_turn_with_a_part_of_another_message_says_so() -> None:
    source = (
        "{% for m in messages if m.role != 'system' %}{{ messages[0].content }}{{ m.content }}"
        "{% generation %}{% endgeneration %}{% endfor %}"
    )
    system = [{"role": "system", "content": "S"}, {"role": "user", "name": "Ann", "content": "U"}]
    assert picture(_rendering(system, source)).frames[0].title == "1 user Ann, with 0 system"


@pytest.mark.parametrize("family", family_names())
@pytest.mark.parametrize("fixture", ["reasoning", "unicode", "control_tokens_in_text", "whitespace"])
def test_the_pieces_are_the_text(family: str, fixture: str) -> None:
    conversation = load_conversation(ROOT / "fixtures" / f"{fixture}.json")
    rendering = Template.load(family).render(conversation)
    assert _text(picture(rendering)) == rendering.text
    encoding = rendering.encode("demo")
    shown = picture(rendering, encoding)
    assert _text(shown) == rendering.text
    assert sum(frame.tokens or 0 for frame in shown.frames) == len(encoding)
    assert sum(frame.trained or 0 for frame in shown.frames) == sum(encoding.assistant_masks)


@given(st.text(), st.text())
def test_the_pieces_are_the_text_whatever_it_is(question: str, answer: str) -> None:
    rendering = _rendering([{"role": "user", "content": question}, {"role": "assistant", "content": answer}])
    encoding = rendering.encode("demo")
    pieces = [piece for frame in picture(rendering, encoding).frames for piece in frame.pieces]
    assert "".join(piece.text for piece in pieces) == rendering.text
    assert {token for piece in pieces for token in piece.tokens} == set(range(len(encoding)))
    for piece in pieces:
        assert piece.trained == any(encoding.assistant_masks[token] for token in piece.tokens)


def test_only_the_templates_own_control_tokens_are_shown_as_such() -> None:
    pieces = [piece for frame in picture(_rendering()).frames for piece in frame.pieces]
    controls = [(piece.text, piece.span.turn) for piece in pieces if piece.kind == "control"]
    assert controls == [
        ("<s>", None), ("<|", 0), ("user", 0), ("|>", 0), ("<|end|>", 0),
        ("<|", 1), ("assistant", 1), ("|>", 1), ("<|end|>", 1),
    ]  # fmt: skip
    assert ("Hi <|end|>", "field") in [(piece.text, piece.kind) for piece in pieces]


def test_an_escaped_control_token_is_called_out() -> None:
    rendering = Template.load("qwen3").render([{"role": "user", "content": "<|im_end|>"}, TALK[1]])
    shown = picture(rendering, rendering.encode("demo"))
    escaped = "".join(piece.text for frame in shown.frames for piece in frame.pieces if piece.escaped)
    assert escaped == "<|im_end|>"
    assert shown.warnings == (
        (
            "1 control token of a message was encoded as ordinary text",
            ('"<|im_end|>" in messages[0].content',),
        ),
    )


def test_a_token_across_an_edge_is_called_out() -> None:
    source = (
        "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }} wea"
        "{% else %}{% generation %}{{ m.content }}{% endgeneration %}{% endif %}{% endfor %}"
    )
    rendering = _rendering([{"role": "user", "content": "The"}, {"role": "assistant", "content": "ther"}], source)
    shown = picture(rendering, rendering.encode("demo"))
    assert shown.warnings[0] == (
        "1 token straddles an edge",
        ('token 1 " weather" goes across the start of a generated span of turn 1',),
    )
    straddling = "".join(piece.text for frame in shown.frames for piece in frame.pieces if piece.straddles)
    assert straddling == " weather"


def test_a_template_without_generation_tags_is_called_out() -> None:
    shown = picture(_rendering(source="{% for m in messages %}{{ m.content }}{% endfor %}"))
    assert [headline for headline, _ in shown.warnings] == ["nothing is generated"]
    assert picture(_rendering()).warnings == ()


def test_a_mask_without_any_token_is_called_out() -> None:
    rendering = _rendering([TALK[0], {**TALK[1], "train": False}])
    shown = picture(rendering, rendering.encode("demo", control_tokens="allow"))
    assert [headline for headline, _ in shown.warnings] == ["nothing is trained"]


def test_a_loss_says_what_is_gone_and_why() -> None:
    talk = [
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": "2", "reasoning_content": "Because."},
        {"role": "tool", "content": "3", "tool_call_id": "call_1", "mood": "odd"},
        {"role": "user", "content": "4"},
    ]
    found = {loss.path: (loss.held, loss.why) for loss in losses(Template.load("qwen3").render(talk))}
    held, why = found["messages[1].reasoning_content"]
    assert held == '"Because."'
    assert why == "the retention policy 'since_last_user' drops it; --retention all keeps it"
    held, why = found["messages[2].tool_call_id"]
    assert held == '"call_1"'
    assert why is not None
    assert why.startswith("qwen3 declares it: ")
    assert found["messages[2].mood"] == ('"odd"', None)


def test_a_limit_of_one_role_explains_no_loss_of_another() -> None:
    talk = [{"role": "developer", "content": "D"}, {"role": "user", "content": "U", "colour": "red"}]
    why = {loss.path: loss.why for loss in losses(Template.load("qwen3").render(talk))}
    assert "no developer turn" in str(why["messages[0].content"])
    assert why["messages[1].colour"] is None
