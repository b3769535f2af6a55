"""What a family declares about laws is true: it is found, and nothing else is excused by it."""

from __future__ import annotations

import pytest

from chattmpl import Template
from chattmpl.conversation.models import Conversation
from chattmpl.laws import Case, Counterexample, evaluate, laws
from chattmpl.laws.checker import settings_to_check
from chattmpl.laws.declared_defects import declared_defect
from chattmpl.probing.shapes import shipped_conversations
from chattmpl.template.family import Defect, family_names, load_family

DECLARED = [
    pytest.param(name, defect, id=f"{name}-{defect.law}")
    for name in family_names()
    for defect in load_family(name).upstream_defects
    if defect.law is not None
]


@pytest.mark.parametrize(("name", "defect"), DECLARED)
def test_a_declared_defect_is_seen_on_a_fixture(name: str, defect: Defect) -> None:
    template = Template.load(name)
    policies = [template, template.with_retention("all")] if template.program.has_reasoning else [template]
    law = laws()[defect.law or ""]
    cases = (
        Case(one, each, kwargs)
        for one in policies
        for each in shipped_conversations()
        for kwargs in settings_to_check(one)
    )
    broken = (found for found in (evaluate(law, case) for case in cases) if isinstance(found, Counterexample))
    assert any(declared_defect(template.family, found) == defect for found in broken)


def test_another_counterexample_of_the_same_law_is_not_excused() -> None:
    found = Counterexample("prefix", "", shipped_conversations()[0], {"enable_thinking": False}, kind="rewritten")
    assert declared_defect(load_family("qwen3"), found) is None


def test_what_has_no_family_declares_nothing() -> None:
    conversation = Conversation.coerce([{"role": "assistant", "content": "</think>"}])
    found = Counterexample("prefix", "", conversation, {"enable_thinking": False}, kind="rewritten")
    assert declared_defect(None, found) is None
    assert declared_defect(load_family("qwen3"), found) is not None
