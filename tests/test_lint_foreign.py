"""Lint on templates of others: nothing trips over them, and what is called an error in trl's is written down."""

from __future__ import annotations

import pytest

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.runner import lint
from chattmpl.source import Source
from chattmpl.template.resolver import TemplateSource
from support import ROOT
from support.snapshots import matches_snapshot
from support.trl_templates import llama_cpp_templates, trl_templates

HOSTILE = sorted((ROOT / "tests" / "hostile").glob("*.jinja"))
GROUPS = 4


def bugs(found: list[TemplateDiagnostic]) -> list[str]:
    return [f"{item.place}: {item.message}" for item in found if "bug in chattmpl" in item.message]


@pytest.mark.parametrize("group", range(GROUPS))
def test_a_hostile_template_is_linted_without_a_fault(group: int) -> None:
    for path in HOSTILE[group::GROUPS]:
        found = lint(TemplateSource(Source(path.read_text(encoding="utf-8"), path.name)))
        assert bugs(found) == []
        assert found, f"{path.name}: it is not fine"


@pytest.mark.upstream
def test_no_template_of_trl_or_llama_cpp_trips_a_rule() -> None:
    sources = {**trl_templates(), **llama_cpp_templates()}
    assert len(sources) > 120
    for name, source in sources.items():
        assert bugs(lint(TemplateSource(Source(source, name)))) == []


@pytest.mark.upstream
def test_the_errors_in_the_templates_of_trl_are_these() -> None:
    found = [item for name, source in trl_templates().items() for item in lint(TemplateSource(Source(source, name)))]
    errors = [item for item in found if item.severity == "error"]
    matches_snapshot("lint_trl_errors.txt", "".join(f"{item.place} {item.code} {item.message}\n" for item in errors))
