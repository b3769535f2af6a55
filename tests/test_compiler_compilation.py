"""Compilation within the budget: each construct in oversized templates, and the error that names the excess."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from chattmpl import Budget, Template
from chattmpl.errors import Reason, TemplateError
from support import ROOT
from support.extras import ON_LINUX
from support.oversized_sources import oversized_sources

STEPS = 20_000
"""A fiftieth of the default budget, for the sake of time: the time of a compilation grows with its steps."""

SECONDS = 1.0
"""Maximum processor time of a compilation with this budget, four times what it takes."""

MEGABYTES = 60

LENGTH = 12_000
"""Length of a template in characters; each construct takes more than the budget in it, or next to nothing."""

PARTS = 4


@pytest.mark.hostile
@ON_LINUX
@pytest.mark.parametrize("part", range(PARTS))
def test_no_template_takes_more_to_compile_than_its_budget(part: int) -> None:
    every = list(oversized_sources(LENGTH))[part::PARTS]
    command = [sys.executable, str(ROOT / "tests" / "sandbox" / "run_compile.py"), str(STEPS), "1"]
    given = "".join(f"{json.dumps(each)}\n" for each in every)
    done = subprocess.run(command, input=given, cwd=ROOT, capture_output=True, text=True, timeout=600, check=True)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == len(every) > 30
    ends = ("TemplateError", "harmless")
    unbounded = [
        result
        for result in results
        if result["outcome"] not in ends or result["seconds"] > SECONDS or result["megabytes"] > MEGABYTES
    ]
    assert not unbounded


@pytest.mark.parametrize(
    ("source", "excess"),
    [
        ("{{ f(1" + ", 1" * 40_000 + ") }}", "it has more than 62,500 tokens"),
        ("".join(f"{{% if v{i} %}}{{% set v{i} = 1 %}}{{% endif %}}" for i in range(2_200)), "2,200 conditions"),
        (("{% for m in a %}" * 15 + "{{ m }}" + "{% endfor %}" * 15) * 400, "its loops and macros repeat"),
    ],
)
def test_the_error_says_what_takes_long(source: str, excess: str) -> None:
    with pytest.raises(TemplateError, match=f"more than 1,000,000 steps to compile: .*{excess}") as caught:
        Template.from_source(source)
    assert caught.value.reason is Reason.STEPS
    assert caught.value.place is not None
    assert caught.value.place.end - caught.value.place.start > 7


def test_a_larger_budget_compiles_it_and_a_smaller_one_does_not_count() -> None:
    source = "{{ [1" + ", 1" * 32_000 + "]|length }}"
    with pytest.raises(TemplateError, match="more than 1,000,000 steps to compile: it has more than 62,500 tokens"):
        Template.from_source(source)
    conversation = [{"role": "user", "content": "a"}]
    assert Template.from_source(source, budget=Budget(steps=2_000_000)).render(conversation).text == "32001"
    small = "{{ [1" + ", 1" * 4_000 + "]|length }}"
    assert Template.from_source(small, budget=Budget(steps=10_000)).render(conversation).text == "4001"


def test_a_number_of_too_many_digits_is_refused_at_its_place() -> None:
    with pytest.raises(TemplateError, match="an integer of 5,000 digits") as caught:
        Template.from_source("a\n{{ " + "1" * 5_000 + " }}")
    assert caught.value.place is not None
    assert caught.value.place.line == 2
