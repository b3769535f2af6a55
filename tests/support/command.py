"""The command line, run in this process and in one of its own."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from chattmpl.cli import main
from support import ROOT

PROGRAM = Path(sys.executable).parent / "chattmpl"


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


class _Stream(io.TextIOWrapper):
    """A text stream over bytes in memory, which can be read after it was written."""

    def __init__(self, given: bytes = b"") -> None:
        self.memory = io.BytesIO(given)
        super().__init__(self.memory, encoding="utf-8", newline="")

    def text(self) -> str:
        self.flush()
        return self.memory.getvalue().decode()


def run_here(arguments: Sequence[str], stdin: bytes = b"") -> Outcome:
    """``chattmpl`` with these arguments, in this process; nothing is a terminal."""
    with pytest.MonkeyPatch.context() as patch:
        out, err = _Stream(), _Stream()
        patch.setattr(sys, "stdin", _Stream(stdin))
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        patch.setenv("COLUMNS", "80")
        patch.setenv("CHATTMPL_CACHE", "")
        for name in ("FORCE_COLOR", "NO_COLOR", "CHATTMPL_TRACEBACK"):
            patch.delenv(name, raising=False)
        code = main(list(arguments))
    return Outcome(code, out.text(), err.text())


def run_apart(arguments: Sequence[str], stdin: bytes = b"") -> Outcome:
    """``chattmpl`` with these arguments, in a process of its own, in the repository's root."""
    done = subprocess.run([PROGRAM, *arguments], input=stdin, capture_output=True, cwd=ROOT, check=False)
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())
