"""The pages about the hub are made from the committed results, which the templates still give."""

from __future__ import annotations

import importlib
import json
import re
import sys
from types import ModuleType
from typing import Any

import pytest

from support import ROOT
from support.fetched import hub_index, hub_templates
from support.tools import tool

SAMPLE = ("Qwen-Qwen2.5-VL-7B-Instruct", "hmellor-tiny-random-LlamaForCausalLM")
"""Templates that are measured in seconds."""


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    return tool("make_hub_page")


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    text = (ROOT / "bench" / "results" / "hub.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_the_pages_are_what_the_tool_makes_of_the_results(maker: ModuleType, records: list[dict[str, Any]]) -> None:
    corpus = maker.Corpus(records)
    for path, made in ((maker.PAGE, maker.page(corpus)), (maker.HTML, maker.table(corpus))):
        assert path.read_text(encoding="utf-8") == made, "python tools/make_hub_page.py writes it anew"


def test_the_table_is_one_file_that_loads_nothing(maker: ModuleType, records: list[dict[str, Any]]) -> None:
    text = maker.HTML.read_text(encoding="utf-8")
    assert not re.search(r"\b(src|@import|fetch\()|<link|url\(", text.partition("const DATA")[0])
    data = json.loads(re.search(r"const DATA = (\[.*\]);\n", text)[1])  # type: ignore[index]
    assert [row[0] for row in data] == [record["repository"] for record in records]
    assert len(text.encode()) < 1_500_000


def test_a_row_of_the_table_shows_what_was_measured(maker: ModuleType) -> None:
    record = {
        "repository": "a/b",
        "others": [],
        "downloads": 5,
        "renders": "yes",
        "tools": "yes",
        "findings": {"error": {"CT501": 1}, "warning": {"CT303": 2}},
        "rows": {"plain": {"verdict": "trained", "rows": 2}, "system": {"verdict": "refused", "why": "</script>"}},
        "parsed": {"read": 3, "read, as history": 1, "refused": 1},
        "engines": {"minijinja": {"agrees": 5, "host filters": 1}, "tgi": {"agrees": 4, "differs": 1}},
        "retention": "all",
        "prefix": "partly",
        "prefix_broken_by": ["a question"],
    }
    row = maker._row(record)
    assert row[3:13] == ["tr----", [2, 0, 0], "all", "partly", "yes", [4, 5], "h-d", False, "e", "CT501 CT303"]
    assert "</script>" not in maker.table(maker.Corpus([record])).partition("const DATA")[2].partition("\n")[0]


@pytest.mark.upstream
@pytest.mark.parametrize("name", SAMPLE)
def test_a_template_that_is_measured_again_gives_its_record(
    name: str, records: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "bench"), *sys.path])
    bench = importlib.import_module("hub_table")
    entry = next(each for each in hub_index() if each.name == name)
    made = json.loads(json.dumps(bench.measured(entry, hub_templates()[name])))
    before = next(record for record in records if record["name"] == name)
    # Not all engines are installed everywhere.
    assert {**made, "engines": None} == {**before, "engines": None}
    assert made["engines"].items() <= before["engines"].items()
