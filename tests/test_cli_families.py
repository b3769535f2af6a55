"""``chattmpl families``: the table, and all that is known of one."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.cells import cell_len

from chattmpl.report.families import print_table
from chattmpl.report.terminal import console
from chattmpl.template.family import family_names, load_family
from support.command import run_here


def test_piped_it_is_a_markdown_table_of_all_families() -> None:
    lines = run_here(["families"]).out.splitlines()
    assert lines[0] == "| family | upstream | supports | retention | parsers (reasoning / tool) |"
    assert [line.split()[1] for line in lines[2:]] == family_names()
    qwen = next(line for line in lines if line.startswith("| qwen3 "))
    assert "Qwen/Qwen3-0.6B | system tools calls parallel results reasoning | since_last_user |" in qwen
    assert "vllm qwen3 / hermes" in qwen


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_names_every_family_and_fits(width: int) -> None:
    file = io.StringIO()
    print_table(console(file, width=width), [load_family(name) for name in family_names()])
    printed = file.getvalue()
    assert [name for name in family_names() if name[:12] not in printed] == []
    assert max(map(cell_len, printed.splitlines())) <= width


def test_json_holds_the_facts_of_every_family() -> None:
    made = json.loads(run_here(["families", "--format", "json"]).out)
    assert [family["name"] for family in made] == family_names()
    assert all("folder" not in family for family in made)


def test_one_family_is_told_in_full() -> None:
    told = run_here(["families", "qwen3", "--format", "rich"]).out
    for heading in ("upstream", "supports", "retention", "stop tokens", "modes", "parsers", "limits"):
        assert f"\n{heading}" in told
    assert "enable_thinking = true | false, by default true" in told
    assert json.loads(run_here(["families", "qwen3", "--format", "json"]).out)["name"] == "qwen3"
    assert run_here(["families", "qwen3"]).out.startswith("# Qwen3\n\n`qwen3`: ")


def test_a_family_of_ones_own_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "template.jinja").write_text("", encoding="utf-8")
    (folder / "family.toml").write_text(
        'name = "mine"\ntitle = "Mine"\ndescription = "Mine."\n[generation]\nstop_tokens = ["<|x|>"]\n'
        "[supports]\nsystem = true\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("CHATTMPL_TEMPLATES", str(tmp_path))
    assert "| mine | none | system |  |  |\n" in run_here(["families"]).out
