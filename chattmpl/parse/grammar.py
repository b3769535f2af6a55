"""The grammar of a family: its ``[parse]`` table, compiled."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache

from chattmpl.errors import UsageError
from chattmpl.parse.block import Block
from chattmpl.parse.pattern import Pattern, compiled
from chattmpl.template.family import BlockFacts, Family, ParseFacts, TurnFacts
from chattmpl.template.template import Template


@dataclass(frozen=True)
class Frame:
    """How a turn of one role is framed."""

    facts: TurnFacts

    @cached_property
    def opens(self) -> Pattern:
        """What stands before the content."""
        return compiled(self.facts.opens)

    @cached_property
    def block(self) -> Block | None:
        """What the turn holds in a row, if it is not its content alone."""
        if self.facts.each is None:
            return None
        return Block(BlockFacts(each=(self.facts.each,), separator=self.facts.separator))

    @cached_property
    def start(self) -> str:
        """The text by which the turn is known."""
        whole = len(self.opens.parts) == (1 if self.facts.opens else 0)
        after = compiled(self.facts.each).start if self.facts.each else self.facts.begins
        return self.opens.start + (after if whole else "")


@dataclass(frozen=True)
class Grammar:
    """What is needed to read texts of a family."""

    facts: ParseFacts
    control_tokens: tuple[str, ...]
    stop_tokens: tuple[str, ...]

    @cached_property
    def frames(self) -> tuple[Frame, ...]:
        """How turns are framed, in the order in which they are tried."""
        return tuple(Frame(facts) for facts in self.facts.turns)

    @cached_property
    def openers(self) -> re.Pattern[str]:
        """Finds where any turn may begin."""
        starts = sorted({frame.start for frame in self.frames}, key=_longest_first)
        return re.compile("|".join(map(re.escape, starts)))

    @cached_property
    def user(self) -> str:
        """What opens the plainest turn of a user."""
        found = [frame.facts.opens for frame in self.frames if frame.facts.role == "user" and not frame.block]
        return min((opens for opens in found if "${" not in opens), key=len, default="")

    @cached_property
    def endings(self) -> tuple[str, ...]:
        """What may close a turn of the assistant, the longest first."""
        return tuple(sorted({*self.closes, *self.stop_tokens}, key=_longest_first))

    @cached_property
    def closes(self) -> tuple[str, ...]:
        """What closes a turn of the assistant."""
        closes = {close for frame in self.frames if frame.facts.role == "assistant" for close in frame.facts.closes}
        return tuple(sorted(closes, key=_longest_first))

    @cached_property
    def all_closes(self) -> tuple[str, ...]:
        """What closes a turn of anyone, where it is closed by something."""
        return tuple(dict.fromkeys(close for frame in self.frames for close in frame.facts.closes if close))

    @cached_property
    def reasoning(self) -> tuple[Pattern, ...]:
        """How a trace is written."""
        return tuple(map(compiled, self.facts.reply.reasoning))

    @cached_property
    def content(self) -> tuple[Pattern, ...]:
        """How an answer is written, where it has a frame."""
        return tuple(map(compiled, self.facts.reply.content))

    @cached_property
    def calls(self) -> Block | None:
        """How calls are written."""
        return Block(self.facts.reply.calls) if self.facts.reply.calls else None

    @cached_property
    def call_mark(self) -> str | None:
        """The control token by which a call is known; None if none opens it."""
        start = self.calls.starts[0] if self.calls else ""
        return min((token for token in self.control_tokens if token in start), key=start.index, default=None)


@lru_cache(maxsize=32)
def grammar_of(template: Template) -> Grammar:
    """The grammar of a template.

    Raises:
        UsageError: if it is no family that says how its texts are read.
    """
    family: Family | None = template.family
    if family is None or family.parse is None:
        raise UsageError(
            f"it is not known how texts of {template.name} are read",
            hint="it must be a family with a [parse] table in its family.toml: see docs/parsing.md",
        )
    return Grammar(family.parse, family.generation.control_tokens, family.generation.stop_tokens)


def _longest_first(text: str) -> tuple[int, str]:
    """A key for sorting: the same order each time, also among texts of one length, which come out of sets."""
    return -len(text), text
