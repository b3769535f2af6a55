"""``chattmpl check``: the laws over many conversations, one small counterexample for each cause."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chattmpl import Template
from chattmpl.cli import main
from chattmpl.laws import Case, Counterexample, evaluate, laws, laws_named
from chattmpl.laws.checker import check, fixtures, made, modes
from chattmpl.laws.shrink import shrink

BAD = (
    "{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\\n' }}{% generation %}{{ m.content }}"
    "{% endgeneration %}{{ '<|im_end|>\\n' }}{% endfor %}"
)


def test_a_law_that_is_broken_in_many_conversations_is_one_finding() -> None:
    (verdict,) = check(Template.from_source(BAD), laws_named(["pure"]), fixtures())
    assert len(verdict.broken) == 1


def test_the_counterexample_is_the_smallest_that_still_shows_it() -> None:
    (verdict,) = check(Template.from_source(BAD), laws_named(["pure"]), fixtures())
    messages = verdict.broken[0].conversation.dump()["messages"]
    assert len(messages) == 1
    assert len(messages[0]["content"]) == 1


def test_shrinking_keeps_the_cause() -> None:
    template = Template.load("qwen3")
    law = laws()["prefix"]
    case = next(
        case for case in (Case(template, c) for c in fixtures()) if isinstance(evaluate(law, case), Counterexample)
    )
    found = evaluate(law, case)
    assert isinstance(found, Counterexample)
    smallest = shrink(law, found, case)
    assert len(smallest.conversation.messages) <= len(found.conversation.messages)
    assert isinstance(evaluate(law, Case(template, smallest.conversation)), Counterexample)


def test_what_was_not_evaluated_is_never_said_to_hold() -> None:
    (verdict,) = check(Template.load("chatml"), laws_named(["boundary"]), fixtures())
    assert not verdict.evaluated
    assert verdict.holds == 0
    assert "it needs a tokenizer" in verdict.unevaluated


def test_the_declared_modes_are_varied() -> None:
    assert {"enable_thinking": False} in modes(Template.load("qwen3"))
    assert modes(Template.from_source("x")) == [{}]


def test_conversations_are_made_the_same_each_time() -> None:
    first, again = made(8), made(8)
    assert len(first) >= 8
    assert [c.dump() for c in first] == [c.dump() for c in again]


def test_hybrid_obeys_the_laws_on_made_conversations_too() -> None:
    chosen = laws_named(["sampled", "stop", "pure", "prefix", "lossless", "steady"])
    for verdict in check(Template.load("hybrid"), chosen, made(40)):
        assert verdict.broken == [], verdict.law.name
        assert verdict.holds > 10, verdict.law.name


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["check", *arguments])
    return code, capsys.readouterr().out


def test_a_lawful_template_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "hybrid", "--law", "sampled", "--law", "stop")
    assert code == 0
    assert "sampled     holds for" in out


def test_a_broken_law_ends_with_1_and_shows_line_texts_and_conversation(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out = run(capsys, "qwen3", "--law", "prefix")
    assert code == 1
    assert "prefix      BROKEN" in out
    assert "qwen3/template.jinja:" in out
    assert "expected:" in out
    assert 'conversation: [{"role": ' in out


def test_json_is_one_list_of_diagnostics(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "bad.jinja"
    file.write_text(BAD)
    code, out = run(capsys, str(file), "--law", "pure", "--format", "json", "--save", str(tmp_path / "kept"))
    (found,) = json.loads(out)
    assert code == 1
    assert found["law"] == "pure"
    assert found["line"] == 1
    assert set(found) == {
        "code", "severity", "file", "line", "column", "message", "hint", "law", "counterexample",
    }  # fmt: skip
    (kept,) = (tmp_path / "kept").iterdir()
    assert json.loads(kept.read_text()) == found["counterexample"]["conversation"]


def test_a_wrong_law_or_no_template_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "qwen3", "--law", "sampeld")[0] == 2
    assert run(capsys)[0] == 2
