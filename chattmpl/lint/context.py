"""What a rule looks at: one template, its tokens and tree, and what it renders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any, TypeVar

import jinja2.nodes

from chattmpl.budget import Budget
from chattmpl.compiler.codegen import targets
from chattmpl.lint.probe import Probe
from chattmpl.source import Place, Source
from chattmpl.syntax.lexer import Line, tokens
from chattmpl.syntax.tree import Block, Tag
from chattmpl.template import blame
from chattmpl.template.resolver import Found
from chattmpl.template.special_tokens import PLACEHOLDERS
from chattmpl.template.template import Rendering, Template

_Node = TypeVar("_Node", bound=jinja2.nodes.Node)

_LEAVES = tuple(
    kind
    for kind in vars(jinja2.nodes).values()
    if isinstance(kind, type) and issubclass(kind, jinja2.nodes.Node)
    if not kind.__subclasses__()
)

_BUDGET = Budget(steps=100_000, characters=1 << 16)
"""For one probe, which has a hundred words."""


class Subject:
    """A template that compiled.

    Attributes:
        found: its source, with what was found beside it.
        template: compiled, with special tokens that it may ask for.
        source: what places point into: the source with LF newlines.
        probe: what is rendered; a rule that is checked in a mode finds that of the mode here.
        modes: once they are known, those that `chattmpl.lint.modes` found.
        tokenizer: a tokenizer as `chattmpl.encode.load_tokenizer` returns it, or None.
    """

    def __init__(self, found: Found, tokenizer: Any = None) -> None:
        self.found = found
        given = found.tokens or PLACEHOLDERS
        self.template = Template(Found(found.source, {**PLACEHOLDERS, **given}, found.family), None, _BUDGET)
        self.program = self.template.program
        self.source: Source = self.program.source
        self.tokenizer = tokenizer
        self.probe = Probe(self.template)
        self.modes: tuple[Any, ...] | None = None

    @cached_property
    def tokens(self) -> tuple[tuple[int, str, str], ...]:
        """All raw tokens as (offset, type, text)."""
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
        """The nodes of a kind, in the order of the tree."""
        if kind in self._by_kind:
            return iter(self._by_kind[kind])  # type: ignore[arg-type]
        return (node for node in self.program.every_node if isinstance(node, kind))

    @cached_property
    def _by_kind(self) -> dict[type[jinja2.nodes.Node], list[jinja2.nodes.Node]]:
        """The nodes of the kinds that have no kinds below them."""
        found: dict[type[jinja2.nodes.Node], list[jinja2.nodes.Node]] = {kind: [] for kind in _LEAVES}
        for node in self.program.every_node:
            if type(node) in found:
                found[type(node)].append(node)
        return found

    @cached_property
    def assigned(self) -> list[tuple[str, jinja2.nodes.Node]]:
        """The variables that are set anywhere, each with the node that sets it."""
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
        """The template's own text: what stands between its tags, and its string constants."""
        return self.program.literals

    def offset(self, node: jinja2.nodes.Node) -> int:
        """The offset of a node in the source; for an expression, that of its operator."""
        line = node.lineno
        if isinstance(line, Line):
            return self.program.lowered.source_offset(line.offset)
        return -1 if line is None else self.source.line_offset(line)

    def at(self, offset: int, length: int = 1) -> Place:
        """A place of the source."""
        return Place(self.source, offset, offset + max(length, 1))

    def word(self, node: jinja2.nodes.Node, word: str) -> Place:
        """The place of a word that belongs to a node: the next one behind its offset, else the offset."""
        start = self.offset(node)
        found = self.source.text.find(word, start, start + 400)
        return self.at(start, 1) if found < 0 or not word else self.at(found, len(word))

    def tag(self, tag: Tag) -> Place:
        """The place of a tag."""
        return Place(self.source, tag.start, tag.end)

    def top(self) -> Place:
        """The place of what concerns the whole template: its first line that is not empty."""
        return blame.top(self.template)

    def line(self, number: int | None) -> Place:
        """A line, from 1; None for the top of the template."""
        return blame.on_line(self.template, number)

    @cached_property
    def _without_comments(self) -> str:
        text = self.source.text
        for start, comment in self.comments:
            end = text.index(comment, start) + len(comment)
            text = text[:start] + " " * (end - start) + text[end:]
        return text

    def first(self, *patterns: str) -> Place:
        """The place of the first match of the first pattern that matches outside of comments, else the top."""
        for pattern in patterns:
            match = re.search(pattern, self._without_comments)
            if match is not None:
                return Place(self.source, match.start(), match.end())
        return self.top()

    def blame(self, rendering: Rendering, offset: int) -> Place:
        """The place in the template that wrote a character of a rendering, as closely as it is known."""
        return blame.seen_at(rendering, offset)

    @cached_property
    def data(self) -> list[tuple[int, str]]:
        """The template's own text as (offset, text): what stands between the tags, and string constants."""
        return [(offset, value) for offset, kind, value in self.tokens if kind in ("data", "string") and value]

    def reads(self, name: str) -> bool:
        """Whether a variable, a key or an attribute of this name stands in a tag, or in a string of one."""
        strings = (value[1:-1] for _, kind, value in self.tokens if kind == "string")
        return name in self.program.syntax.names or name in strings
