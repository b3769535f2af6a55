"""Whether a template trained: what a model must reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Thresholds:
    """The least shares.

    Attributes:
        parse: of completions that parse.
        stop: of completions that end in a stop token.
        switch: of turns that follow the mode.
        accuracy: of right answers to tasks that ask for no skill but reading.
    """

    parse: float = 0.95
    stop: float = 0.98
    switch: float = 0.9
    accuracy: float = 0.5


READING = ("persona", "lookup", "tool call")
"""Tasks whose answer stands in the prompt: who fails them was not trained on what the prompt shows."""


def failures(report: dict[str, Any], limits: Thresholds) -> list[str]:
    """What was not reached, a sentence each."""
    measured = [("parse", "completions that parse", report["parsed"])]
    measured.append(("stop", "completions that end in a stop token", report["stopped"]))
    if report["switching"] is not None:
        measured.append(("switch", "turns that follow the mode", report["switching"]["all"]))
    modes = [mode for kind in READING for mode in report["tasks"].get(kind, {}).values()]
    count, of = sum(mode["count"] for mode in modes), sum(mode["of"] for mode in modes)
    if of:
        measured.append(("accuracy", f"right answers to {', '.join(READING)}", {"share": count / of}))
    return [
        f"{what}: {100 * share['share']:.1f} %, less than {100 * getattr(limits, name):g} %"
        for name, what, share in measured
        if share["share"] is not None and share["share"] < getattr(limits, name)
    ]
