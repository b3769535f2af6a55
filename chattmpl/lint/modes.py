"""Modes: kwargs that switch a template, found in its conditions, and rules checked in each of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.laws.modes import found_modes
from chattmpl.lint.context import Subject
from chattmpl.lint.conversations import CONVERSATIONS
from chattmpl.lint.probe import Probe
from chattmpl.lint.rule import Rule
from chattmpl.template.special_tokens import CONTROL
from chattmpl.template.template import Rendering

MOST = 3
"""Modes of one template that are looked at."""

_MODE = re.compile(r"^(?!.*(?:budget|_token$|_text|_prompt)).*(?:think|reason|effort|xml_tools|python_tools|mode$)")
_OFF = (False, "none", "off", "disabled", "no_think", "/no_think", "chat", "minimal")
_QUESTION = "Question quince"
_REASONING = frozenset({"reasoning", "reasoning_turns"})
_LEFT_OUT = frozenset(CONVERSATIONS) - {"turn", "turns", "reasoning", "calls"}
_TELLING = (("turn", 1, True), ("turn", 2, False), ("reasoning", 2, False), ("calls", 4, False))


@dataclass(frozen=True)
class Mode:
    """One value of one kwarg.

    Attributes:
        kwargs: the kwarg with its value.
        probe: renders with it.
    """

    kwargs: Mapping[str, Any]
    probe: Probe

    @property
    def words(self) -> str:
        """The kwarg with its value, as messages name it."""
        return " ".join(f"{name}={json.dumps(value)}" for name, value in self.kwargs.items())


def modes(subject: Subject) -> tuple[Mode, ...]:
    """The modes of a template in which it renders something else than without them."""
    if subject.modes is None:
        subject.modes = tuple(_modes(subject))
    return tuple(subject.modes)


def check_in_modes(rule: Rule, subject: Subject) -> Iterator[TemplateDiagnostic]:
    """What a rule finds: without any kwargs, and if that is nothing grave, in each mode."""
    found = list(rule.check(subject))
    yield from found
    # What is found without kwargs has the same cause with them.
    if not rule.probes or not rule.per_mode or any(one.severity != "info" for one in found):
        return
    plain = subject.probe
    lines = {finding.place.line for finding in found}
    for mode in modes(subject):
        subject.probe = mode.probe
        try:
            in_mode = list(rule.check(subject))
        finally:
            subject.probe = plain
        for finding in in_mode:
            if finding.place.line not in lines:
                lines.add(finding.place.line)
                yield replace(finding, message=f"with {mode.words}, {finding.message}", mode=mode.kwargs)


def _modes(subject: Subject) -> Iterator[Mode]:
    seen = [subject.probe]
    for name, value in _candidates(subject):
        off = value in _OFF and re.search(r"think|reason|effort|mode", name) is not None
        probe = Probe(subject.template, {name: value}, _LEFT_OUT | (_REASONING if off else frozenset()))
        if not any(_alike(probe, other) for other in seen):
            seen.append(probe)
            yield Mode({name: value}, probe)
        if len(seen) > MOST:
            return


def _alike(one: Probe, other: Probe) -> bool:
    """Whether the telling conversations look alike in two modes, as far as they have a meaning in both."""
    return all(
        _look(one.render(name, count, prompt=prompt)) == _look(other.render(name, count, prompt=prompt))
        for name, count, prompt in _TELLING
        if name not in one.skipped | other.skipped
    )


def _look(rendering: Rendering | None) -> tuple[list[str], str] | None:
    """The control tokens before the question, and the text from there on.

    What a mode says in the words of a system turn concerns no rule.
    """
    if rendering is None:
        return None
    start = max(rendering.text.find(_QUESTION), 0)
    return CONTROL.findall(rendering.text[:start]), rendering.text[start:]


def _candidates(subject: Subject) -> Iterator[tuple[str, Any]]:
    """Kwargs with values that a template may have modes for: those that a family declares, else strings or switches."""
    family = subject.found.family
    if family is not None:
        for name, mode in family.modes.items():
            yield from ((name, value) for value in mode.values)
        return
    for name, values in sorted(found_modes(subject.template, _MODE.search).items()):
        strings = sorted(value for value in values if isinstance(value, str))
        yield from ((name, value) for value in strings or (False, True))
