"""``chattmpl inspect``: inputs, formats, and widths."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from rich.cells import cell_len

from chattmpl.capabilities import inspect_template
from chattmpl.report.capabilities import LEGEND, write
from chattmpl.template.resolver import find_template
from support import ROOT
from support.command import run_here
from support.snapshots import matches_snapshot

ASKED = [
    "name",
    "system",
    "developer",
    "tools",
    "tool_calls",
    "parallel_tool_calls",
    "tool_results",
    "reasoning",
    "documents",
    "multimodal",
    "retention",
    "modes",
    "generation_prompt",
    "stop_tokens",
    "bos",
    "prefix_preserving",
    "mask",
    "parsers",
    "not_evaluated",
]


def test_json_is_a_list_with_one_object_for_each_template() -> None:
    outcome = run_here(["inspect", "qwen3", "templates/llama3", "--format", "json"])
    assert outcome.code == 0
    records = json.loads(outcome.out)
    assert [record["name"] for record in records] == ["qwen3", "llama3"]
    assert all(name in record for name in ASKED for record in records)
    assert records[0]["parsers"]["vllm"]["tool"] == "hermes"
    assert records[0]["details"]["tools"]["answer"] == "yes"


def test_every_key_of_the_json_is_documented() -> None:
    page = (ROOT / "docs" / "inspect.md").read_text(encoding="utf-8")
    record = inspect_template(find_template("qwen3")).to_dict()
    documented = set(re.findall(r"`(\w+)`", page))
    assert set(record) - documented == set()
    assert set(record["mask"]) - documented == set()
    assert {key for answer in record["details"].values() for key in answer} - documented == set()


def test_a_config_with_several_templates_gives_one_object_each(tmp_path: Path) -> None:
    templates = [{"name": name, "template": "{{ messages[0].content }}"} for name in ("default", "tool_use")]
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": templates}), encoding="utf-8")
    records = json.loads(run_here(["inspect", str(folder), "--format", "json"]).out)
    assert [record["name"] for record in records] == ["model", "model[tool_use]"]


def test_a_template_that_does_not_compile_has_a_row_and_ends_with_one(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jinja"
    broken.write_text("{% if %}", encoding="utf-8")
    outcome = run_here(["inspect", str(broken), "qwen3"])
    assert outcome.code == 1
    assert "broken" in outcome.out
    assert "qwen3" in outcome.out
    assert "? broken: system, developer" in outcome.out


def test_without_a_template_the_way_out_is_told() -> None:
    outcome = run_here(["inspect"])
    assert outcome.code == 2
    assert "no template given" in outcome.err


def test_what_is_not_there_is_an_error() -> None:
    outcome = run_here(["inspect", "qwen33"])
    assert outcome.code == 2
    assert "did you mean 'qwen3'?" in outcome.err


def test_a_few_templates_stand_side_by_side() -> None:
    matches_snapshot("inspect_two.txt", run_here(["inspect", "qwen3", "gemma3", "--width", "80"]).out)


def test_many_templates_have_a_row_each() -> None:
    matches_snapshot("inspect_all.txt", run_here(["inspect", "templates", "--width", "80"]).out)


def test_markdown_has_a_column_for_each_template() -> None:
    printed = run_here(["inspect", "qwen3", "gemma3", "--format", "markdown"]).out
    lines = printed.splitlines()
    assert lines[0] == "|  | qwen3 | gemma3 |"
    assert all(line.replace("\\|", "").count("|") == 4 for line in lines if line.startswith("|"))
    assert LEGEND in printed


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("names", [["qwen3"], ["qwen3", "llama3"], ["qwen3"] * 12])
def test_the_tables_fit(width: int, names: list[str]) -> None:
    found = [inspect_template(find_template(name)) for name in dict.fromkeys(names)] * (len(names) // len(set(names)))
    printed = write("text", found, width)
    assert max(map(cell_len, printed.splitlines())) <= width
    assert LEGEND[:10] in printed
    assert "qwen3" in printed


def test_signs_tell_what_colours_tell() -> None:
    found = [inspect_template(find_template("llama3"))]
    plain = write("text", found, 100)
    coloured = write("rich", found, 100)
    assert "\x1b[" not in plain
    assert "\x1b[" in coloured
    bare = re.sub(r"\x1b\[[\d;]*m", "", coloured)
    assert [line.rstrip() for line in bare.splitlines()] == plain.splitlines()
    assert "✗ refused" in plain


def test_what_a_template_says_cannot_rewrite_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "evil.jinja"
    source = "{{ raise_exception('\x1b[2J\u202egone') if messages[0].role == 'system' }}{{ messages[-1].content }}"
    path.write_text(source, encoding="utf-8")
    for form in ("text", "markdown", "json"):
        out = run_here(["inspect", str(path), "--format", form]).out
        assert "\x1b" not in out
        assert "\u202e" not in out
