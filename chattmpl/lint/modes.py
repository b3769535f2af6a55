"""Facts about a template in its modes: with kwargs that switch how it prompts or reasons."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from chattmpl.probing.corpus import ASK, CONVERSATIONS
from chattmpl.probing.facts import TemplateFacts
from chattmpl.probing.modes import candidate_values, mode_names
from chattmpl.template.special_tokens import CONTROL
from chattmpl.template.template import Rendering

_MOST = 3
"""The most modes of one template that rules are checked in."""

_NAME = re.compile(r"^(?!.*(?:budget|_token$|_text|_prompt)).*(?:think|reason|effort|xml_tools|python_tools|mode$)")
_REASONING_NAME = re.compile(r"think|reason|effort|mode")
_OFF = (False, "none", "off", "disabled", "no_think", "/no_think", "chat", "minimal")
_REASONING = frozenset({"reasoning", "reasoning_turns"})
_SKIPPED = frozenset(CONVERSATIONS) - {"turn", "turns", "reasoning", "calls"}
_COMPARED = (("turn", 1, True), ("turn", 2, False), ("reasoning", 2, False), ("calls", 4, False))


class ModeFacts(NamedTuple):
    """One value of one kwarg, and the facts about the template with it."""

    kwargs: Mapping[str, Any]
    facts: TemplateFacts

    @property
    def words(self) -> str:
        """The kwarg with its value, as messages name it."""
        return " ".join(f"{name}={json.dumps(value)}" for name, value in self.kwargs.items())


def modes_of(plain: TemplateFacts) -> tuple[ModeFacts, ...]:
    """Return the modes of a template that render something else than others do."""
    known = [plain]
    found = []
    for name, value in _candidates(plain):
        off = value in _OFF and _REASONING_NAME.search(name) is not None
        skipped = _SKIPPED | (_REASONING if off else frozenset())
        facts = TemplateFacts(plain.template, plain.tokenizer, kwargs={name: value}, skipped=skipped)
        if not any(_alike(facts, other) for other in known):
            known.append(facts)
            found.append(ModeFacts({name: value}, facts))
        if len(found) == _MOST:
            break
    return tuple(found)


def _candidates(facts: TemplateFacts) -> Iterator[tuple[str, Any]]:
    """Yield kwargs with values: those of the family, else strings they are compared with, or false and true."""
    family = facts.template.family
    if family is not None:
        for name, mode in family.modes.items():
            yield from ((name, value) for value in mode.values)
        return
    for name in filter(_NAME.search, mode_names(facts.template)):
        strings: list[Any] = sorted(value for value in candidate_values(facts.template, name) if isinstance(value, str))
        yield from ((name, value) for value in strings or (False, True))


def _alike(one: TemplateFacts, other: TemplateFacts) -> bool:
    """Return whether two modes render the compared conversations alike, as far as these make sense in both."""
    return all(
        _look(one.prober.render(name, count, prompt=prompt)) == _look(other.prober.render(name, count, prompt=prompt))
        for name, count, prompt in _COMPARED
        if name not in one.prober.skipped | other.prober.skipped
    )


def _look(rendering: Rendering | None) -> tuple[list[str], str] | None:
    """Return the control tokens before the question, and the text from there on.

    The words of a mode in a system turn concern no rule.
    """
    if rendering is None:
        return None
    start = max(rendering.text.find(ASK["content"]), 0)
    return CONTROL.findall(rendering.text[:start]), rendering.text[start:]
