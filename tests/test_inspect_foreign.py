"""`chattmpl inspect` on templates of others: nothing trips over them, and what is found in trl's is written down."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from chattmpl.capabilities import inspect_template
from chattmpl.report.capabilities import write
from chattmpl.source import Source
from chattmpl.template.resolver import TemplateSource
from support import ROOT
from support.snapshots import matches_snapshot
from support.trl_templates import llama_cpp_templates, trl_templates

HOSTILE = sorted((ROOT / "tests" / "hostile").glob("*.jinja"))


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: path.stem)
def test_a_hostile_template_is_inspected_without_a_fault(path: Path) -> None:
    found = inspect_template(TemplateSource(Source(path.read_text(encoding="utf-8"), path.name)))
    assert write("text", [found])
    assert write("json", [found])


@pytest.mark.upstream
def test_every_template_of_trl_and_llama_cpp_has_a_row() -> None:
    sources = {**trl_templates(), **llama_cpp_templates()}
    assert len(sources) > 120
    for name, source in sources.items():
        record = inspect_template(TemplateSource(Source(source, name))).to_dict()
        assert record["error"] is None, name
        unknown = [flag for flag in ("system", "tools", "reasoning") if record[flag] is None]
        assert set(unknown) <= {item["what"] for item in record["not_evaluated"]}, name


@pytest.mark.upstream
def test_what_the_templates_of_trl_can_do_is_this() -> None:
    found = [inspect_template(TemplateSource(Source(source, name))) for name, source in trl_templates().items()]
    matches_snapshot("inspect_trl.txt", write("text", found, 120))


@pytest.mark.upstream
def test_a_template_is_inspected_in_well_under_a_second() -> None:
    templates = [TemplateSource(Source(source, name)) for name, source in trl_templates().items()]
    inspect_template(templates[0])
    started = time.process_time()
    for found in templates:
        inspect_template(found)
    assert (time.process_time() - started) / len(templates) < 0.5
