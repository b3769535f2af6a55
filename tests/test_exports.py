"""Exports: plain Jinja that other engines render to our text, for each family, target and retention."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chattmpl import Template
from chattmpl.compiler.export import TARGETS, Target
from chattmpl.compiler.policies import POLICIES
from chattmpl.engine import Engine
from chattmpl.errors import ChatTmplError, FamilyError, RenderError
from chattmpl.template.family import EngineBug, family_names, load_family
from support.engines import minijinja
from support.portability import (
    CASES,
    bug_id,
    bugs_of,
    case_id,
    compare,
    example_of,
    exported,
    is_real,
    made_samples,
    template_of,
)
from support.samples import Ranges, Sample, merged, samples
from support.snapshots import matches_snapshot

EACH_FAMILY = pytest.mark.parametrize("family", family_names())
EACH_CASE = pytest.mark.parametrize(("family", "retention", "kwargs"), CASES, ids=case_id)
EACH_TARGET = pytest.mark.parametrize("target", TARGETS)
upstream = pytest.mark.upstream


@EACH_FAMILY
@EACH_TARGET
def test_the_export_is_the_one_that_was_last_looked_at(family: str, target: Target) -> None:
    matches_snapshot(f"exports/{family}.{target}.jinja", template_of(family).export(target))


@EACH_CASE
def test_the_inference_export_has_no_tag_that_plain_jinja_lacks(
    family: str, retention: str, kwargs: dict[str, Any]
) -> None:
    template = template_of(family, retention)
    tags = set(re.findall(r"\{%[-+]?\s*(\w+)", template.export("inference")))
    # what every engine knows: some do not know `with`, `filter` or `call`
    assert tags <= {"if", "elif", "else", "endif", "for", "endfor", "set", "macro", "endmacro", "break", "continue"}
    assert {*re.findall(r"\{%[-+]?\s*(\w+)", template.export("train"))} - tags == {"generation", "endgeneration"}


@EACH_CASE
def test_an_export_can_be_loaded_as_a_template_and_renders_the_same(
    family: str, retention: str, kwargs: dict[str, Any]
) -> None:
    template = template_of(family, retention)
    again = Template.from_source(template.export("train"), tokens=template.tokens)
    for sample in samples(family, 8):
        first = _ours(template, sample, **kwargs)
        second = _ours(again, sample, **kwargs)
        assert second == first, sample.id


@upstream
@EACH_FAMILY
def test_transformers_renders_the_text_and_the_generated_spans(family: str) -> None:
    template = template_of(family)
    assert _compare_with_transformers(template, samples(family), {}) >= 60


@upstream
@EACH_CASE
def test_transformers_renders_the_text_and_the_generated_spans_under_every_retention(
    family: str, retention: str, kwargs: dict[str, Any]
) -> None:
    template = template_of(family, retention)
    assert _compare_with_transformers(template, samples(family, 3), kwargs) >= 40


@pytest.mark.parametrize(("family", "retention", "kwargs"), [c for c in CASES if c[1] == "runtime"], ids=case_id)
def test_an_export_with_runtime_retention_does_what_its_kwarg_says(
    family: str, retention: str, kwargs: dict[str, Any]
) -> None:
    template = template_of(family, retention)
    facts = load_family(family).retention
    assert facts is not None
    fixed = template.with_retention(kwargs.get("reasoning_retention", facts.default))
    for sample in samples(family, 8):
        assert _ours(template, sample, **kwargs) == _ours(fixed, sample), sample.id


@upstream
@pytest.mark.parametrize("family", sorted({family for family, _, _ in CASES}))
def test_a_retention_that_does_not_exist_is_refused_by_the_export_too(family: str) -> None:
    template = template_of(family, "runtime")
    sample = samples(family)[-1]
    with pytest.raises(ChatTmplError, match="retention"):
        sample.ours(template, reasoning_retention="sometimes")
    with pytest.raises(Exception, match=f"reasoning_retention must be one of {', '.join(POLICIES)}"):
        sample.theirs(template.export("inference"), reasoning_retention="sometimes")


@upstream
@EACH_FAMILY
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_transformers_renders_the_same_of_conversations_that_nobody_thought_of(
    family: str, data: st.DataObject
) -> None:
    sample: Sample = data.draw(made_samples(family))
    _compare_with_transformers(template_of(family), (sample,), {})


def _ours(template: Template, sample: Sample, **kwargs: Any) -> tuple[str, Ranges] | None:
    """The text and the generated ranges; None where the template refuses."""
    try:
        rendering = sample.ours(template, **kwargs)
    except RenderError:
        return None
    return rendering.text, merged(rendering.generated)


def _theirs(source: str, sample: Sample, **kwargs: Any) -> tuple[str, Ranges] | None:
    try:
        return sample.theirs(source, **kwargs)
    except Exception:
        return None


def _compare_with_transformers(template: Template, some: tuple[Sample, ...], kwargs: dict[str, Any]) -> int:
    """Demands the same, and returns how many of the samples rendered."""
    train, inference = exported(template, "train"), exported(template, "inference")
    rendered = 0
    for sample in some:
        want = _ours(template, sample, **kwargs)
        assert _theirs(train, sample, **kwargs) == want, sample.id
        assert _theirs(inference, sample, **kwargs) == (want and (want[0], [])), sample.id
        rendered += want is not None
    return rendered


@pytest.fixture(scope="module")
def engine() -> Engine:
    return minijinja()


@upstream
@EACH_FAMILY
def test_minijinja_renders_the_text(engine: Engine, family: str) -> None:
    template = template_of(family)
    compared = [compare(engine, template, sample) for sample in samples(family)]
    assert sum(compared) > len(compared) * 0.9


@upstream
@EACH_CASE
def test_minijinja_renders_the_text_under_every_retention(
    engine: Engine, family: str, retention: str, kwargs: dict[str, Any]
) -> None:
    template = template_of(family, retention)
    compared = [compare(engine, template, sample, **kwargs) for sample in samples(family, 5)]
    assert sum(compared) > len(compared) * 0.9


@upstream
@EACH_FAMILY
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_minijinja_renders_the_same_of_conversations_that_nobody_thought_of(
    engine: Engine, family: str, data: st.DataObject
) -> None:
    sample: Sample = data.draw(made_samples(family))
    compare(engine, template_of(family), sample)


@upstream
@pytest.mark.parametrize(("family", "bug"), bugs_of("minijinja"), ids=bug_id)
def test_a_declared_bug_of_minijinja_is_real(engine: Engine, family: str, bug: EngineBug) -> None:
    template = template_of(family)
    candidates = example_of(template, bug) or samples(family)
    assert any(is_real(engine, template, sample, bug) for sample in candidates), f"{bug.what} No input shows it."


def test_a_bug_concerns_the_inputs_whose_json_its_condition_is_found_in() -> None:
    bug = EngineBug(engine="x", what="Whole floats.", when=r": \d+\.0[,}]")
    assert bug.concerns({"messages": [{"content": "", "tool_calls": [{"n": 1.0}]}]})
    assert not bug.concerns({"messages": [{"content": "1.0", "tool_calls": [{"n": 1}]}]})


def test_a_condition_that_is_no_regular_expression_is_an_error_with_its_place(tmp_path: Path) -> None:
    facts = load_family("chatml").folder / "family.toml"
    text = facts.read_text(encoding="utf-8")
    bug = '[[engine_bugs]]\nengine = "minijinja"\nwhat = "x"\nwhen = "("\n'
    (tmp_path / "family.toml").write_text(text[: text.index("[[engine_bugs]]")] + bug, encoding="utf-8")
    (tmp_path / "template.jinja").write_text("")
    with pytest.raises(FamilyError, match=r"engine_bugs\.0\.when: .*is not a regular expression") as caught:
        Template.load(tmp_path)
    assert caught.value.place is not None
