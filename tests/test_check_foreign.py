"""Check on templates of others: nothing trips over them, causes are not repeated, and it does not take long."""

from __future__ import annotations

import time

import pytest

from chattmpl.laws import laws_named
from chattmpl.laws.checker import LawReport, check, to_check
from chattmpl.probing import facts_of
from chattmpl.probing.shapes import generated_conversations, shipped_conversations
from chattmpl.source import Source
from chattmpl.template.resolver import TemplateSource
from support.trl_templates import llama_cpp_templates, trl_templates

GROUPS = 4
TYPICAL_SECONDS = 1.5


def reports(sources: dict[str, str], examples: int = 0) -> dict[str, tuple[LawReport, float]]:
    found = {}
    for name, source in sources.items():
        start = time.perf_counter()
        template = to_check(TemplateSource(Source(source, name)))
        shape = facts_of(template).shape if examples else None
        report = check(
            template,
            laws_named(None),
            [*shipped_conversations(), *generated_conversations(examples, shape)],
            shape=shape,
        )
        found[name] = report, time.perf_counter() - start
    return found


@pytest.mark.upstream
@pytest.mark.parametrize("group", range(GROUPS))
def test_no_template_of_trl_or_llama_cpp_trips_a_law(group: int) -> None:
    sources = dict(sorted({**trl_templates(), **llama_cpp_templates()}.items())[group::GROUPS])
    done = reports(sources)
    seconds = sorted(taken for _, taken in done.values())
    assert len(done) > 30
    assert seconds[len(seconds) // 2] < TYPICAL_SECONDS
    for name, (report, _) in done.items():
        shown = [(str(finding.shown.place), finding.shown.field, finding.message) for finding in report.findings]
        assert len(set(shown)) == len(shown), name
        lacking = [finding.shown.field for finding in report.findings if finding.laws == ("lossless",)]
        assert len(set(lacking)) == len(lacking), name


@pytest.mark.upstream
def test_what_is_known_of_templates_of_trl_is_found() -> None:
    sources = trl_templates()
    chosen = ("gptoss_training", "qwen2_5_training", "qwen3_5_think_training", "llama3_training")
    done = {name: report for name, (report, _) in reports({name: sources[name] for name in chosen}).items()}
    trained = {
        name: [finding.shown.message for finding in report.findings if "which its prompt supplies" in finding.message]
        for name, report in done.items()
    }
    assert trained == {
        "gptoss_training": ["messages[1] trains '<|start|>assistant', which its prompt supplies"],
        "qwen2_5_training": ["messages[1] trains '\\n', which its prompt supplies"],
        "qwen3_5_think_training": ["messages[1] trains '<think>\\n', which its prompt supplies"],
        "llama3_training": [],
    }


@pytest.mark.upstream
def test_made_conversations_trip_no_template_either() -> None:
    sources = {**trl_templates(), **llama_cpp_templates()}
    for name, (report, _) in reports(dict(sorted(sources.items())[::9]), examples=20).items():
        assert report.conversations >= 40, name
