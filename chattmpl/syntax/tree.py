"""The syntax tree of a template: everything that is written in its source, each with its exact place.

A `Tree` holds text, outputs, tags, blocks with their branches, comments and raw blocks. Expressions are parsed when
they are first asked for. The leaves of the tree, joined, are the source.
"""

import bisect
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple, TypeAlias, TypeVar

from chattmpl.syntax.expressions import Token
from chattmpl.syntax.items import Block, Branch, Comment, Item, Output, Raw, Root, Tag, Text, assigned_names, items
from chattmpl.syntax.lexer import normalize_newlines, plain_delimiters, tokens
from chattmpl.syntax.nodes import Name, Node

_Kind = TypeVar("_Kind", bound=Node)

_BRANCHES = frozenset({"else", "elif"})
_ENDS = {"variable_begin": "variable_end", "block_begin": "block_end", "comment_begin": "comment_end"}
DELIMITERS = frozenset({*_ENDS, *_ENDS.values(), "raw_begin", "raw_end"})


class Leaf(NamedTuple):
    """A token of the source, or white space that is not written.

    Attributes:
        start, end: half-open range in the source, in characters.
        kind: the kind of token, as Jinja names it; ``trimmed`` for white space that white space control takes away.
    """

    start: int
    end: int
    kind: str


class Tree(Root):
    """Syntax tree of a source; built by `parse`.

    Attributes:
        body: the items at the root.
        flat: all items but blocks, in the order of the source; the tags of blocks are among them.
        tags: all tags in order, those of raw blocks left out.
    """

    def __init__(self, source: str) -> None:
        super().__init__(0, len(source))
        self._source = source
        self._tokens = _located(source)
        self.flat = tuple(_Builder(self._tokens).items())
        self.tags = [item for item in self.flat if isinstance(item, Tag)]
        self.body = _nested(self.flat)
        for item in self.body:
            item.parent = self

    @property
    def source(self) -> str:
        """The source."""
        return self._source

    @property
    def children(self) -> tuple[Node, ...]:
        """The items at the root."""
        return tuple(self.body)

    @cached_property
    def everything(self) -> tuple[Node, ...]:
        """All nodes, in the order of the source, outer nodes first."""
        return tuple(self.walk())

    def nodes(self, kind: type[_Kind]) -> list[_Kind]:
        """Return all nodes of a class, without those of its subclasses, in the order of the source."""
        return self._by_kind.get(kind, [])  # type: ignore[return-value]

    @cached_property
    def _by_kind(self) -> dict[type[Node], list[Node]]:
        found: dict[type[Node], list[Node]] = {}
        for node in self.everything:
            found.setdefault(type(node), []).append(node)
        return found

    def blocks(self, name: str) -> tuple[Block, ...]:
        """Return the blocks of a name, in the order of the source."""
        return tuple(item for item in self.items if isinstance(item, Block) and item.name == name)

    @cached_property
    def words(self) -> tuple[tuple[int, str], ...]:
        """The words in tags and expressions (tags, variables, attributes, filters, operators), with their offsets."""
        return tuple((offset, value) for offset, kind, value, _ in self._tokens if kind == "name")

    @cached_property
    def names(self) -> frozenset[str]:
        """The different words in tags and expressions."""
        return frozenset(word for _, word in self.words)

    @cached_property
    def items(self) -> tuple[Item, ...]:
        """All items of all bodies, in the order of the source, a block before its contents."""
        return tuple(items(self.body))

    @cached_property
    def variables(self) -> tuple[Name, ...]:
        """The names that read or assign variables, in source order."""
        return tuple(self.nodes(Name))

    @cached_property
    def assigned(self) -> tuple[Name, ...]:
        """The names that ``set`` assigns, in source order."""
        tags = (tag for tag in self.tags if tag.name == "set" and tag.target is not None)
        return tuple(name for tag in tags if tag.target is not None for name in assigned_names(tag.target))

    @cached_property
    def read(self) -> dict[str, list[Name]]:
        """The names that read each variable, in source order, without targets of assignments."""
        targets = {
            name
            for tag in self.tags
            for role, clause in tag.clauses.items()
            if role.startswith("target") or role == "parameters"
            for target in clause
            for name in (target.find(Name) if role != "parameters" else assigned_names(target))
        }
        found: dict[str, list[Name]] = {}
        for name in self.variables:
            if name not in targets:
                found.setdefault(name.name, []).append(name)
        return found

    def read_after(self, name: str, end: int) -> Name | None:
        """Return the first read of a variable after an offset, unless it is assigned again in between."""
        assigned = [other.start for other in self.assigned if other.name == name]
        for use in self.read.get(name, ()):
            if use.start > end and not any(end < other <= use.start for other in assigned):
                return use
        return None

    def item_at(self, offset: int) -> Item | None:
        """Return the item around an offset, which may be a tag of a block; None for white space that is trimmed."""
        index = bisect.bisect_right(self.flat, offset, key=lambda item: item.start) - 1
        return self.flat[index] if index >= 0 and offset < self.flat[index].end else None

    def at(self, offset: int) -> Node:
        """Return the innermost node around an offset."""
        node: Node = self
        while True:
            inner = next((child for child in node.children if child.start <= offset < child.end), None)
            if inner is None:
                return node
            node = inner

    # -- leaves

    @cached_property
    def leaves(self) -> tuple[Leaf, ...]:
        """The tokens of the source and the white space between them; their texts, joined, are the source."""
        return tuple(_leaves(self._tokens, self._source))


