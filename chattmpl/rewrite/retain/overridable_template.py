"""A template whose terms can be overridden at each render, so that changes are tried without compiling."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from chattmpl.compiler.dialect import checked_tree
from chattmpl.compiler.policies import POLICIES
from chattmpl.conversation.models import Conversation
from chattmpl.errors import ChatTmplError
from chattmpl.probing.corpus import CLOCK
from chattmpl.provenance.containers import InputTracer
from chattmpl.rewrite.retain.baseline import ConversationKeys
from chattmpl.rewrite.retain.terms import Term, find_terms
from chattmpl.rewrite.retain.turn_text import CLOSE
from chattmpl.source import Source
from chattmpl.syntax.edits import Edit, apply_edits
from chattmpl.syntax.messages import message_loops
from chattmpl.template.resolver import TemplateSource
from chattmpl.template.spans import spans_of
from chattmpl.template.template import Rendering, Template

Change = tuple[int, str]
"""The index of a term, and its replacement, one of `WAYS`."""

WAYS = ("true", "false", "here", "not here", "and here", "or here", "and not here", "or not here")
"""Replacements of a term; ``here`` is true if the policy keeps the trace of the message being rendered."""

_Value = tuple[bool, bool | None]
"""True if the policy keeps the trace, and the truth of the value of a term."""

_TERM, _AT = "chattmpl_term", "chattmpl_at"


class OverridableTemplate:
    """A template whose terms can be overridden.

    Args:
        template: a template without reasoning tags.
        policy: name of the policy that ``here`` refers to.
        contents: whether traces may be cut out of contents.
        only: indices of the terms that can be overridden, each of which makes a render slower; None for all.

    Attributes:
        terms: the terms of the template.
        shared: indices of those that are evaluated for messages of other roles than the assistant.
    """

    def __init__(
        self, template: Template, policy: str, *, contents: bool = False, only: frozenset[int] | None = None
    ) -> None:
        self.template = template
        self._policy = policy
        text = template.source
        self._contents = contents
        tree = template.program.syntax
        self.terms: list[Term] = find_terms(tree, contents=contents)
        self.shared: set[int] = set()
        loops = [loop.opening for loop in message_loops(tree)]
        edits = [tag.insert_after(f"{{% set {_AT} = loop.revindex0 {tag.right}%}}") for tag in loops]
        wrapped = [(number, term) for number, term in enumerate(self.terms) if only is None or number in only]
        for number, term in wrapped:
            at = _AT if term.loop is not None else "none"
            edits.append(term.node.insert_before(f" {_TERM}[[{number}, {at}, "))
        # At one offset the inner ones are closed first; all insertions there are alike.
        for _, term in reversed(wrapped):
            base = f", {text[term.start : term.base]}" if term.base is not None else ""
            edits.append(term.node.insert_after(f"{base}]]"))
        self._known: dict[tuple[str, frozenset[Change]], tuple[Rendering | None, dict[int, set[_Value]]]] = {}
        self._keys = ConversationKeys()
        switched = apply_edits(text, _closed_first(edits)).text
        checked_tree(Source(switched))
        found = TemplateSource(template.program.source.with_text(switched), template.tokens)
        self._switched = Template(found, None, template.budget)

    def narrowed(self, numbers: Iterable[int]) -> OverridableTemplate:
        """Return the template with fewer terms that can be overridden, under the same indices."""
        made = OverridableTemplate(self.template, self._policy, contents=self._contents, only=frozenset(numbers))
        made._known, made._keys, made.shared = self._known, self._keys, self.shared
        return made

    def render(
        self, changes: Mapping[int, str], conversation: Conversation, kwargs: dict[str, Any], prompt: bool
    ) -> Rendering | None:
        """Render a conversation under changes; None if it is refused."""
        where = f"{self._keys.of(conversation)}{kwargs}{prompt}"
        asked = frozenset(changes.items())
        if (where, asked) not in self._known:
            made = next((self._known[where, less] for less in self._alike(where, asked)), None)
            self._known[where, asked] = made or self._run(changes, conversation, kwargs, prompt)
        return self._known[where, asked][0]

    def _alike(self, where: str, changes: frozenset[Change]) -> Iterator[frozenset[Change]]:
        """Yield smaller sets of changes that are known to render the same text."""
        for left_out in (changes, *({change} for change in changes)) if len(changes) > 1 else (changes,):
            less = changes - left_out
            known = self._known.get((where, less))
            if changes and known is not None and all(_idle(one, known[1].get(one[0], ())) for one in left_out):
                yield less

    def _run(
        self, changes: Mapping[int, str], conversation: Conversation, kwargs: dict[str, Any], prompt: bool
    ) -> tuple[Rendering | None, dict[int, set[_Value]]]:
        values: dict[int, set[_Value]] = defaultdict(set)
        keep = POLICIES[self._policy].keeps(conversation, prompt)
        count = len(conversation.messages)

        def term(number: int, at: Any, value: Any, base: Any = None) -> Any:
            here = isinstance(at, int) and count - 1 - at in keep
            way, kind = changes.get(number), self.terms[number].kind
            if kind == "content" and conversation.messages[count - 1 - at].role != "assistant":
                self.shared.add(number)
                return value
            if kind in ("content", "cut"):
                # The value with and without the trace; without a trace no change makes a difference.
                whole, rest = (base, value) if kind == "cut" else (value, _cut(value))
                if whole != rest:
                    values[number].add((here, None))
                if way is None:
                    return value
                return whole if way == "true" or (way == "here" and here) else rest
            values[number].add((here, self._value(number, value)))
            return value if way is None else _overridden(way, here, value)

        switched = self._switched
        try:
            variables = switched.variables(conversation, prompt, kwargs, InputTracer())
            variables[_TERM] = _Subscript(term)
            text, runs = switched.program.run(variables, lambda: CLOCK, switched.budget)
        except ChatTmplError:
            return None, values
        return Rendering(text, spans_of(runs), (), conversation, switched), values

    def _value(self, number: int, value: Any) -> bool | None:
        """Return the truth of a value if nothing else matters, else None."""
        return bool(value) if type(value) is bool or self.terms[number].tested else None


def _cut(content: Any) -> Any:
    """Return a content without its trace."""
    return content.split(CLOSE)[-1].lstrip("\n") if isinstance(content, str) and CLOSE in content else content


def _idle(change: Change, values: Iterable[_Value]) -> bool:
    """Return whether a change makes no difference where a term had these values."""
    return all(value is not None and _overridden(change[1], here, value) == value for here, value in values)


class _Subscript:
    """A function that a template calls by subscript, since a call would be charged to the budget."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __getitem__(self, arguments: list[Any]) -> Any:
        return self._function(*arguments)


def _closed_first(edits: list[Edit]) -> list[Edit]:
    """Order edits so that the end of a term precedes the start of the next one at the same offset."""
    return sorted(edits, key=lambda edit: (edit.start, not edit.text.endswith("]")))


def _overridden(way: str, here: bool, value: Any) -> Any:
    if way in ("true", "false"):
        return way == "true"
    truth = here != way.endswith("not here")
    if way.startswith("and"):
        return value if not value else truth
    if way.startswith("or"):
        return value if value else truth
    return truth
