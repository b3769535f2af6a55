"""Templates keep no state: threads share them, and time grows with the number of turns."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from chattmpl import Rendering, Template
from chattmpl.budget import METER, Budget
from chattmpl.errors import BudgetError, RenderError

THREADS = 8
RENDERS = 1_000

SOURCE = (
    "{% macro turn(m) %}<{{ m.role }}>{{ caller() }}</{{ m.role }}>{% endmacro %}{% set ns = namespace(n=0) %}"
    "{% for m in messages %}{% set ns.n = ns.n + 1 %}{% call turn(m) %}{% generation %}{{ m.content | trim }}"
    "{% endgeneration %}{{ ns.n }}{% endcall %}{% endfor %}{{ strftime_now('%Y') }}"
)


def conversation(number: int) -> list[dict[str, Any]]:
    return [
        {"role": role, "content": f" {role} {number} {turn} " * (1 + number % 3)}
        for turn in range(number % 4)
        for role in ("user", "assistant")
    ] or [{"role": "user", "content": f"{number}"}]


def said(rendering: Rendering) -> tuple[Any, ...]:
    return rendering.text, rendering.spans, rendering.generated, rendering.lost


def in_threads(work: Callable[[int], None]) -> None:
    """Runs ``work(0)``, ``work(1)``, … at once, and raises what one of them raises."""
    barrier = threading.Barrier(THREADS)

    def started(number: int) -> None:
        barrier.wait()
        work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        for future in [pool.submit(started, number) for number in range(THREADS)]:
            future.result()


def test_eight_threads_that_share_a_template_render_what_one_does() -> None:
    template = Template.from_source(SOURCE)
    expected = [
        [said(template.render(conversation(number), clock=datetime(2000 + thread, 1, 1))) for number in range(40)]
        for thread in range(THREADS)
    ]

    def work(thread: int) -> None:
        clock = datetime(2000 + thread, 1, 1)
        for number in range(RENDERS):
            rendering = template.render(conversation(number % 40), clock=clock)
            assert said(rendering) == expected[thread][number % 40]

    in_threads(work)


def test_threads_that_compile_a_template_at_once_get_the_same() -> None:
    sources = [SOURCE + f"{{# {number} #}}" for number in range(20)]
    texts: list[list[str]] = [[] for _ in range(THREADS)]

    def work(thread: int) -> None:
        for source in sources:
            template = Template.from_source(source)
            texts[thread].append(template.render(conversation(3), clock=datetime(2025, 1, 1)).text)
            texts[thread].append(template.export("inference"))

    in_threads(work)
    assert texts == [texts[0]] * THREADS


def test_one_threads_budget_is_not_anothers() -> None:
    source = "{% for i in range(4000) %}{{ i }}{% endfor %}"
    small = Template.from_source(source, budget=Budget(steps=3000))
    large = Template.from_source(source, budget=Budget(steps=30_000))

    def work(thread: int) -> None:
        for _ in range(20):
            if thread % 2:
                with pytest.raises(BudgetError, match="ran for more than 3,000 steps"):
                    small.render(conversation(0))
            else:
                large.render(conversation(0))

    in_threads(work)


def test_a_render_inside_a_render_keeps_both_apart() -> None:
    inner = Template.from_source("{{ messages[0].content }}", budget=Budget(steps=100))
    outer = Template.from_source("{{ strftime_now('%Y') }}{% for i in range(500) %}.{% endfor %}")

    def clock() -> datetime:
        assert inner.render(conversation(1)).text
        return datetime(2025, 1, 1)

    assert outer.render(conversation(0), clock=clock).text == "2025" + "." * 500
    assert METER.get() is None


def test_a_render_that_fails_leaves_nothing_behind() -> None:
    template = Template.from_source(
        "{% if messages | length > 2 %}{{ raise_exception('no') }}{% endif %}{{ messages[0].content }}"
    )
    before = said(template.render(conversation(0)))
    for _ in range(3):
        with pytest.raises(RenderError, match="refuses this conversation: no"):
            template.render(conversation(3))
    assert METER.get() is None
    assert said(template.render(conversation(0))) == before


def seconds(template: Template, messages: list[dict[str, Any]]) -> float:
    gc.collect()
    start = time.process_time()
    template.render(messages)
    return time.process_time() - start


@pytest.mark.parametrize("which", ["qwen3", "flat", "namespace"])
def test_time_grows_with_the_number_of_turns_and_not_with_its_square(which: str) -> None:
    sources = {
        "flat": SOURCE,
        "namespace": "{% set ns = namespace(t=[]) %}{% for m in messages %}{% set ns.t = [m.content] %}"
        "{{ ns.t[0] }}{% endfor %}",
    }
    template = Template.from_source(sources[which]) if which in sources else Template.load(which)
    messages = [{"role": role, "content": f"{turn} " * 20} for turn in range(2_000) for role in ("user", "assistant")]
    few = min(seconds(template, messages[:200]) for _ in range(7))
    many = min(seconds(template, messages) for _ in range(3))
    # Twenty times would be linear, four hundred the square; the rest is room for what else the machine does.
    assert many <= 60 * few, f"{len(messages)} turns take {many / few:.1f} times as long as 200"
