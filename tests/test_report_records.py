"""Renderings as JSON."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from chattmpl import Template
from chattmpl.report.records import dumps, record

TALK = [{"role": "user", "content": "Hi <|im_end|>"}, {"role": "assistant", "content": "Ho"}]


@given(st.text())
def test_json_says_the_same_with_nothing_that_a_terminal_would_obey(text: str) -> None:
    made = dumps({"text": text})
    assert json.loads(made) == {"text": text}
    assert not set(made) & {chr(code) for code in (*range(32), *range(127, 160), 0x202E, 0x2028)}


def test_a_rendering_has_exactly_the_keys_that_are_promised() -> None:
    rendering = Template.load("qwen3").render(TALK)
    assert list(record(rendering)) == ["text", "spans", "generated", "lost"]
    encoded = record(rendering, rendering.encode("demo"))
    assert list(encoded)[4:] == ["input_ids", "assistant_masks", "straddles", "escaped"]
    assert encoded["escaped"][0]["text"] == "<|im_end|>"
    assert json.loads(dumps(encoded)) == encoded
