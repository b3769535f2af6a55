"""``chattmpl encode`` where what it needs is missing, and before any of it is loaded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support.command import run_here

COMMON = ("-t", "qwen3", "--tokenizer", "demo")


def test_without_its_packages_the_command_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    outcome = run_here(["encode", "data.jsonl", *COMMON, "-o", str(tmp_path / "out")])
    assert outcome.code == 2
    assert "needs pyarrow, which is not installed\nhint: pip install 'chattmpl[data,fast]'" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("data.jsonl", "-t", "qwen3", "-o", "out"), "--tokenizer is missing"),
        (("data.jsonl", *COMMON), "-o is missing"),
        ((*COMMON, "-o", "out"), "no data given"),
        (("data.jsonl", *COMMON, "-o", "out", "--resume", "--force"), "--resume and --force are mutually exclusive"),
        (("data.jsonl", *COMMON, "-o", "out", "--pack", "0"), "invalid value for '--pack'"),
        (("data.jsonl", *COMMON, "-o", "out", "--overflow", "cut"), "invalid value for '--overflow'"),
    ],
)
def test_a_command_line_that_lacks_something_is_refused_at_once(arguments: tuple[str, ...], message: str) -> None:
    outcome = run_here(["encode", *arguments])
    assert outcome.code == 2
    assert message in outcome.err


def test_the_help_tells_every_option() -> None:
    outcome = run_here(["encode", "--help"])
    assert outcome.code == 0
    for option in (
        "--max-rejected",
        "--overflow",
        "--unroll",
        "--pack",
        "--resume",
        "--columns",
        "--seed",
        "--workers",
    ):
        assert option in outcome.out
