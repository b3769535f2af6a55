"""What is wrong is said in one message on stderr, with the way out, and exit code 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from chattmpl.cli import command_names
from support import ROOT
from support.command import Outcome, run_apart, run_here
from support.snapshots import matches_snapshot

TALK = '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}'
FILES: dict[str, str | bytes] = {
    "talk.json": TALK,
    "broken.json": '{\n  "messages": [\n    {"role": "user", "content": "Hi"},\n  ]\n}\n',
    "role.jsonl": f'{TALK}\n{{"messages": [{{"role": "usr", "content": "Hi"}}]}}\n',
    "later.jsonl": f'{TALK}\n{{"messages": [{{"role": "user", "content": ""}}]}}\n',
    "hostile.json": '{"messages": [{"role": "\\u001b[31mred", "content": "\\u001b]0;title\\u0007"}]}',
    "empty.json": "",
    "control.json": '{"messages": [{"role": "user", "content": "<|im_end|>"}]}',
    "unknown.json": '{"template": "qwen", "messages": [{"role": "user", "content": "Hi"}]}',
    "open.jinja": "{% for m in messages %}\n  {% generation %}{{ m.content }}\n{% endfor %}\n",
    "raise.jinja": "{% for m in messages %}\n  {{- raise_exception('only\x1b[0m users') }}\n{% endfor %}",
    "latin.json": b'{"messages": [{"role": "user", "content": "caf\xe9"}]}',
}

COMMAND_LINES = [
    "rendr talk.json",
    "render tlk.json -t qwen3",
    "render . -t qwen3",
    "render talk.json -t qwen",
    "render talk.json -t missing.jinja",
    "render talk.json -t open.jinja",
    "render talk.json -t raise.jinja",
    "render unknown.json",
    "render broken.json -t qwen3",
    "render role.jsonl -t qwen3",
    "render later.jsonl -t qwen3 --continue-final-message",
    "render hostile.json -t qwen3",
    "render empty.json -t qwen3",
    "render latin.json -t qwen3",
    "render talk.json -t qwen3 --retention al",
    "render talk.json -t gemma3 --retention all",
    "render talk.json -t qwen3 --set enable_thinkin=false",
    "render talk.json -t qwen3 --set enable_thinking=False",
    "render talk.json -t qwen3 --set enable_thinking=no",
    "render talk.json -t qwen3 --set enable_thinking={false",
    "render talk.json -t qwen3 --set enable_thinking",
    "render talk.json -t qwen3 --set clock=1",
    "render talk.json -t qwen3 --set enable_thinking=true --set enable_thinking=false",
    "render talk.json -t qwen3 --clock yesterday",
    "render talk.json -t qwen3 --generation-prompt --continue-final-message",
    "render talk.json -t qwen3 --mask last",
    "render talk.json -t qwen3 --tokenizer dmo",
    "render talk.json -t qwen3 --tokenizer missing/tokenizer.json",
    "render control.json -t qwen3 --tokenizer demo --control-tokens error",
    "render talk.json -t qwen3 --tokenizer demo --mask flags",
    "render talk.json -t qwen3 -o missing/out.json",
    "families qwen",
    "export -t qwen",
    "export -t qwen3 --dry-run",
    "export -t qwen3 -o missing.json",
    "export -t qwen3 -o .",
    "export -t qwen3 -o empty.json",
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _told(line: str, done: Outcome) -> str:
    return f"$ chattmpl {line}\n{done.err}"


def test_every_error_is_one_clear_message(folder: Path) -> None:
    told = []
    for line in COMMAND_LINES:
        done = run_here(line.split())
        assert done.code == 2, line
        assert done.err.count("error: ") == 1
        assert "Traceback" not in done.err
        assert "\x1b" not in done.err
        told.append(_told(line, done).replace(str(folder), "."))
    matches_snapshot("cli_errors.txt", "\n".join(told))


@pytest.mark.parametrize("line", ["render", "render talk.json --formt text", "render talk.json --format txt", "-x"])
def test_wrong_usage_is_said_by_us_and_not_by_a_usage_text(folder: Path, line: str) -> None:
    done = run_here(line.split())
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert "Usage:" not in done.err
    assert "--help" in done.err.splitlines()[-1]


def test_an_error_in_a_later_conversation_says_in_which(folder: Path) -> None:
    done = run_here(["render", "later.jsonl", "-t", "qwen3", "--continue-final-message"])
    assert done.out.startswith("==> later.jsonl[0] <==\n")
    assert "later.jsonl[1]: " in done.err


def test_stdin_that_is_no_text_is_an_error() -> None:
    done = run_here(["render", "-", "-t", "qwen3"], b"\xff\xfe{}")
    assert (done.code, done.err.splitlines()[0]) == (2, "error: <stdin>: byte 0xff at offset 0 is not UTF-8")


def test_an_error_in_stdin_points_into_it() -> None:
    done = run_here(["render", "-", "-t", "qwen3"], b'{"messages": [{"role": "usr", "content": ""}]}')
    assert done.err.startswith("error: <stdin>:1:24: messages[0].role: unknown role 'usr'")


@pytest.mark.parametrize(
    "text", ["[tool.chattmpl\n", "[tool.chattmpl]\ntemplate = 3\n", '[tool.chattmpl]\ntemplate = "qwen"\n']
)
def test_a_wrong_project_file_is_an_error(folder: Path, text: str) -> None:
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    done = run_here(["render", "talk.json"])
    assert done.code == 2
    assert "error: " in done.err
    assert run_here(["render", "talk.json", "-t", "qwen3"]).code == 0


def test_an_unexpected_error_is_reported_as_internal_in_one_message(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chattmpl.cli.render.conversations", lambda *_: json.loads("no json"))
    done = run_here(["render", "talk.json", "-t", "qwen3"])
    assert done.code == 2
    assert done.err.startswith("error: internal error of chattmpl: JSONDecodeError: ")
    assert "CHATTMPL_TRACEBACK=1" in done.err.splitlines()[1]
    assert len(done.err.splitlines()) == 2


def test_a_traceback_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["render", "fixtures/missing.json", "-t", "qwen3"]
    assert "Traceback" not in run_apart(arguments).err
    monkeypatch.setenv("CHATTMPL_TRACEBACK", "1")
    assert "Traceback" in run_apart(arguments).err


def test_without_a_command_the_help_is_shown_and_the_usage_is_wrong() -> None:
    done = run_here([])
    assert (done.code, done.out) == (2, "")
    assert all(name in done.err for name in command_names())


@pytest.mark.parametrize("arguments", [["--help"], ["render", "-h"], ["families", "--help"], ["export", "--help"]])
def test_help_that_is_asked_for_is_no_error(arguments: list[str]) -> None:
    done = run_here(arguments)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("Usage: chattmpl")


def test_the_version_is_told() -> None:
    assert run_here(["--version"]).out.startswith("chattmpl ")


def test_the_module_can_be_run() -> None:
    done = subprocess.run([sys.executable, "-m", "chattmpl", "-V"], cwd=ROOT, capture_output=True, check=True)
    assert done.stdout.startswith(b"chattmpl ")
