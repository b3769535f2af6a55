"""The hooks for pre-commit: they see templates, block a defect, and let a clean template pass."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chattmpl.cli import command_names
from support import ROOT
from support.command import run_here
from support.tagged import BAD, GOOD

CONVERSATION = '[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]'
CONFIG = """\
repos:
  - repo: {repository}
    rev: {revision}
    hooks:
      - id: chattmpl-lint
        args: [--select, "CT1,CT2"]
      - id: chattmpl-check
        args: [--conversations, chat.json]
"""


def hooks() -> list[dict[str, str]]:
    """The hooks, read without a YAML parser: the file has no more than keys and plain values."""
    text = (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    return [dict(re.findall(r"(\w+): (.*)", block)) for block in re.split(r"(?m)^- ", text)[1:]]


def test_each_hook_runs_a_command_that_there_is() -> None:
    assert [hook["id"] for hook in hooks()] == ["chattmpl-lint", "chattmpl-check"]
    for hook in hooks():
        program, command = hook["entry"].split()
        assert (program, hook["language"]) == ("chattmpl", "python")
        assert command in command_names()


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("chat_template.jinja", True),
        ("templates/qwen3/template.jinja", True),
        ("a/b.jinja2", True),
        ("model/tokenizer_config.json", True),
        ("chat_template.json", True),
        ("template.jinja.bak", False),
        ("config.json", False),
        ("my_tokenizer_config.json", False),
        ("chat_template.py", False),
    ],
)
def test_the_hooks_see_templates_and_nothing_else(path: str, seen: bool) -> None:
    for hook in hooks():
        assert bool(re.search(hook["files"], path)) is seen


@pytest.mark.parametrize("command", ["lint", "check"])
def test_the_commands_take_the_list_of_files_that_pre_commit_passes(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("good.jinja").write_text(GOOD)
    Path("bad.jinja").write_text(BAD)
    Path("chat.json").write_text(CONVERSATION)
    options = ["--conversations", "chat.json"] if command == "check" else ["--select", "CT1,CT2"]
    assert run_here([command, *options, "good.jinja"]).code == 0
    both = run_here([command, *options, "good.jinja", "bad.jinja"])
    assert both.code == 1
    assert "bad.jinja:" in both.out
    assert "good.jinja:" not in both.out.partition("\nbad.jinja")[2]


def test_a_file_whose_name_looks_like_an_option_is_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("--exit-zero.jinja").write_text(BAD)
    for hook in hooks():
        arguments = [*hook["entry"].split()[1:], *re.findall(r"[^][, ]+", hook["args"].partition("#")[0])]
        done = run_here([*arguments, "--exit-zero.jinja"])
        assert done.code == 1, done.err


def test_the_templates_of_this_repository_have_no_findings() -> None:
    found = run_here(["lint", str(ROOT / "templates")])
    assert found.code == 0, found.out
    assert "error" not in found.out.splitlines()[-1]


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *identity, *arguments],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of this repository as it is now, with one commit."""
    folder = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if name.startswith(("tests/", "bench/", "docs/")) or not (ROOT / name).is_file():
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "All of it")
    return folder


def pre_commit(folder: Path, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The real pre-commit, with nothing of the user's."""
    if importlib.util.find_spec("pre_commit") is None or shutil.which("git") is None:
        assert not os.environ.get("CHATTMPL_REQUIRE_UPSTREAM"), "pre-commit and git are needed"
        pytest.skip("pre-commit is not installed")
    git(folder, "add", "-A")
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {**os.environ, "PATH": path, "PRE_COMMIT_HOME": str(home), "PRE_COMMIT_COLOR": "never"}
    command = [sys.executable, "-m", "pre_commit", "run", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.upstream
def test_pre_commit_blocks_a_planted_defect_and_lets_a_clean_template_pass(repository: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    git(mine, "init", "-q")
    mine.joinpath("chat.json").write_text(CONVERSATION)
    mine.joinpath(".pre-commit-config.yaml").write_text(
        CONFIG.format(repository=repository, revision=git(repository, "rev-parse", "HEAD"))
    )
    mine.joinpath("chat.jinja").write_text(GOOD)
    clean = pre_commit(mine, tmp_path / "home")
    assert clean.returncode == 0, clean.stdout + clean.stderr
    assert clean.stdout.count("Passed") == 2
    mine.joinpath("chat.jinja").write_text(BAD)
    blocked = pre_commit(mine, tmp_path / "home")
    assert blocked.returncode == 1
    assert blocked.stdout.count("Failed") == 2
    assert "chat.jinja:" in blocked.stdout
    assert "stop token" in blocked.stdout
    assert "Traceback" not in blocked.stdout


@pytest.mark.upstream
def test_the_templates_of_this_repository_pass_its_own_hook(repository: Path, tmp_path: Path) -> None:
    done = pre_commit(repository, tmp_path / "home", "--all-files")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Passed" in done.stdout
