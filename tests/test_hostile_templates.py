"""Hostile templates and rows: what renders them ends within its bounds of time and memory, with one message.

The attacks are data, in ``tests/hostile``. Each is rendered in a process of its own, which is measured.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from typing import Any

import pytest

from support import ROOT
from support.attacks import FOLDER, source_of
from support.extras import ON_LINUX

pytestmark = [pytest.mark.hostile, ON_LINUX]

STEPS = 100_000
"""A tenth of the default, for the sake of time: what a template uses up grows with its steps."""

STEPS_OF_LOOPS = 30_000
"""Steps for attacks that only take time, which end in the same way however many there are."""

SECONDS = 3.0
"""Maximum processor time of a render with this budget; most take a tenth of a second."""

MEGABYTES = 300

LONGEST = 12_000
"""Maximum length of the message of an error, in characters."""

LEAKED = re.compile(r"<(class|function|bound method|built-in|module|frame|code|generator)\b|\broot:|Traced")
"""Text that a template renders only if it reached an object that is none of its own."""


def templates() -> dict[str, list[dict[str, Any]]]:
    """Return the attacks by kind."""
    return tomllib.loads((FOLDER / "templates.toml").read_text(encoding="utf-8"))


def rendered(attacks: list[dict[str, Any]], steps: int) -> list[dict[str, Any]]:
    """Return the end of each attack."""
    command = [sys.executable, str(ROOT / "tests" / "sandbox" / "run.py"), str(steps), "1"]
    given = "".join(f"{json.dumps([attack['name'], source_of(attack)])}\n" for attack in attacks)
    done = subprocess.run(command, input=given, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("kind", templates())
def test_an_attack_ends_soon_and_small_and_as_expected_and_shows_no_object_of_python(kind: str) -> None:
    attacks = templates()[kind]
    ends = rendered(attacks, STEPS_OF_LOOPS if kind == "time" else STEPS)
    assert len(ends) == len(attacks) > 5
    wrong = [end for attack, end in zip(attacks, ends, strict=True) if end["outcome"] != attack["ends"]]
    assert not wrong
    assert not [end for end in ends if end["seconds"] > SECONDS or end["megabytes"] > MEGABYTES]
    assert not [end for end in ends if len(end["text"]) >= LONGEST]
    assert not [end for end in ends if end["outcome"] == "harmless" and LEAKED.search(end["text"])]
