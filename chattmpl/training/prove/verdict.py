"""Whether a template trained: what a model must reach."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from chattmpl.errors import UsageError


@dataclass(frozen=True)
class Thresholds:
    """The least shares.

    Attributes:
        parse: of completions that parse.
        stop: of completions that end in a stop token.
        switch: of turns that follow the mode.
        accuracy: of right answers to tasks that ask for no skill but reading.

    Raises:
        UsageError: for what is no share.
    """

    parse: float = 0.95
    stop: float = 0.98
    switch: float = 0.9
    accuracy: float = 0.3

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value <= 1:
                raise UsageError(f"the least share for {name} is {value}", hint="it is a number from 0 to 1")


READING = ("persona", "lookup", "tool call")
"""Tasks whose answer stands in the prompt: who fails them was not trained on what the prompt shows."""

_ASKED = 10
"""Answers about the persona, of which one is right if the system message reaches the model: nobody guesses a number."""


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
    about = report["tasks"].get("persona", {}).values()
    asked, right = sum(mode["of"] for mode in about), sum(mode["count"] for mode in about)
    unread = [f"persona: none of {asked} answers is right, so the system message may not reach the model"]
    return [
        f"{what}: {100 * share['share']:.1f} %, less than {100 * getattr(limits, name):g} %"
        for name, what, share in measured
        if share["share"] is not None and share["share"] < getattr(limits, name)
    ] + (unread if limits.accuracy and asked >= _ASKED and not right else [])
