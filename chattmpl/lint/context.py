"""The context of a lint rule: one template, its tokens, tree and facts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any, TypeVar

import jinja2.nodes

from chattmpl.compiler.codegen import targets
from chattmpl.probing.facts import TemplateFacts
from chattmpl.probing.prober import PROBE_BUDGET, Prober, Turn
from chattmpl.source import Place, Source
from chattmpl.syntax.lexer import Line, tokens
from chattmpl.syntax.tree import Block, Tag
from chattmpl.template import blame
from chattmpl.template.resolver import Found
from chattmpl.template.template import Rendering, Template

_Node = TypeVar("_Node", bound=jinja2.nodes.Node)

_LEAVES = tuple(
    kind
    for kind in vars(jinja2.nodes).values()
    if isinstance(kind, type) and issubclass(kind, jinja2.nodes.Node)
    if not kind.__subclasses__()
)

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

    def __init__(self, found: Found, tokenizer: Any = None) -> None:
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

    @cached_property
    def comments(self) -> list[tuple[int, str]]:
        """The comments, as (offset of the opening delimiter, text)."""
        found, start = [], 0
        for offset, kind, value in self.tokens:
            if kind == "comment_begin":
                start = offset
            elif kind == "comment":
                found.append((start, value))
        return found

    @property
    def tags(self) -> tuple[Tag, ...]:
        """The block tags, in order."""
        return tuple(self.program.syntax.tags)

    @property
    def generation(self) -> tuple[Block, ...]:
        """The generation blocks."""
        return self.program.syntax.blocks("generation")

    @cached_property
    def tree(self) -> jinja2.nodes.Template:
        """The syntax tree, with reasoning tags lowered."""
        return self.program.tree

    def nodes(self, kind: type[_Node]) -> Iterator[_Node]:
        """Yield the nodes of a kind in the order of the tree."""
        if kind in self._by_kind:
            return iter(self._by_kind[kind])  # type: ignore[arg-type]
        return (node for node in self.program.every_node if isinstance(node, kind))

    @cached_property
    def _by_kind(self) -> dict[type[jinja2.nodes.Node], list[jinja2.nodes.Node]]:
        """The nodes of each kind without subclasses."""
        found: dict[type[jinja2.nodes.Node], list[jinja2.nodes.Node]] = {kind: [] for kind in _LEAVES}
        for node in self.program.every_node:
            if type(node) in found:
                found[type(node)].append(node)
        return found

    @cached_property
    def assigned(self) -> list[tuple[str, jinja2.nodes.Node]]:
        """The variables that the template sets, each with the node that sets it."""
        nodes = [
            node
            for node in self.program.every_node
            if isinstance(node, (jinja2.nodes.Assign, jinja2.nodes.AssignBlock))
        ]
        return [(name, node) for node in nodes for name in targets(node.target)]

    @cached_property
    def variables(self) -> frozenset[str]:
        """The variables that can be passed to the template."""
        return self.program.variables

    @cached_property
    def literals(self) -> tuple[str, ...]:
        """The template's own text: the text between its tags, and its string constants."""
        return self.program.literals

    def offset(self, node: jinja2.nodes.Node) -> int:
        """Return the offset of a node in the source; of an expression, that of its operator."""
        line = node.lineno
        if isinstance(line, Line):
            return self.program.lowered.source_offset(line.offset)
        return -1 if line is None else self.source.line_offset(line)

    def at(self, offset: int, length: int = 1) -> Place:
        """Return a place in the source."""
        return Place(self.source, offset, offset + max(length, 1))

    def word(self, node: jinja2.nodes.Node, word: str) -> Place:
        """Return the place of the first such word after the offset of a node, else of the node."""
        start = self.offset(node)
        found = self.source.text.find(word, start, start + 400)
        return self.at(start, 1) if found < 0 or not word else self.at(found, len(word))

    def tag(self, tag: Tag) -> Place:
        """Return the place of a tag."""
        return Place(self.source, tag.start, tag.end)

    def top(self) -> Place:
        """Return the place for what concerns the whole template: its first line that is not empty."""
        return blame.top(self.template)

    def line(self, number: int | None) -> Place:
        """Return the place of a line, counted from 1; of the top for None."""
        return blame.on_line(self.template, number)

    @cached_property
    def _without_comments(self) -> str:
        text = self.source.text
        for start, comment in self.comments:
            end = text.index(comment, start) + len(comment)
            text = text[:start] + " " * (end - start) + text[end:]
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
        return name in self.program.syntax.names or name in strings


def shown(text: str, width: int = 48) -> str:
    """Return a text on one line, in quotes, cut at ``width`` characters."""
    quoted = repr(text)
    return quoted if len(quoted) <= width else f"{quoted[:width]}…"
