"""GBNF grammars: they accept what a template renders, and reject what is cut off or closed twice."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_parse_derived import NOTATIONS, QUESTION, calls, template, words

from chattmpl import Template
from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.parse.gbnf import gbnf
from chattmpl.template.family import family_names
from support.command import run_here
from support.gbnf import Gbnf

SAMPLES: list[dict[str, Any]] = [
    {"city": "Oslo"},
    {"n": 1, "x": 1.5e-7, "no": None, "yes": True, "l": [1, "y", {"k": []}], "o": {"p": {}, "q": "z"}},
    {"a": 'it\'s "q"\n<b> é日😀 \\ {}[]'},
]


@lru_cache
def grammar(notation: str) -> Gbnf:
    return Gbnf(gbnf(template(notation)))


def turn(loaded: Template, message: dict[str, Any], **kwargs: Any) -> str | None:
    """The completion that a message is; None if its turn does not begin with the generation prompt."""
    prompt = loaded.render([QUESTION], True, **kwargs).text
    text = loaded.render([QUESTION, message], **kwargs).text
    return text[len(prompt) :] if text.startswith(prompt) else None


def message(content: str, made: list[tuple[str, dict[str, Any]]], reasoning: str | None = None) -> dict[str, Any]:
    called = [{"id": f"call{n:05}", "type": "function", "function": {"name": name, "arguments": args}}
              for n, (name, args) in enumerate(made)]  # fmt: skip
    return {
        "role": "assistant",
        "content": content,
        **({"reasoning_content": reasoning} if reasoning else {}),
        **({"tool_calls": called} if called else {}),
    }


@pytest.mark.parametrize("notation", NOTATIONS)
@given(content=st.just("") | words, reasoning=st.none() | words, made=calls)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_each_rendered_completion_is_accepted(
    notation: str, content: str, reasoning: str | None, made: list[tuple[str, dict[str, Any]]]
) -> None:
    text = turn(template(notation), message(content, made, reasoning))
    assert text is not None
    assert grammar(notation).accepts(text)
    assert grammar(notation).accepts(text.removesuffix("<|end|>"))


OPENERS = {"pythonic": "<|calls|>[", "name and arguments": "[TOOL_CALLS]", "python": "<call>"}
QUOTES = {"json": '"Oslo', "pythonic": '"Oslo', "name and arguments": '"Oslo', "python": "'Oslo"}


@pytest.mark.parametrize("notation", NOTATIONS)
def test_a_call_that_is_cut_off_closed_twice_or_badly_quoted_is_rejected(notation: str) -> None:
    opener = OPENERS.get(notation, "<tool_call>")
    for sample in SAMPLES:
        text = turn(template(notation), message("Look.", [("f", sample)], "hm"))
        assert text is not None
        text = text.removesuffix("<|end|>")
        cuts = [text[:end] for end in range(text.index(opener) + len(opener), len(text))]
        doubled = [text + text[-length:] for length in (1, 8)] + [
            "<think>hm</think></think>Hi",
            "<think>hm",
            "Hi<|end|>Ho",
        ]
        quotes = [text.replace(QUOTES[notation], "Oslo")] if "Oslo" in text and notation in QUOTES else []
        assert [mutant for mutant in [*cuts, *doubled, *quotes] if grammar(notation).accepts(mutant)] == []


def test_markup_stays_text_in_markdown_code_only() -> None:
    assert grammar("json").accepts("Write `<tool_call>` or ```\n</think>\n``` first.")
    assert not grammar("json").accepts("Write <tool_call> first.")


@pytest.mark.parametrize("name", family_names())
def test_the_grammars_of_the_families_accept_their_turns(name: str) -> None:
    loaded = Template.load(name)
    made = Gbnf(gbnf(loaded))
    checked = 0
    for content in ("", "Sunny, a < b"):
        for reasoning in (None, "hm"):
            for made_calls in ([], [("f", SAMPLES[0])], [("f", SAMPLES[1]), ("g", SAMPLES[2])]):
                try:
                    text = turn(loaded, message(content, made_calls, reasoning))
                except ChatTmplError:
                    continue
                if text is not None:
                    assert any(made.accepts(text[: len(text) - cut]) for cut in range(3)), text
                    checked += 1
    assert checked


def test_what_the_prompt_opens_is_not_part_of_the_grammar() -> None:
    opened = Template.from_source(
        "{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' %}"
        "<think>\n{{ m.reasoning_content }}\n</think>\n{% endif %}{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|><think>\n{% endif %}"
    )
    made = Gbnf(gbnf(opened))
    assert made.accepts("hm\n</think>\nHi<|end|>")
    assert not made.accepts("<think>\nhm\n</think>\nHi<|end|>")
    assert not made.accepts("Hi")


def test_a_template_without_a_grammar_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no grammar"):
        gbnf(Template.from_source("x", name="mine"))
    path = tmp_path / "mine.jinja"
    path.write_text("x")
    done = run_here(["export", "-t", str(path), "--format", "gbnf"])
    assert done.code == 2
    assert "mine.jinja" in done.err


def test_the_command_writes_it(tmp_path: Path) -> None:
    done = run_here(["export", "-t", "qwen3", "--format", "gbnf"])
    assert done.code == 0
    assert done.out == gbnf(Template.load("qwen3"))
    path = tmp_path / "qwen3.gbnf"
    assert run_here(["export", "-t", "qwen3", "--format", "gbnf", "-o", str(path)]).code == 0
    assert path.read_text(encoding="utf-8") == done.out
    assert run_here(["export", "-t", "qwen3", "--format", "gbnf", "-o", str(path), "--into-variant", "x"]).code == 2
    assert run_here(["export", "-t", "qwen3", "--format", "gbnf", "-o", str(tmp_path)]).code == 2
    off = run_here(["export", "-t", "qwen3", "--format", "gbnf", "--set", "enable_thinking=false"]).out
    assert not Gbnf(off).accepts("<think>\nhm\n</think>\n\nHi")
