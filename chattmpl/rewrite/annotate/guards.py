"""Conditions under which the text of a part should be generated."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import combinations, product

from chattmpl.syntax.items import Block
from chattmpl.syntax.messages import find_read, read_in_style
from chattmpl.syntax.nodes import Attribute, Comparison, Name, Subscript
from chattmpl.syntax.tree import Tree

FACTS = ("assistant", "content", "calls", "reasoning", "first", "last", "result", "answered")
"""Facts that conditions are made of, in the order in which they are tried: the message is the assistant's, has content,
calls, reasoning; the innermost loop within the message runs for the first time; the message is the last one; the
message follows the result of a tool; the message follows one of the assistant."""

_MAX_KWARGS = 4


@dataclass(frozen=True)
class Guard:
    """A condition.

    Attributes:
        literals: facts, each with the truth value that it needs.
        both: whether all literals must hold; else one is enough.
    """

    literals: tuple[tuple[str, bool], ...]
    both: bool = True

    def holds(self, facts: Collection[str]) -> bool:
        """Return whether the condition holds under these facts."""
        values = [(fact in facts) == wanted for fact, wanted in self.literals]
        return all(values) if self.both else any(values)

    @property
    def cost(self) -> int:
        """A number that is lower for a condition that is easier to read."""
        return sum(3 - wanted for _, wanted in self.literals)

    @property
    def negative(self) -> bool:
        """True if it only says what does not hold."""
        return not any(wanted for _, wanted in self.literals)

    @property
    def opposite(self) -> Guard:
        """The condition that holds where this one does not."""
        return Guard(tuple((fact, not wanted) for fact, wanted in self.literals), not self.both)

    @property
    def anywhere(self) -> bool:
        """Whether the condition depends on kwargs only, so that it can be outside the loop over messages."""
        return all("=" in fact for fact, _ in self.literals)


def guard_for(cases: Collection[tuple[frozenset[str], bool]]) -> Guard | None:
    """Return the simplest condition that holds in exactly the cases that are marked true; None if there is none."""
    kwargs = sorted({fact for facts, _ in cases for fact in facts if "=" in fact})
    for guard in _guards((*FACTS, *kwargs[:_MAX_KWARGS])):
        if all(guard.holds(facts) == wanted for facts, wanted in cases):
            return guard
    return None


def _negated(condition: str) -> str:
    if " and " in condition:
        return f"not ({condition})"
    return condition.replace("==", "!=") if "==" in condition else f"not {condition}"


def _guards(known: tuple[str, ...]) -> Iterator[Guard]:
    for wanted in (True, False):
        for fact in known:
            yield Guard(((fact, wanted),))
    for count in (2, 3):
        for facts in combinations(known, count):
            for *signs, both in product((True, False), repeat=count + 1):
                yield Guard(tuple(zip(facts, signs, strict=True)), both)


class GuardPrinter:
    """Prints guards as Jinja at one place of a template.

    Args:
        tree: the template; fields are read as it reads them.
        loops: the ``{% for %}`` blocks around the place, the outermost first.
        trace_key: the name of the reasoning field that the template reads.
    """

    def __init__(self, tree: Tree, loops: tuple[Block, ...], trace_key: str) -> None:
        targets = [loop.opening.target.text for loop in loops if isinstance(loop.opening.target, Name)]
        message = next((name for name in reversed(targets) if find_read(tree, name, "role") is not None), None)
        if message is None:
            message = targets[0] if targets else _compared(tree)
        self._tree = tree
        self._trace_key = trace_key
        self._message = message
        self._in_loop = bool(loops)
        self._nested = len(targets) > 0 and targets[-1] != message

    def print(self, guard: Guard) -> str | None:
        """Return the condition in Jinja; None if one of its facts cannot be expressed at this place."""
        words = []
        for fact, wanted in guard.literals:
            word = self._fact(fact)
            if word is None:
                return None
            words.append(word if wanted else _negated(word))
        return (" and " if guard.both else " or ").join(words)

    def _fact(self, fact: str) -> str | None:
        if "=" in fact:
            return _kwarg(*fact.split("=", 1))
        if fact == "answered" and not self._in_loop:
            return f"messages and {read_in_style(self._tree, 'messages[-1]', 'role')} == 'assistant'"
        if self._message is None:
            return None
        if fact == "first":
            return "loop.first" if self._nested else None
        if fact in ("last", "result", "answered"):
            if self._nested or not self._in_loop:
                return None
            if fact == "last":
                return "loop.last"
            role = read_in_style(self._tree, self._message, "role").replace(self._message, "loop.previtem", 1)
            wanted = "tool" if fact == "result" else "assistant"
            return f"loop.previtem is defined and {role} == '{wanted}'"
        field = {"assistant": "role", "content": "content", "calls": "tool_calls", "reasoning": self._trace_key}
        name = field[fact]
        read = read_in_style(self._tree, self._message, name)
        return f"{read} == 'assistant'" if fact == "assistant" else read


def _kwarg(name: str, value: str) -> str:
    """Return a test of the value of a kwarg that may be missing."""
    asked = {"True": f"{name} is defined and {name}", "False": f"{name} is defined and not {name}"}
    return asked.get(value, f"{name} == {value}")


def _compared(tree: Tree) -> str | None:
    """Return the first variable whose role is compared."""
    for node in tree.nodes(Comparison):
        left = node.items[0]
        if left.key != "role" or node.operators[0] != "==":
            continue
        if isinstance(left, (Attribute, Subscript)) and isinstance(left.value, Name) and left.value.name != "messages":
            return left.value.name
    return None