@lru_cache(maxsize=64)
def parse(source: str) -> Tree:
    """Parse a source in the dialect, or in plain Jinja.

    Tags that close nothing, and tags that are never closed, are in the tree as tags without contents.

    Raises:
        TemplateSyntaxError: for what Jinja's lexer does not accept.
    """
    return Tree(source)


# -- tokens


_Located: TypeAlias = tuple[int, str, str, int]
"""Offset, kind, text and end of a token."""


def _located(source: str) -> list[_Located]:
    """Return the tokens of a source with their range in it, where Jinja's newlines are LF."""
    found = tokens(plain_delimiters(source if "\r" not in source else normalize_newlines(source)))
    if "\r\n" not in source:
        return [(offset, kind, value, offset + len(value)) for offset, kind, value in found]
    # In front of each LF that was a CRLF, there is one more character in the source.
    shifts = [match.start() - number for number, match in enumerate(re.finditer("\r\n", source))]

    def shifted(offset: int) -> int:
        return offset + bisect.bisect_left(shifts, offset)

    return [(shifted(offset), kind, value, shifted(offset + len(value))) for offset, kind, value in found]


def _leaves(located: list[_Located], source: str) -> Iterator[Leaf]:
    position = 0
    for start, kind, value, end in located:
        if kind in DELIMITERS:
            # A delimiter takes white space with it.
            text = source[start:end]
            start, end = start + len(text) - len(text.lstrip()), end - len(text) + len(text.rstrip())
        if position < start:
            yield Leaf(position, start, "trimmed")
        if value:
            yield Leaf(start, end, kind)
        position = end
    if position < len(source):
        yield Leaf(position, len(source), "trimmed")


