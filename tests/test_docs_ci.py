"""Each example of the page on CI is run as it stands there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support import ROOT

PAGE = (ROOT / "docs" / "how-to" / "ci.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
SHELL = [text.strip() for kind, text in BLOCKS if kind == "sh"]
PROGRAMS = {"pytest": [sys.executable, "-m", "pytest"], "chattmpl": [sys.executable, "-m", "chattmpl"]}
CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


def block(kind: str, word: str) -> str:
    """The example of a kind that has a word in it."""
    found: str
    (found,) = [text for language, text in BLOCKS if language == kind and word in text]
    return found


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a template that obeys its laws, and a conversation."""
    templates = tmp_path / "templates"
    templates.mkdir()
    source = (ROOT / "templates" / "chatml" / "template.jinja").read_text(encoding="utf-8")
    templates.joinpath("ours.jinja").write_text(source, encoding="utf-8")
    tmp_path.joinpath("chats").mkdir()
    tmp_path.joinpath("chats", "turn.json").write_text(json.dumps(CHAT))
    tmp_path.joinpath("pyproject.toml").write_text(block("toml", "chattmpl_templates"))
    return tmp_path


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A line of the page, by this interpreter where it names one of our programs."""
    program, _, rest = command.partition(" ")
    line = " ".join([*PROGRAMS[program], rest])
    environment = {**os.environ, "COLUMNS": "120"}
    return subprocess.run(line, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", SHELL)
def test_a_command_of_the_page_does_what_it_says(command: str, project: Path) -> None:
    done = run(command, project)
    assert done.returncode == 0, done.stdout + done.stderr
    if command.startswith("pytest"):
        # The law prefix does not apply to the one conversation: the model is asked to sample only once.
        assert re.search(r"\b[45] passed, 1 skipped", done.stdout)
    if "--chattmpl-update" in command:
        assert (project / "templates" / "__chattmpl__" / "ours" / "turn.txt").is_file()
    if "sarif" in command:
        assert json.loads((project / "chattmpl.sarif").read_text())["version"] == "2.1.0"


def test_the_configuration_of_the_page_collects_what_it_names(project: Path) -> None:
    done = run("pytest --collect-only -q", project)
    assert [line for line in done.stdout.splitlines() if "::" in line] == [
        f"templates/ours.jinja::{law}::turn" for law in ("sampled", "stop", "pure", "prefix", "boundary")
    ]


def test_the_fixtures_of_the_page_work(project: Path) -> None:
    project.joinpath("test_chat.py").write_text(block("python", "rendering_snapshot"))
    assert "2 passed" in run("pytest test_chat.py --chattmpl-update", project).stdout
    assert "2 passed" in run("pytest test_chat.py", project).stdout


def test_the_picture_of_the_page_is_that_of_a_snapshot(project: Path) -> None:
    run("pytest --chattmpl-templates=templates --chattmpl-update", project)
    stored = (project / "templates" / "__chattmpl__" / "ours" / "turn.txt").read_text(encoding="utf-8")
    assert stored.endswith(block("text", "▌"))


def test_the_hooks_of_the_page_are_there_with_their_options() -> None:
    example = block("yaml", "chattmpl-lint")
    offered = (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    ids = re.findall(r"- id: (\S+)", example)
    assert ids == re.findall(r"- id: (\S+)", offered)
    (arguments,) = re.findall(r"args: \[(.*)\]", example)
    options = arguments.replace(",", "")
    done = run(f"chattmpl check chatml {options}", ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_steps_of_the_workflow_are_the_commands_of_the_page(project: Path) -> None:
    steps = re.findall(r"- run: (.*)", block("yaml", "upload-sarif"))
    for step in steps[1:]:
        done = run(step, project)
        assert done.returncode == 0, done.stdout + done.stderr
    assert steps[0].startswith("pip install ")
    assert len(steps) == 4


def test_every_option_is_on_the_page() -> None:
    plugin = (ROOT / "chattmpl" / "testing" / "plugin.py").read_text(encoding="utf-8")
    named = set(re.findall(r'^    "(\w+)": "', plugin, flags=re.MULTILINE)) | {"tokenizer", "snapshots", "update"}
    assert {f"--chattmpl-{name}" for name in named} <= set(re.findall(r"`(--chattmpl-[a-z]+)", PAGE))
