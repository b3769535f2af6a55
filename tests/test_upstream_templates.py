"""The templates of trl and llama.cpp: renderings, laws, lint and `inspect`.

Texts and spans are compared with those of transformers where its own bookkeeping is exact (tags at the root of the
template), and with oracles that know nothing of the way in which spans are made.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings

from chattmpl import Rendering, Template
from chattmpl.capabilities import inspect_template
from chattmpl.conversation.strategies import conversations
from chattmpl.errors import ChatTmplError
from chattmpl.laws import laws_named
from chattmpl.laws.checker import LawReport, to_check
from chattmpl.laws.checker import check as check_laws
from chattmpl.lint.runner import lint
from chattmpl.probing import facts_of
from chattmpl.probing.shapes import generated_conversations, shipped_conversations
from chattmpl.report.capabilities import write
from chattmpl.source import Source
from chattmpl.template.resolver import TemplateSource
from support.fetched import hub_templates, llama_cpp_templates, trl_templates
from support.oracles import Sentinels, with_markers, without_markers
from support.portability import template_kwargs
from support.reference import CLOCK, transformers_render
from support.samples import Ranges, Sample, fixtures, made, merged
from support.snapshots import matches_snapshot

pytestmark = pytest.mark.upstream

TOKENS = {"bos_token": "<bos>", "eos_token": "<eos>"}
GROUPS = 8
EACH_GROUP = pytest.mark.parametrize("group", range(GROUPS))
HEALTHY = [HealthCheck.too_slow, HealthCheck.data_too_large]


@cache
def foreign_templates() -> dict[str, Template]:
    sources = {
        **{f"trl/{name}": source for name, source in trl_templates().items()},
        **{f"llama.cpp/{name}": source for name, source in llama_cpp_templates().items()},
    }
    return {name: Template.from_source(source, name=name, tokens=TOKENS) for name, source in sources.items()}


def of_group(group: int) -> Iterator[Template]:
    """One template in eight, so that hypothesis makes each conversation for many of them at once."""
    names = sorted(foreign_templates())[group::GROUPS]
    return (foreign_templates()[name] for name in names)


def theirs(source: str, sample: Sample) -> tuple[str, Ranges] | None:
    """Return the rendering of transformers; None if it or the template raises."""
    try:
        return sample.theirs(source)
    except Exception:
        return None


def ours(template: Template, sample: Sample) -> Rendering | None:
    try:
        return sample.ours(template)
    except ChatTmplError:
        return None


def check(template: Template, sample: Sample) -> str:
    """Compares one rendering, and says what there was to compare."""
    want = theirs(template.source, sample)
    rendering = ours(template, sample)
    assert (want is None) == (rendering is None), "ours raises where transformers does, and nowhere else"
    if want is None or rendering is None:
        return "refused"
    text, ranges = want
    assert rendering.text == text
    assert merged(rendering.generated) == ranges, "as transformers has it"
    if not template.program.has_generation:
        return "text"
    marked = theirs(with_markers(template.source), sample)
    assert marked is not None
    assert without_markers(marked[0]) == (text, ranges), "as the markers have it"
    return "spans"


@EACH_GROUP
@settings(max_examples=40, suppress_health_check=HEALTHY)
@given(sample=made(conversations(), template_kwargs()))
def test_the_text_and_the_generated_spans_are_those_of_transformers_and_of_markers(group: int, sample: Sample) -> None:
    for template in of_group(group):
        try:
            check(template, sample.read_by(template))
        except AssertionError:
            note(template.name)
            raise


@EACH_GROUP
@settings(max_examples=20, suppress_health_check=HEALTHY)
@given(sample=made(conversations(), template_kwargs()))
def test_every_character_of_a_field_has_that_field_as_its_origin(group: int, sample: Sample) -> None:
    sentinels = Sentinels.of({"messages": sample.messages, "tools": sample.tools, "documents": sample.documents})
    changed = replace(sample, **sentinels.conversation)
    for template in of_group(group):
        rendering = ours(template, changed.read_by(template))
        if rendering is None:
            continue
        try:
            check_origins(rendering, sentinels)
        except AssertionError:
            note(f"{template.name}: {rendering.text}")
            raise


def check_origins(rendering: Rendering, sentinels: Sentinels) -> None:
    seen = set()
    for span in rendering.spans:
        owner = (span.message, span.field)
        for char in rendering.text[span.start : span.end]:
            if char in sentinels.owners:
                seen.add(char)
                assert owner in sentinels.owners[char], f"{char!r} has the origin {owner}"
    lost = set(rendering.lost)
    used = {(span.message, span.field) for span in rendering.spans}
    for char in sentinels.owners.keys() - sentinels.names:
        for message, path in sentinels.owners[char]:
            whole = path if message is None else f"messages[{message}].{path}"
            if len(sentinels.owners[char]) == 1:
                assert not (char in seen and whole in lost), "what stands in the text is not lost"
            # JSON of ASCII alone has the character as an escape
            assert (whole in lost) == ((message, path) not in used), whole


def test_at_least_sixty_templates_of_trl_and_as_many_of_llama_cpp_are_compared() -> None:
    """On the fixtures, which are conversations that templates are for."""
    compared = {
        name: {check(template, sample.read_by(template)) for sample in fixtures()}
        for name, template in foreign_templates().items()
    }
    rendered = [name for name, outcomes in compared.items() if outcomes != {"refused"}]
    assert len([name for name in rendered if name.startswith("trl/")]) >= 70
    assert len([name for name in rendered if name.startswith("llama.cpp/")]) >= 60
    assert len([name for name, outcomes in compared.items() if "spans" in outcomes]) >= 30


TYPICAL_SECONDS = 1.5


def found(sources: dict[str, str]) -> list[TemplateSource]:
    return [TemplateSource(Source(source, name)) for name, source in sorted(sources.items())]


def everything() -> list[TemplateSource]:
    return found({**trl_templates(), **llama_cpp_templates()})


def law_report(template_source: TemplateSource, examples: int = 0) -> LawReport:
    template = to_check(template_source)
    shape = facts_of(template).shape if examples else None
    cases = [*shipped_conversations(), *generated_conversations(examples, shape)]
    return check_laws(template, laws_named(None), cases, shape=shape)


@pytest.mark.parametrize("group", range(4))
def test_no_law_fails_to_run_and_each_cause_is_reported_once(group: int) -> None:
    seconds = []
    for template_source in everything()[group::4]:
        start = time.perf_counter()
        report = law_report(template_source)
        seconds.append(time.perf_counter() - start)
        name = template_source.source.name
        shown = [(str(finding.shown.place), finding.shown.field, finding.message) for finding in report.findings]
        assert len(set(shown)) == len(shown), name
        lacking = [finding.shown.field for finding in report.findings if finding.laws == ("lossless",)]
        assert len(set(lacking)) == len(lacking), name
    assert len(seconds) > 30
    assert sorted(seconds)[len(seconds) // 2] < TYPICAL_SECONDS


def test_known_defects_of_the_templates_of_trl_are_found() -> None:
    chosen = ("gptoss_training", "qwen2_5_training", "qwen3_5_think_training", "llama3_training")
    trained = {
        template_source.source.name: [
            finding.shown.message
            for finding in law_report(template_source).findings
            if "which its prompt supplies" in finding.message
        ]
        for template_source in found({name: trl_templates()[name] for name in chosen})
    }
    assert trained == {
        "gptoss_training": ["messages[1] trains '<|start|>assistant', which its prompt supplies"],
        "qwen2_5_training": ["messages[1] trains '\\n', which its prompt supplies"],
        "qwen3_5_think_training": ["messages[1] trains '<think>\\n', which its prompt supplies"],
        "llama3_training": [],
    }


def test_generated_conversations_are_checked_too() -> None:
    for template_source in everything()[::9]:
        assert law_report(template_source, examples=20).conversations >= 40, template_source.source.name


def test_no_rule_fails_to_run() -> None:
    assert len(everything()) > 120
    for template_source in everything():
        failed = [item.message for item in lint(template_source) if "bug in chattmpl" in item.message]
        assert failed == [], template_source.source.name


def test_the_errors_in_the_templates_of_trl_are_these() -> None:
    errors = [item for one in found(trl_templates()) for item in lint(one) if item.severity == "error"]
    matches_snapshot("lint_trl_errors.txt", "".join(f"{item.place} {item.code} {item.message}\n" for item in errors))


def test_every_template_can_be_inspected() -> None:
    for template_source in everything():
        record = inspect_template(template_source).to_dict()
        assert record["error"] is None, template_source.source.name
        unknown = {flag for flag in ("system", "tools", "reasoning") if record[flag] is None}
        assert unknown <= {item["what"] for item in record["not_evaluated"]}, template_source.source.name


def test_the_capabilities_of_the_templates_of_trl_are_these() -> None:
    inspected = [inspect_template(one) for one in found(trl_templates())]
    matches_snapshot("inspect_trl.txt", write("text", inspected, 120))


def test_a_template_is_inspected_in_well_under_a_second() -> None:
    templates = found(trl_templates())
    inspect_template(templates[0])
    started = time.process_time()
    for one in templates:
        inspect_template(one)
    assert (time.process_time() - started) / len(templates) < 0.5


PREFILLS: tuple[dict[str, Any], ...] = (
    {"content": "The sum is "},
    {"content": "  two lines\n\n"},
    {"content": "<think>\n17*23 = 391.\n</think>\n\n"},
    {"content": "<think>\n17*23 = 391.\n</think>\n\nIt is"},
    {"content": "<think>17*23 ="},
    {"content": [{"type": "text", "text": "in parts "}]},
    {"content": "with a trace", "reasoning_content": "17*23 = 391."},
    {"content": "", "reasoning_content": "17*23 = 391."},
)


@pytest.mark.parametrize("group", range(GROUPS))
def test_a_prefill_ends_as_in_transformers(group: int) -> None:
    sources = {**hub_templates(), **{name: template.source for name, template in foreign_templates().items()}}
    compared = 0
    given: dict[str, Any] = {**TOKENS, "continue_final_message": True}
    for name in sorted(sources)[group :: GROUPS * 5]:
        template = Template.from_source(sources[name], name=name, tokens=TOKENS)
        for final in PREFILLS:
            messages: list[dict[str, Any]] = [{"role": "user", "content": "17*23?"}, {"role": "assistant", **final}]
            expected = text = ""
            with contextlib.suppress(Exception):
                expected, _ = transformers_render(sources[name], messages, **given)
            with contextlib.suppress(ChatTmplError):
                text = template.render(messages, clock=CLOCK, continue_final_message=True).text
            assert text == expected, (name, final)
            compared += bool(text)
    assert compared > 40
