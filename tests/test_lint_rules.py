"""Each rule finds its planted defect at the right line, and leaves the twin without it alone."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.rule import rules
from chattmpl.lint.runner import lint
from chattmpl.source import Source
from chattmpl.template.resolver import TemplateSource
from support import ROOT
from support.small_tokenizers import lint_tokenizer
from support.tools import tool

FOLDER = ROOT / "tests" / "rules"
CODES = list(rules())


def fixture(code: str) -> dict[str, Any]:
    path = FOLDER / f"{code}.toml"
    assert path.is_file(), f"{code} needs a planted defect and a twin, in tests/rules/{path.name}"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def found_in(source: str, given: dict[str, Any]) -> list[TemplateDiagnostic]:
    tokenizer = lint_tokenizer(given["tokenizer"]) if "tokenizer" in given else None
    return lint(TemplateSource(Source(source, "planted.jinja"), given.get("tokens", {})), tokenizer=tokenizer)


@pytest.mark.parametrize("code", CODES)
def test_a_rule_finds_its_planted_defect_at_its_line(code: str) -> None:
    given = fixture(code)
    mine = [found for found in found_in(given["planted"], given) if found.code == code]
    assert [found.place.line for found in mine] == [given["line"]]
    assert re.search(given.get("says", ""), mine[0].message)
    assert mine[0].hint
    assert not re.search(r"(?<!\{)\{\w+\}", mine[0].message + mine[0].hint), "each field of the pattern has a value"


@pytest.mark.parametrize("code", CODES)
def test_a_rule_leaves_the_twin_alone(code: str) -> None:
    given = fixture(code)
    codes = {found.code for found in found_in(given["twin"], given)}
    assert code not in codes
    assert "CT001" not in codes


@pytest.mark.parametrize("code", CODES)
def test_the_docstring_of_a_rule_is_its_documentation(code: str) -> None:
    documentation = rules()[code].documentation()
    summary, *_ = documentation.split("\n")
    assert summary.endswith(".")
    headings = re.findall(r"^## (.*)$", documentation, flags=re.MULTILINE)
    assert list(headings) == ["What it does", "Why is this bad?", "Example", "Use instead"]
    assert documentation.count("```jinja\n") == 2
    assert all(part.strip() for part in re.split(r"^## .*$", documentation, flags=re.MULTILINE))


def test_every_fixture_is_one_of_a_rule() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.toml")) == CODES


def test_a_rule_is_in_the_module_of_its_code_and_name() -> None:
    folder = ROOT / "chattmpl" / "lint" / "rules"
    named = sorted(path.stem for path in folder.glob("ct*.py"))
    assert named == sorted(f"{rule.code.lower()}_{rule.name.replace('-', '_')}" for rule in rules().values())


def test_the_pages_of_the_rules_are_made_of_the_docstrings() -> None:
    folder: Path = ROOT / "docs" / "reference" / "rules"
    written = {page.name: page.read_text(encoding="utf-8") for page in folder.glob("*.md")}
    assert written == tool("make_rule_docs").pages(), "python tools/make_rule_docs.py writes them anew"
