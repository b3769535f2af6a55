"""The repository keeps its word: what the README says is what runs."""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import chattmpl
from support import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^```(?:sh|bash|console|shell)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    declared: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return declared


def test_the_readme_has_exactly_two_commands_of_one_line() -> None:
    assert [command.count("\n") for command in COMMANDS] == [1, 1]


def test_ci_runs_exactly_the_test_command_of_the_readme() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = [line for line in lines if line and not line.startswith(("#", "set -", "cd "))]
    assert commands == [COMMANDS[1].strip()]


def test_the_first_command_of_the_readme_renders_its_fixture() -> None:
    step = COMMANDS[0].strip().split(" && ")[-1]
    program, *arguments = shlex.split(step)
    assert Path(program).name == "chattmpl"
    installed = Path(sys.executable).parent / "chattmpl"
    done = subprocess.run([installed, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "get_weather" in done.stdout
    assert "54 of 327 tokens are trained" in done.stderr


def test_the_changelog_has_the_version_that_is_built() -> None:
    headings = re.findall(r"^## \[(\d[^]]*)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert headings[0] == chattmpl.__version__ == importlib.metadata.version("chattmpl")


def test_only_the_core_dependencies_are_needed(project: dict[str, Any]) -> None:
    names = {re.split(r"[<>=~!\[ ]", requirement)[0] for requirement in project["dependencies"]}
    assert names == {"jinja2", "pydantic", "tokenizers", "rich", "click", "hypothesis"}
