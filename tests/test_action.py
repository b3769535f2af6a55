"""The steps of action.yml, run by bash in a git repository as a runner would."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support import ROOT
from support.tagged import BAD, GOOD

yaml = pytest.importorskip("yaml")
pytestmark = pytest.mark.data

ACCEPTED = '[tool.chattmpl.lint]\nselect = ["CT1"]\n[tool.chattmpl.check]\nlaws = ["sampled", "stop", "pure"]\n'


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "templates").mkdir(parents=True)
    (folder / "templates" / "ours.jinja").write_text(GOOD, encoding="utf-8")
    (folder / "pyproject.toml").write_text(ACCEPTED, encoding="utf-8")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "One")
    return folder


def run_action(folder: Path, **inputs: str) -> tuple[int, str]:
    """Run the steps with a shell, and return the last exit code and the summary."""
    action: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    given = {"paths": "templates", "base": "HEAD", "sarif": "chattmpl.sarif", **inputs}
    outputs: dict[str, str] = {}
    summary = folder.parent / "summary.md"
    program = folder.parent / "bin" / "chattmpl"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m chattmpl "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    code = 0
    for step in action["runs"]["steps"]:
        if step["name"] in ("Install", "Upload"):
            continue
        out = folder.parent / "out.txt"
        out.write_text("", encoding="utf-8")

        def value(match: re.Match[str]) -> str:
            path = match[1].split(".")
            return given[path[1]] if path[0] == "inputs" else outputs[f"{path[1]}.{path[3]}"]

        env = {name: re.sub(r"\$\{\{ (.*?) \}\}", value, text) for name, text in step.get("env", {}).items()}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=folder,
            env={
                **os.environ,
                **env,
                "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
                "GITHUB_OUTPUT": str(out),
                "GITHUB_STEP_SUMMARY": str(summary),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        for line in out.read_text(encoding="utf-8").splitlines():
            name, _, text = line.partition("=")
            outputs[f"{step['id']}.{name}"] = text
        code = done.returncode
        if code:
            assert "error" in done.stdout + done.stderr
            return code, summary.read_text(encoding="utf-8") if summary.exists() else ""
    return code, summary.read_text(encoding="utf-8")


def test_a_clean_template_passes_and_its_findings_are_an_empty_sarif(repository: Path) -> None:
    code, summary = run_action(repository)
    assert code == 0, summary
    assert json.loads((repository / "chattmpl.sarif").read_text())["runs"][0]["results"] == []
    assert "## Chat templates" in summary


def test_a_planted_defect_fails_and_the_summary_shows_what_changed(repository: Path) -> None:
    (repository / "templates" / "ours.jinja").write_text(BAD, encoding="utf-8")
    git(repository, "commit", "-qam", "Two")
    code, summary = run_action(repository, base="HEAD~1")
    assert code == 1
    assert json.loads((repository / "chattmpl.sarif").read_text())["runs"][0]["results"]
    assert "templates/ours.jinja" in summary.partition("<summary>diff")[2]
    assert "the mask changes" in summary
    assert "stop" in summary.partition("<summary>check")[2]


def test_a_missing_base_is_said_and_what_cannot_be_read_fails(repository: Path) -> None:
    code, summary = run_action(repository, base="origin/none")
    assert (code, "fetch-depth 0" in summary) == (0, True)
    assert run_action(repository, paths="nowhere")[0] == 2
