"""Inference exports in @huggingface/jinja, the engine of transformers.js."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chattmpl.engine import Engine
from chattmpl.template.family import EngineBug, family_names
from support.engines import huggingface_jinja
from support.portability import CASES, bug_id, bugs_of, case_id, compare, example_of, is_real, made_samples, template_of
from support.samples import Sample, samples

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = huggingface_jinja()
    yield made
    made.close()


@pytest.mark.parametrize("family", family_names())
def test_a_family_renders_the_same_text(engine: Engine, family: str) -> None:
    template = template_of(family)
    compared = [compare(engine, template, sample) for sample in samples(family)]
    assert sum(compared) > len(compared) / 2


@pytest.mark.parametrize(("family", "retention", "kwargs"), CASES, ids=case_id)
def test_a_family_renders_the_same_text_under_every_retention(
    engine: Engine, family: str, retention: str, kwargs: dict[str, Any]
) -> None:
    template = template_of(family, retention)
    compared = [compare(engine, template, sample, **kwargs) for sample in samples(family, 8)]
    assert sum(compared) > len(compared) / 2


@pytest.mark.parametrize("family", family_names())
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_a_family_renders_the_same_text_of_conversations_that_nobody_thought_of(
    engine: Engine, family: str, data: st.DataObject
) -> None:
    sample: Sample = data.draw(made_samples(family))
    compare(engine, template_of(family), sample)


@pytest.mark.parametrize(("family", "bug"), bugs_of("huggingface-jinja"), ids=bug_id)
def test_a_declared_bug_is_real(engine: Engine, family: str, bug: EngineBug) -> None:
    template = template_of(family)
    candidates = example_of(template, bug) or samples(family)
    assert any(is_real(engine, template, sample, bug) for sample in candidates), f"{bug.what} No input shows it."
