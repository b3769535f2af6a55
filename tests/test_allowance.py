"""Many renders of one template: together they are bounded, and what they raise holds no values of the template."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chattmpl import Template
from chattmpl.budget import Budget, allow
from chattmpl.compare.cases import cases, named_conversations
from chattmpl.compare.portability import compare
from chattmpl.compare.template_diff import diff
from chattmpl.engine import Tgi
from chattmpl.errors import BudgetError, RenderError, RunawayError
from chattmpl.laws.checker import check
from chattmpl.laws.law import laws_named
from chattmpl.rewrite.annotate.annotator import annotate
from support.command import run_here
from support.extras import need

MESSAGES = [{"role": "user", "content": "hello"}]
CHAT = (
    "{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\n' ~ m.content ~ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SLOW = "{% for i in range(90) %}{% for j in range(9900) %}{% endfor %}{% endfor %}" + CHAT
"""A template that takes nine tenths of the budget for each render."""

TOGETHER = "in all renders together"


def test_renders_share_the_steps_of_an_allowance() -> None:
    template = Template.from_source("{% for i in range(900) %}{% endfor %}")
    with allow(2_000):
        for _ in range(3):
            template.render(MESSAGES)
        with pytest.raises(BudgetError, match=TOGETHER) as caught, allow(10**9):
            template.render(MESSAGES)
    assert caught.value.place is not None
    assert caught.value.place.source.text == template.source
    template.render(MESSAGES)


def _check(template: Template) -> object:
    return check(template, laws_named(None), [conversation for _, conversation in named_conversations()])


def _diff(template: Template) -> object:
    return diff(template, Template.from_source(CHAT), cases(named_conversations(), [{}]))


@pytest.mark.parametrize("work", [_check, _diff, annotate], ids=["check", "diff", "annotate"])
def test_a_template_that_is_slow_but_within_its_budget_does_not_run_for_minutes(
    work: Callable[[Template], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chattmpl.rewrite.result._STEPS", 500_000)
    # A tenth of the steps, for the sake of time.
    template = Template.from_source(SLOW.replace("9900", "990"), budget=Budget(steps=100_000))
    with pytest.raises(BudgetError, match=TOGETHER) as caught:
        work(template)
    assert caught.value.place is not None
    assert "range(990)" in caught.value.place.source.text, "it names the slow one of two templates"


def test_the_comparison_with_an_engine_skips_what_is_left_of_a_slow_template() -> None:
    report = compare(Template.from_source(SLOW), Tgi(), cases(named_conversations(), [{}]))
    assert report.overrun is not None
    assert TOGETHER in report.overrun.message
    assert report.skipped > 20


def test_a_conversation_is_rendered_once_for_all_laws_if_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[Any] = []
    render = Template.render

    def noted(*given: Any, **more: Any) -> Any:
        rendered.append(given)
        return render(*given, **more)

    monkeypatch.setattr(Template, "render", noted)
    template = Template.from_source("{% if messages|length > 0 %}{{ raise_exception('no') }}{% endif %}")
    conversations = [conversation for _, conversation in named_conversations()]
    report = check(template, laws_named(None), conversations)
    assert not any(verdict.evaluated for verdict in report.verdicts)
    assert len(rendered) < 2 * len(conversations) * len(report.modes) + 60


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("{% set long = 'a' * 3000000 %}{{ raise_exception(long) }}", "refuses"),
        ("{% set long = 'a' * 3000000 %}{{ messages[0][long].b }}", "not there"),
        ("{% macro m(long) %}{{ long ~ none.b.c }}{% endmacro %}{{ m('a' * 3000000) }}", "not there"),
        ("{% set long = 'a' * 3000000 %}{% for i in range(10) %}{{ long * 100 }}{% endfor %}", "create a string"),
    ],
)
def test_an_error_that_is_kept_holds_no_values_of_the_template(source: str, problem: str) -> None:
    with pytest.raises(RenderError, match=problem) as caught:
        Template.from_source(source).render(MESSAGES)
    error: BaseException | None = caught.value
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            values = [*frame.f_locals.values(), *getattr(frame.f_locals.get("context"), "vars", {}).values()]
            assert frame.f_code.co_filename == __file__ or not any(
                isinstance(v, str) and len(v) > 20_000 for v in values
            )
        error = error.__cause__


def test_a_template_that_runs_away_does_not_hide_what_is_found_in_others(tmp_path: Path) -> None:
    (tmp_path / "slow.jinja").write_text(SLOW)
    (tmp_path / "chat.jinja").write_text(CHAT)
    done = run_here(["check", str(tmp_path / "slow.jinja"), str(tmp_path / "chat.jinja")])
    assert done.code == 2
    assert done.err.count("error: ") == 1
    assert "slow.jinja:1:1: the template took more than" in done.err
    assert "chat.jinja" in done.out


RUNAWAY = Template.from_source(
    "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
    "{% if messages[0].content == 'run' %}{% for i in range(9000) %}{% endfor %}{% endif %}",
    budget=Budget(steps=5_000),
)


def row(content: str, turns: int = 1) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "a"}] * turns}


@pytest.mark.data
def test_a_template_that_exceeds_its_budget_on_row_after_row_is_an_error_of_the_job() -> None:
    need("numpy", session="data")
    from chattmpl.data.encoder import Encoder

    with pytest.raises(RunawayError, match=r"more than 5,000 steps, on 5 rows one after another") as caught:
        Encoder(RUNAWAY, "demo", fast="off", mask_from="tags").encode_many([row("run")] * 5)
    assert caught.value.place is not None
    # One row that ends in between, or rows of many messages, are no sign of it.
    rows = [*[row("run")] * 4, row("hi"), *[row("run")] * 4]
    results = Encoder(RUNAWAY, "demo", fast="off", mask_from="tags").encode_many(rows)
    assert [getattr(result, "reason", None) for result in results] == ["budget"] * 4 + [None] + ["budget"] * 4
    results = Encoder(RUNAWAY, "demo", fast="off", mask_from="tags").encode_many([row("run", turns=9)] * 9)
    assert [result.reason for result in results] == ["budget"] * 9  # type: ignore[union-attr]


@pytest.mark.data
@pytest.mark.parametrize("command", ["encode", "stats", "audit"])
def test_a_command_over_rows_ends_after_a_few_of_them(command: str, tmp_path: Path) -> None:
    need("numpy", session="data")
    template = tmp_path / "endless.jinja"
    template.write_text("{% generation %}{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}"
                        "{% endgeneration %}", encoding="utf-8")  # fmt: skip
    rows = tmp_path / "rows.jsonl"
    rows.write_text(f"{json.dumps(row('hi'))}\n" * 400, encoding="utf-8")
    output = ["--output", str(tmp_path / "out.parquet")] if command == "encode" else []
    done = run_here([command, str(rows), "-t", str(template), "--tokenizer", "demo", *output])
    assert (done.code, done.err.count("error:")) == (2, 1)
    assert "steps, on 5 rows one after another" in done.err
