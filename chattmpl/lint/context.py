"""The context of a lint rule: one template, its tokens, tree and facts."""

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from chattmpl.lint.modes import ModeFacts, modes_of
from chattmpl.probing.facts import TemplateFacts
from chattmpl.probing.prober import PROBE_BUDGET, Prober, Turn
from chattmpl.source import Place, Source
from chattmpl.syntax.items import Block, Comment
from chattmpl.syntax.lexer import tokens
from chattmpl.syntax.nodes import Attribute, Call, Constant, Filter, Node, Subscript, Test
from chattmpl.syntax.tree import Tree
from chattmpl.template import blame
from chattmpl.template.model_directory import ModelDirectory
from chattmpl.template.resolver import TemplateSource
from chattmpl.template.template import Rendering, Template

PLAIN = ("turn", "reasoning", "calls", "turns")
"""Conversations with assistant turns that most templates render, the smallest first."""

MASKED = (*PLAIN, "spoken", "agent", "parallel")
"""Conversations in which masks are checked."""


class LintContext:
    """A template that compiled, as rules see it.

    Attributes:
        found: the source, with the special tokens and the family that belong to it.
        source: the source with LF newlines, which places point into.
        facts: facts about the template; in a mode where the rule is checked in one.
        tokenizer: a tokenizer from `chattmpl.encode.load_tokenizer`, or None.
    """

    def __init__(self, found: TemplateSource, tokenizer: Any = None) -> None:
        self.found = found
        self.tokenizer = tokenizer
        self.facts = TemplateFacts(Template(found, None, PROBE_BUDGET), tokenizer)
        self.template = self.facts.template
        self.program = self.template.program
        self.source: Source = self.program.source

    @property
    def probe(self) -> Prober:
        """The renderer of small conversations."""
        return self.facts.prober

    @cached_property
    def modes(self) -> tuple[ModeFacts, ...]:
        """The modes of the template that rules are checked in."""
        return modes_of(self.facts)

    @property
    def directory(self) -> ModelDirectory | None:
        """The model directory of the template, else that of the tokenizer."""
        return self.found.directory or getattr(self.tokenizer, "directory", None)

    @property
    def special_tokens(self) -> dict[str, str]:
        """The special tokens that are known, such as ``{"eos_token": "</s>"}``."""
        model = self.directory.tokens if self.directory is not None else {}
        own = {} if self.tokenizer is None else self.tokenizer.special_tokens
        known = {**own, **self.found.tokens, **model}
        return {name: token for name, token in known.items() if token is not None}

    def generated_turns(self) -> Iterator[tuple[Turn, tuple[int, int]]]:
        """Yield the assistant turns of `MASKED` that have a generated range, with that range."""
        if self.generation:
            for turn in self.probe.turns(*MASKED):
                if turn.generated is not None:
                    yield turn, turn.generated

    @cached_property
    def tokens(self) -> tuple[tuple[int, str, str], ...]:
        """The raw tokens as (offset, type, text)."""
        return tokens(self.source.text)

    @property
    def tree(self) -> Tree:
        """The syntax tree of the source."""
        return self.program.syntax

    @property
    def comments(self) -> list[Comment]:
        """The comments, in order."""
        return self.tree.nodes(Comment)

    @property
    def generation(self) -> tuple[Block, ...]:
        """The generation blocks."""
        return self.tree.blocks("generation")

    def at(self, offset: int, length: int = 1) -> Place:
        """Return a place in the source."""
        return Place(self.source, offset, offset + max(length, 1))

    def word(self, node: Node) -> Place:
        """Return the place of the name that a node is about: of a filter, a test, an attribute, a key, a string."""
        match node:
            case Attribute() | Filter() | Test():
                return self.at(node.name_start, len(node.name))
            case Call():
                return self.word(node.function)
            case Subscript():
                return self.word(node.index)
            case Constant(value=str()) if len(node.text) > 2:
                return Place(self.source, node.start + 1, node.end - 1)
        return self.place(node)

    def place(self, node: Node) -> Place:
        """Return the place of a node."""
        return Place(self.source, node.start, node.end)

    def top(self) -> Place:
        """Return the place of findings about the whole template: its first line that is not empty."""
        return blame.top(self.template)

    def line(self, number: int | None) -> Place:
        """Return the place of a line, counted from 1; of the top for None."""
        return blame.on_line(self.template, number)

    @cached_property
    def _without_comments(self) -> str:
        text = self.source.text
        for comment in self.comments:
            text = text[: comment.start] + " " * (comment.end - comment.start) + text[comment.end :]
        return text

    def first(self, *patterns: str) -> Place:
        """Return the first match, outside of comments, of the first pattern that has one; else the top."""
        for pattern in patterns:
            match = re.search(pattern, self._without_comments)
            if match is not None:
                return Place(self.source, match.start(), match.end())
        return self.top()

    def blame(self, rendering: Rendering, offset: int) -> Place:
        """Return the place in the template that wrote a character, as closely as it is known."""
        return blame.seen_at(rendering, offset)

    @cached_property
    def data(self) -> list[tuple[int, str]]:
        """The template's own text as (offset, text): the text between the tags, and string constants."""
        return [(offset, value) for offset, kind, value in self.tokens if kind in ("data", "string") and value]

    def reads(self, name: str) -> bool:
        """Return whether a tag contains this name as a variable, a key, an attribute or a string."""
        strings = (value[1:-1] for _, kind, value in self.tokens if kind == "string")
        return name in self.tree.names or name in strings
