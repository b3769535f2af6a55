"""Every node, filter, test, function and method with oversized values: each use ends soon, in little memory."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.tests import TESTS as JINJA_TESTS

from chattmpl import Template
from chattmpl.budget import Budget
from chattmpl.compiler.accounting import METHODS
from chattmpl.compiler.filters import FILTERS, TESTS
from chattmpl.compiler.globals import TemplateDict
from chattmpl.errors import BudgetError
from support import ROOT
from support.extras import ON_LINUX
from support.oversized import sources

STEPS = 15_000
"""A sixtieth of the default budget, for the sake of time: the time that a template takes grows with its steps."""

SECONDS = 1.0
"""Maximum processor time of a render with this budget."""

MEGABYTES = 300

PARTS = 8

CHANGING = frozenset(
    ["append", "clear", "extend", "insert", "pop", "popitem", "remove", "reverse", "setdefault", "sort", "update"]
)
"""Methods that change their value, which the sandbox refuses."""


@pytest.mark.hostile
@ON_LINUX
@pytest.mark.parametrize("part", range(PARTS))
def test_no_use_of_a_large_value_exceeds_its_bounds(part: int) -> None:
    every = list(sources())[part::PARTS]
    command = [sys.executable, str(ROOT / "tests" / "sandbox" / "run.py"), str(STEPS), "16"]
    given = "".join(f"{json.dumps(each)}\n" for each in every)
    done = subprocess.run(command, input=given, cwd=ROOT, capture_output=True, text=True, timeout=600, check=True)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == len(every) > 100
    assert not [result for result in results if exceeds(result)]


def exceeds(result: dict[str, Any]) -> bool:
    """Return whether a render did not end, or took too much."""
    ended = result["outcome"] in ("BudgetError", "RenderError", "TemplateError", "harmless")
    return not ended or result["seconds"] > SECONDS or result["megabytes"] > MEGABYTES


def test_every_filter_and_test_of_jinja_is_listed_with_its_charge() -> None:
    assert set(FILTERS) == {*JINJA_FILTERS}
    assert set(TESTS) == {*JINJA_TESTS}


@pytest.mark.parametrize("kind", [kind for kind in METHODS if kind is not TemplateDict], ids=lambda kind: kind.__name__)
def test_every_method_that_changes_nothing_is_listed_with_its_charge(kind: Any) -> None:
    public = {name for name in dir(kind) if not name.startswith("_") and callable(getattr(kind, name))}
    assert public - CHANGING <= set(METHODS[kind])


def test_a_render_is_charged_for_each_message_and_each_span_though_the_template_does_little() -> None:
    messages = [{"role": "user", "content": "x"}] * 2_000
    budget = Budget(steps=5_000)
    by_message = Template.from_source("{% for message in messages %}{% endfor %}", budget=budget)
    with pytest.raises(BudgetError, match="the template ran for more than 5,000 steps"):
        by_message.render(messages)
    by_span = Template.from_source(
        "{% for message in messages %}" + "{{ message.role }}-" * 20 + "{% endfor %}", budget=budget
    )
    with pytest.raises(BudgetError, match="the template ran for more than 5,000 steps"):
        by_span.render(messages[:300])
