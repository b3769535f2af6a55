"""A template whose terms can be overridden at each render, so that a change is tried without compiling it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chattmpl.compiler.dialect import outline
from chattmpl.compiler.edits import Edit, apply_edits
from chattmpl.conversation import Conversation
from chattmpl.errors import ChatTmplError
from chattmpl.laws.law import CLOCK
from chattmpl.origins import Found
from chattmpl.provenance.tree import Leaves
from chattmpl.render import Rendering, spans_of
from chattmpl.retain.policy import kept
from chattmpl.retain.terms import Term, message_loops, terms
from chattmpl.source import Source
from chattmpl.template import Template

Change = tuple[int, str]
"""The number of a term, and what takes its place; one of `WAYS`."""

WAYS = ("true", "false", "here", "not here", "and here", "or here", "and not here", "or not here")
"""``here``: the policy keeps the trace of the message being rendered."""

_TERM, _AT = "chattmpl_term", "chattmpl_at"


class Switchboard:
    """A template with its terms.

    Args:
        template: plain Jinja; reasoning tags are not known here.
        policy: what ``here`` stands for.
        only: the numbers of the terms to be overridden; each costs time at every render.

    Attributes:
        terms: its terms, by number.
    """

    def __init__(self, template: Template, policy: str, only: frozenset[int] | None = None) -> None:
        self.template = template
        self._policy = policy
        text = template.source
        environment = template.program.environment
        self.terms: list[Term] = terms(text, environment)
        edits = []
        for tag in message_loops(text, environment):
            mark = f"{{% set {_AT} = loop.revindex0 {tag.right}%}}"
            edits.append(Edit(tag.end, tag.end, mark))
        wrapped = [(number, term) for number, term in enumerate(self.terms) if only is None or number in only]
        for number, term in wrapped:
            at = _AT if term.loop is not None else "none"
            edits.append(Edit(term.start, term.start, f" {_TERM}({number}, {at}, "))
        # At one place the inner ones are closed first; all that is inserted there is alike.
        for _, term in reversed(wrapped):
            base = f", {text[term.start : term.base]}" if term.base is not None else ""
            edits.append(Edit(term.end, term.end, f"{base})"))
        switched = apply_edits(text, _closed_first(edits)).text
        outline(Source(switched), environment)
        found = Found(Source(switched, template.program.source.name), template.tokens)
        self._switched = Template(found, None, template.budget)

    def narrowed(self, numbers: Iterable[int]) -> Switchboard:
        """The same with fewer terms that can be overridden; their numbers stay."""
        return Switchboard(self.template, self._policy, frozenset(numbers))

    def render(
        self, changes: Mapping[int, str], conversation: Conversation, kwargs: dict[str, Any], prompt: bool
    ) -> Rendering | None:
        """A conversation under changes; None if it is refused."""
        keep = kept(self._policy, conversation, prompt)
        count = len(conversation.messages)

        def term(number: int, at: Any, value: Any, base: Any = None) -> Any:
            way = changes.get(number)
            if way is None:
                return value
            here = isinstance(at, int) and count - 1 - at in keep
            if base is not None:
                return base if way == "true" or (way == "here" and here) else value
            return _overridden(way, here, value)

        switched = self._switched
        try:
            variables = switched.variables(conversation, prompt, kwargs, Leaves())
            variables[_TERM] = term
            text, runs = switched.program.run(variables, lambda: CLOCK, switched.budget)
        except ChatTmplError:
            return None
        return Rendering(text, spans_of(runs), (), conversation, switched)


def _closed_first(edits: list[Edit]) -> list[Edit]:
    """What ends a term stands before what begins the next one at the same place."""
    return sorted(edits, key=lambda edit: (edit.start, not edit.text.endswith(")")))


def _overridden(way: str, here: bool, value: Any) -> Any:
    if way in ("true", "false"):
        return way == "true"
    truth = here != way.endswith("not here")
    if way.startswith("and"):
        return value if not value else truth
    if way.startswith("or"):
        return value if value else truth
    return truth


__all__ = ["WAYS", "Change", "Switchboard"]
