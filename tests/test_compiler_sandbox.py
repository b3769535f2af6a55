"""Untrusted templates: each ends soon and in little memory, with an error of chattmpl or with harmless text.

The first line of each template in ``tests/sandbox`` says how it ends.
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import traceback
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from chattmpl import Template
from chattmpl.budget import Budget
from chattmpl.capabilities import inspect_template
from chattmpl.errors import BudgetError, RenderError, TemplateError
from chattmpl.lint.runner import lint
from chattmpl.report.capabilities import write
from chattmpl.source import Source
from chattmpl.template.resolver import TemplateSource
from support import ROOT
from support.extras import ON_LINUX
from support.timing import fastest

FOLDER = ROOT / "tests" / "sandbox"
CORPUS = sorted(FOLDER.glob("*.jinja"))
STEPS = 200_000
"""A fifth of the default, for the sake of time: what a template uses up grows with its steps."""
SECONDS = 3.0
"""Of processor time; the slowest takes a third of it. With the default budget it is five times as much."""
MEGABYTES = 150

MESSAGES = [{"role": "user", "content": "hello"}]


@cache
def endings() -> dict[str, dict[str, Any]]:
    """Return the end of each template of the corpus."""
    command = [sys.executable, str(FOLDER / "run.py"), str(STEPS), "1", *map(str, CORPUS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    return {result["template"]: result for result in results}


@ON_LINUX
@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_a_hostile_template_ends_soon_and_small_and_as_expected(path: Path) -> None:
    comment = re.match(r"\{#- (\w+)", path.read_text(encoding="utf-8"))
    assert comment is not None
    ending = endings()[path.stem]
    assert ending["outcome"] == comment[1], ending["text"]
    assert ending["seconds"] < SECONDS
    assert ending["megabytes"] < MEGABYTES


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_a_hostile_template_is_inspected_and_linted_without_a_fault(path: Path) -> None:
    found = TemplateSource(Source(path.read_text(encoding="utf-8"), path.name))
    inspected = inspect_template(found)
    assert write("text", [inspected])
    assert write("json", [inspected])
    findings = lint(found)
    assert findings, "it is not fine"
    assert not [item.message for item in findings if "bug in chattmpl" in item.message]


def test_the_corpus_is_large() -> None:
    assert len(CORPUS) >= 110


@pytest.mark.parametrize(
    "source",
    [
        "{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}",
        "{{ " + "[" * 500 + "]" * 500 + " }}",
        "{{ 1" + " + 1" * 20_000 + " }}",
        "{{ a" + ".a" * 20_000 + " }}",
        "{% if a %}" * 2_000 + "{% endif %}" * 2_000,
        "{% for a in messages %}" * 25 + "{% endfor %}" * 25,
        "{{ " + "-" * 20_000 + "1 }}",
        "{{ " + "not " * 20_000 + "1 }}",
    ],
    ids=["parentheses", "lists", "sums", "attributes", "ifs", "loops", "signs", "negations"],
)
def test_a_template_that_is_nested_too_deeply_is_refused_when_it_is_compiled(source: str) -> None:
    with pytest.raises(TemplateError, match="nested too deeply"):
        Template.from_source(source)


@pytest.mark.parametrize(
    "part",
    [
        "{{ m }}",
        "{% if a %}x{% endif %}",
        "{% generation %}x{% endgeneration %}",
        "{% reasoning %}x{% endreasoning %}",
        "<% ",
    ],
)
def test_a_long_template_compiles_in_linear_time(part: str) -> None:
    unique = itertools.count()

    def seconds(times: int) -> float:
        def compile_one() -> None:
            # Another comment each time, since what is compiled once is not compiled again.
            comment = f"{{# {next(unique)} #}}"
            Template.from_source("{% for m in messages %}" + part * times + "{% endfor %}" + comment)

        return fastest(compile_one, times=2)

    # Eight times would be linear, sixty-four the square.
    assert seconds(4_000) < 32 * max(seconds(500), 0.01)


def test_a_template_that_is_too_long_is_refused() -> None:
    with pytest.raises(TemplateError, match="not compiled"):
        Template.from_source("x" * 500_001)


def test_constants_that_are_large_are_not_computed_when_a_template_is_compiled() -> None:
    for source, problem in {
        "{{ 'a' * 10 ** 9 }}": "create a string or list",
        "{{ 'a' | center(10 ** 9) }}": "create a string or list",
        "{{ 2 ** (10 ** 9) }}": "computed an integer",
        "{{ '%999999999d' % 1 }}": "create a string or list",
    }.items():
        template = Template.from_source(source)
        with pytest.raises(BudgetError, match=problem):
            template.render(MESSAGES)


def test_a_budget_is_for_one_render() -> None:
    template = Template.from_source("{% for i in range(9000) %}{{ i }}{% endfor %}", budget=Budget(steps=30_000))
    assert [len(template.render(MESSAGES).text) for _ in range(5)] == [34_890] * 5


def test_a_larger_budget_lets_a_template_go_on() -> None:
    source = "{% for i in range(9000) %}x{% endfor %}{{ 'y' * 5000 }}"
    for small in (Budget(steps=500), Budget(characters=4000)):
        with pytest.raises(BudgetError, match=r"budget=Budget\(") as caught:
            Template.from_source(source, budget=small).render(MESSAGES)
        assert caught.value.place is not None
    assert len(Template.from_source(source).render(MESSAGES).text) == 14_000


def test_ordinary_long_conversations_stay_far_below_the_budget() -> None:
    messages = [
        {"role": role, "content": "word " * 400} for _ in range(2_000) for role in ("user", "assistant")
    ]  # 8 MB in 4,000 messages
    template = Template.load("qwen3", budget=Budget(steps=250_000))
    assert len(template.render(messages).text) > 8_000_000


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ 'Order 99999999999: %s' % 'x' }}", "Order 99999999999: x"),
        ("{{ 'In 99999999999: {}'.format('x') }}", "In 99999999999: x"),
        ("{{ '%s' | format('99999999999') }}", "99999999999"),
        ("{{ '%(n)s%%' % {'n': 99999999999} }}", "99999999999%"),
        ("{{ '{0[99999]}'.format({99999: 'x'}) }}", "x"),
    ],
)
def test_large_numbers_in_text_are_not_taken_for_widths(source: str, text: str) -> None:
    assert Template.from_source(source).render(MESSAGES).text == text


def test_an_error_that_is_kept_does_not_keep_what_the_template_created() -> None:
    for end in ("{{ 1 // 0 }}", "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"):
        with pytest.raises(RenderError, match="the template") as caught:
            Template.from_source("{% set large = 'a' * 999999 %}{{ large }}" + end).render(MESSAGES)
        kept = [caught.value, caught.value.__context__]
        for error in filter(None, kept):
            frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
            assert not any(frame.f_locals for frame in frames if frame.f_code.co_filename == "<chat template>")