class _Builder:
    """Reader of the tokens of a source."""

    def __init__(self, located: list[_Located]) -> None:
        self._tokens = iter(located)

    def items(self) -> Iterator[Item]:
        """Yield the items, including the tags of blocks."""
        for start, kind, value, end in self._tokens:
            if kind == "data":
                if value:
                    yield Text(start, end, value)
            elif kind == "variable_begin":
                yield self._output(start, value)
            elif kind == "block_begin":
                yield self._tag(start, value)
            elif kind == "comment_begin":
                yield self._comment(start, end)
            elif kind == "raw_begin":
                yield self._raw(start, value)

    def _inside(self, end_kind: str, last: int) -> tuple[tuple[Token, ...], int, int, str]:
        """Return the tokens up to a closing delimiter, where it begins and ends, and its sign.

        Jinja's lexer lets a source end inside of a tag, which its parser then refuses.
        """
        inside: list[Token] = []
        for start, kind, value, end in self._tokens:
            if kind == end_kind:
                sign = value[0] if value[0] in "-+" else ""
                return tuple(inside), start, start + len(value.rstrip()), sign
            if kind != "whitespace":
                inside.append((start, kind, value))
            last = end
        return tuple(inside), last, last, ""

    def _output(self, start: int, opening: str) -> Output:
        inside, inner_end, end, sign = self._inside("variable_end", start + len(opening))
        return Output(start, end, opening[2:3], sign, inside, (start + len(opening), inner_end))

    def _tag(self, start: int, opening: str) -> Tag:
        inside, inner_end, end, sign = self._inside("block_end", start + len(opening))
        name = inside[0][2] if inside else ""
        return Tag(start, end, opening[2:3], sign, inside, (start + len(opening), inner_end), name)

    def _comment(self, start: int, opened: int) -> Comment:
        inside, _, end, _ = self._inside("comment_end", opened)
        return Comment(start, end, "".join(value for _, _, value in inside))

    def _raw(self, start: int, value: str) -> Raw:
        children: list[Tag | Text] = [_raw_tag(start, value, "raw")]
        for at, kind, text, after in self._tokens:
            if kind == "raw_end":
                children.append(_raw_tag(at, text, "endraw"))
                break
            if text:
                children.append(Text(at, after, text, raw=True))
        found = Raw(start, children[-1].end, tuple(children))
        for child in children:
            child.parent = found
        return found


def _raw_tag(start: int, value: str, name: str) -> Tag:
    start += len(value) - len(value.lstrip())
    value = value.strip()
    left = value[2] if value[2] in "-+" else ""
    right = value[-3] if value[-3] in "-+" else ""
    inner = (start + 2 + len(left), start + len(value) - 2 - len(right))
    return Tag(start, start + len(value), left, right, ((value.index(name) + start, "name", name),), inner, name)


def _nested(flat: Sequence[Item]) -> list[Item]:
    """Return the items at the root, with the others in the blocks that hold them."""
    closers = _closers(flat)
    root: list[Item] = []
    stack: list[tuple[Block | None, list[Item]]] = [(None, root)]
    for item in flat:
        block, body = stack[-1]
        if not isinstance(item, Tag):
            body.append(item)
        elif item in closers:
            closing = closers[item]
            branch = Branch(item.start, item.end, item)
            stack.append((Block(item.start, closing.end, [branch], closing), branch.body))
        elif block is not None and item is block.closing:
            stack.pop()
            _finish(block)
            stack[-1][1].append(block)
        elif block is not None and item.name in _BRANCHES:
            branch = Branch(item.start, item.end, item)
            block.branches.append(branch)
            stack[-1] = (block, branch.body)
        else:
            body.append(item)
    return root


def _closers(flat: Sequence[Item]) -> dict[Tag, Tag]:
    """Return the end tag of each tag that has one."""
    found: dict[Tag, Tag] = {}
    waiting: list[Tag] = []
    names: Counter[str] = Counter()
    for item in flat:
        if not isinstance(item, Tag):
            continue
        if not item.closes:
            if item.name not in _BRANCHES and (item.name != "set" or item.opens):
                waiting.append(item)
                names[item.name] += 1
        elif names[item.name[3:]]:
            tag = None
            while tag is None or tag.name != item.name[3:]:
                tag = waiting.pop()
                names[tag.name] -= 1
            found[tag] = item
    return found


def _finish(block: Block) -> None:
    """Set the ranges of the branches and the parents, which are known at the end of a block."""
    edges = [*(branch.tag.start for branch in block.branches[1:]), block.closing.start]
    for branch, edge in zip(block.branches, edges, strict=True):
        last = branch.body[-1].end if branch.body else branch.tag.end
        branch.end = min(max(last, branch.tag.end), edge)
        branch.parent = block
        for child in branch.children:
            child.parent = branch
    block.closing.parent = block
