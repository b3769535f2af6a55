"""Nothing that a terminal would act on is printed raw."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattmpl.printable import dumps, excerpt, fragments, one_line, visible

_TEXTS = st.text(st.characters() | st.sampled_from("\x1b\x9b\u202e\u200d\u200b\n\t\r a👩🚀"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "⟨U+001B⟩[31mred"),
        ("\x9b31m", "⟨U+009B⟩31m"),
        ("a\r\n", "a⟨U+000D⟩\n"),
        ("user\u202etxt", "user⟨U+202E⟩txt"),
        ("zero\u200bwidth", "zero⟨U+200B⟩width"),
        ("tag\U000e0041", "tag⟨U+E0041⟩"),
        ("half \ud83d", "half ⟨U+D83D⟩"),
    ],
)
def test_what_a_terminal_would_act_on_or_hide_is_shown_as_its_number(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::add-mask::x", "⟨U+003A⟩:add-mask::x"),
        ("a\n  ::error::x", "a\n  ⟨U+003A⟩:error::x"),
        ("a ::stop-commands::t", "a ⟨U+003A⟩:stop-commands::t"),
        ("a##[error]x", "a##⟨U+005B⟩error]x"),
    ],
)
def test_what_the_log_of_an_action_would_execute_is_shown_as_its_number(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize("text", ["tests/a.py::test_b[c]", "x: :y", "# [a](b)", "std::string"])
def test_other_colons_and_brackets_are_left_alone(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize("text", ["👩‍🚀", "☕️ café", "می‌خواهم", "क्‍ष", "a\tb\n", "日本語"])
def test_what_shapes_emoji_and_scripts_is_left_alone(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize("text", ["\u200dx", "x\u200d", "a \u200db", "a\u200d\u200db"])
def test_a_joiner_that_joins_nothing_is_shown(text: str) -> None:
    assert "⟨U+200D⟩" in visible(text)


@pytest.mark.parametrize(("text", "first"), [("\u0301x", "◌"), ("\ufe0fx", "⟨U+FE0F⟩")])
def test_a_mark_at_the_start_of_a_text_does_not_join_what_stands_before_it(text: str, first: str) -> None:
    assert next(fragments(text)) == (first, True)


@given(_TEXTS)
def test_no_control_character_survives(text: str) -> None:
    shown = visible(text)
    assert not [char for char in shown if unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t"]
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")


@given(_TEXTS)
def test_fragments_hold_every_character_that_is_shown_as_itself(text: str) -> None:
    kept = "".join(part for part, hidden in fragments(text) if not hidden)
    rest = iter(text)
    assert all(char in rest for char in kept)


def test_an_excerpt_is_one_short_line() -> None:
    assert excerpt("a\nb\x1b") == '"a↵b⟨U+001B⟩"'
    assert excerpt("x" * 100, 10) == '"xxxxxxxx…'


@given(st.text())
def test_json_says_the_same_with_nothing_that_a_terminal_would_act_on(text: str) -> None:
    made = dumps({"text": text})
    assert json.loads(made) == {"text": text}
    assert not set(made) & {chr(code) for code in (*range(32), *range(127, 160), 0x202E, 0x2028)}


def test_a_text_on_one_line_shows_its_newlines_and_tabs() -> None:
    assert one_line("a\n\tb\r") == "a↵⇥b⟨U+000D⟩"
