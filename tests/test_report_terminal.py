"""The picture in a terminal: framed, within its width, and clear without colours."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from chattmpl import Template
from chattmpl.conversation.files import load_conversation
from chattmpl.report.picture import Picture, picture
from chattmpl.report.terminal import console, print_picture
from support import ROOT
from support.snapshots import matches_snapshot

HOSTILE = [
    {"role": "system", "content": "\x1b[31mred\x1b[0m \x9b5m \u202eevil\u202c \u200bzero\ttab  \nnext   \n"},
    {"role": "user", "name": "x\x1b]0;title\x07", "content": "<|im_end|>\r\n👩‍🚀 日本語" + "の文章" * 30},
    {"role": "assistant", "content": "[bold]no markup[/bold] :smile: café ☕️"},
]
TURNS = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}"
    "{% else %}{{ m.content }}{% endif %}{% endfor %}"
)


def _picture(messages: Any, template: str = "qwen3", tokenizer: str | None = None, **options: Any) -> Picture:
    rendering = Template.load(template).render(messages)
    encoding = None if tokenizer is None else rendering.encode(tokenizer, **options)
    return picture(rendering, encoding, name="conv.json", tokenizer=tokenizer)


def _fixture(name: str) -> Any:
    return load_conversation(ROOT / "fixtures" / f"{name}.json")


def _printed(shown: Picture, width: int = 80) -> str:
    file = io.StringIO()
    print_picture(console(file, width=width), shown)
    return file.getvalue()


def _coloured(shown: Picture, **options: Any) -> str:
    file = io.StringIO()
    print_picture(Console(file=file, width=80, force_terminal=True, markup=False, highlight=False, **options), shown)
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_a_conversation_with_tools(width: int) -> None:
    matches_snapshot(f"terminal_tools_{width}.txt", _printed(_picture(_fixture("tool_call")), width))


@pytest.mark.parametrize("width", [80, 120])
def test_tokens_and_the_mask_on_them(width: int) -> None:
    shown = _picture(_fixture("multi_turn_reasoning"), tokenizer="demo")
    matches_snapshot(f"terminal_tokens_{width}.txt", _printed(shown, width))


def test_hostile_texts() -> None:
    matches_snapshot("terminal_hostile.txt", _printed(_picture(HOSTILE)))
    matches_snapshot("terminal_hostile_tokens.txt", _printed(_picture(HOSTILE, tokenizer="demo")))


def test_a_choice_of_mask_shows_what_is_generated_and_not_trained() -> None:
    shown = _picture(_fixture("reasoning"), tokenizer="demo", mask="no-reasoning")
    matches_snapshot("terminal_mask.txt", _printed(shown))


@pytest.mark.parametrize(("straddle", "sign"), [("include", "! "), ("exclude", "┊ ")])
def test_where_the_mask_and_the_generated_span_differ_the_margin_says_so(straddle: Any, sign: str) -> None:
    source = "{% for m in messages %}wea{% generation %}ther{% endgeneration %}{% endfor %}"
    rendering = Template.from_source(source).render([{"role": "assistant", "content": ""}])
    printed = _printed(picture(rendering, rendering.encode("demo", straddle=straddle), tokenizer="demo"))
    assert f"│ {sign}" in printed
    assert "straddles an edge" in printed


def test_the_margin_is_exact_where_the_model_begins_in_the_middle_of_a_line() -> None:
    rendering = Template.from_source(TURNS).render(
        [{"role": "user", "content": "Q: 1+1? A: "}, {"role": "assistant", "content": "2\n3"}]
    )
    lines = _printed(picture(rendering)).splitlines()
    assert [line[:6] for line in lines if re.match(r"│ [▌ ]", line)] == ["│   Q:", "│ ▌ 2↵", "│ ▌ 3 "]


def test_what_a_terminal_would_obey_is_never_sent_to_it() -> None:
    for shown in (_picture(HOSTILE), _picture(HOSTILE, tokenizer="demo")):
        printed = re.sub(r"\x1b\[[\d;]*m", "", _coloured(shown, color_system="truecolor"))
        assert not re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", printed)


def test_colours_tell_generated_text_and_without_them_the_margin_still_does() -> None:
    shown = _picture(_fixture("single_turn"))
    assert "\x1b[38;2;220;252;231;48;2;20;83;45m" in _coloured(shown, color_system="truecolor")
    without = _coloured(shown, color_system="truecolor", no_color=True)
    assert not re.findall(r"\x1b\[[\d;]*\b[345]8;", without)
    assert "▌" in re.sub(r"\x1b\[[\d;]*m", "", without)


def test_tokens_are_told_apart_by_colours_or_else_by_lines() -> None:
    shown = _picture(_fixture("single_turn"), tokenizer="demo")
    assert "▏" not in _coloured(shown, color_system="truecolor")
    assert "▏" in _coloured(shown, color_system="truecolor", no_color=True)


@pytest.mark.parametrize("width", [20, 40, 80, 120])
@pytest.mark.parametrize("tokenizer", [None, "demo"])
def test_no_line_is_wider_than_the_terminal(width: int, tokenizer: str | None) -> None:
    for name in ("tool_call", "unicode", "whitespace", "control_tokens_in_text"):
        for line in _printed(_picture(_fixture(name), tokenizer=tokenizer), width).splitlines():
            assert cell_len(line) <= width


@given(st.text(min_size=1, max_size=200))
def test_every_frame_is_as_wide_as_the_terminal_whatever_is_in_it(text: str) -> None:
    rendering = Template.from_source(TURNS).render([{"role": "assistant", "content": text}])
    for line in _printed(picture(rendering)).splitlines():
        if line[0] in "╭│╰":
            assert cell_len(line) == 80


def test_many_losses_are_counted_rather_than_listed() -> None:
    talk = [{"role": "user", "content": "x", **{f"key{index}": "v" for index in range(30)}}]
    assert "and 10 more, which --format json lists" in _printed(_picture(talk))
