"""The syntax tree of a template: everything that is written in its source, each with its exact place.

A `Tree` holds text, outputs, tags, blocks with their branches, comments and raw blocks. Expressions are parsed when
they are first asked for. The leaves of the tree, joined, are the source.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple, TypeAlias, TypeVar

from chattmpl.syntax.expressions import NoExpression, Parser, Token
from chattmpl.syntax.lexer import normalize_newlines, plain_delimiters, tokens
from chattmpl.syntax.nodes import Expression, Group, Invalid, List, Name, Node, Tuple

_Kind = TypeVar("_Kind", bound=Node)

DIALECT_TAGS = ("generation", "reasoning")
"""The tags with contents that the dialect adds to Jinja's."""

OPENING_TAGS = frozenset(
    {"for", "if", "macro", "call", "filter", "block", "autoescape", "with", "trans", *DIALECT_TAGS}
)
"""Tags that have an end tag; so has a ``set`` without ``=``."""

SCOPES = frozenset({"for", "macro", "call", "filter", "with", "block"})
"""Tags whose content is a scope: what is assigned inside is not seen outside."""

CAPTURING = frozenset({"macro", "call", "filter", "set"})
"""Tags whose content is not written where it stands."""

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


@dataclass(eq=False, slots=True)
class Text(Node):
    """Text that is written as it is, without what white space control takes away.

    Attributes:
        value: the text, with LF newlines.
        raw: whether it is in a raw block.
    """

    value: str
    raw: bool = False


@dataclass(eq=False, slots=True)
class Comment(Node):
    """``{# … #}``.

    Attributes:
        value: the text between the delimiters.
    """

    value: str


@dataclass(eq=False, slots=True)
class Delimited(Node):
    """Tag or output; either of its delimiters may have a sign that controls white space.

    Attributes:
        left, right: the signs: ``-``, ``+`` or nothing.
        tokens: the tokens between the delimiters, without white space.
        inner: character range between the delimiters, with white space.
    """

    left: str
    right: str
    tokens: tuple[Token, ...]
    inner: tuple[int, int]

    def _parsed(self, rule: Callable[[Parser], Sequence[Expression]], skip: int = 0) -> list[Expression]:
        """Parse the tokens with a rule, after skipping some; return one invalid node if they do not match."""
        tokens = self.tokens[skip:]
        parser = Parser(tokens, self.inner[1])
        try:
            found = list(rule(parser))
            parser.finish()
        except NoExpression:
            found = [Invalid(tokens[0][0], tokens[-1][0] + len(tokens[-1][2]))] if tokens else []
        for expression in found:
            expression.parent = self
        return found


@dataclass(eq=False, slots=True)
class Output(Delimited):
    """``{{ expression }}``."""

    _expression: list[Expression] | None = field(default=None, init=False, repr=False)

    @property
    def expression(self) -> Expression | None:
        """The expression that is written; None if there is nothing between the delimiters."""
        return self.children[0] if self.children else None

    @property
    def children(self) -> tuple[Expression, ...]:
        """The expression."""
        if self._expression is None:
            self._expression = self._parsed(lambda parser: [parser.sequence()])
        return tuple(self._expression)

    @property
    def operands(self) -> tuple[Expression, ...]:
        """The operands of ``+`` and ``~``, else the whole expression."""
        return self.expression.operands if self.expression is not None else ()


@dataclass(eq=False, slots=True)
class Tag(Delimited):
    """``{% name … %}``; delimiters may be those of authoring tools, as in ``<% generation %>``.

    Attributes:
        name: the first word: ``for``, ``endgeneration``.
    """

    name: str
    _clauses: dict[str, tuple[Expression, ...]] | None = field(default=None, init=False, repr=False)

    @property
    def body(self) -> str:
        """The text after the name, as written."""
        start, end = self.inner
        return self.source[start:end].strip()[len(self.name) :].strip()

    @property
    def opens(self) -> bool:
        """Whether it is a tag that has an end tag."""
        return self.name in OPENING_TAGS or (self.name == "set" and not self._has_assignment())

    @property
    def block(self) -> Block | None:
        """The block that the tag opens."""
        branch = self.parent
        opens = isinstance(branch, Branch) and isinstance(branch.parent, Block) and branch.parent.opening is self
        return branch.parent if opens else None  # type: ignore[union-attr, return-value]

    @property
    def closes(self) -> bool:
        """Whether it is an end tag."""
        return self.name.startswith("end")

    def rewritten(self, words: str) -> str:
        """Return the tag with other words between the same delimiters."""
        return f"{{%{self.left} {words} {self.right}%}}"

    # -- expressions

    @property
    def children(self) -> tuple[Expression, ...]:
        """The expressions of the tag."""
        return tuple(expression for clause in self.clauses.values() for expression in clause)

    @property
    def clauses(self) -> dict[str, tuple[Expression, ...]]:
        """The expressions of the tag, by their role; see the properties for the roles."""
        if self._clauses is None:
            self._clauses = _clauses(self)
        return self._clauses

    def _one(self, role: str) -> Expression | None:
        found = self.clauses.get(role)
        return found[0] if found else None

    @property
    def target(self) -> Expression | None:
        """The target that ``set`` or ``for`` assigns, or the name that ``macro`` or ``block`` defines."""
        return self._one("target")

    @property
    def targets(self) -> tuple[str, ...]:
        """The variables that the tag assigns, in order, without attributes of namespaces."""
        found = (clause for role, clause in self.clauses.items() if role.startswith("target"))
        return tuple(name.name for clause in found for target in clause for name in assigned_names(target))

    @property
    def value(self) -> Expression | None:
        """The value that ``set`` assigns, ``for`` iterates over, ``if`` or ``elif`` tests, or ``call`` calls."""
        return self._one("value")

    @property
    def condition(self) -> Expression | None:
        """The ``if`` of a ``for``."""
        return self._one("condition")

    @property
    def parameters(self) -> tuple[Expression, ...]:
        """The parameters of a macro or a call block: names, and keywords for those with a default."""
        return self.clauses.get("parameters", ())

    def _has_assignment(self) -> bool:
        depth = 0
        for _, kind, value in self.tokens:
            if kind == "operator":
                depth += (value in "([{") - (value in ")]}")
                if value == "=" and not depth:
                    return True
        return False


@dataclass(eq=False, slots=True)
class Branch(Node):
    """A part of a block, from its tag to the next one: ``{% if a %}…``, ``{% else %}…``.

    Attributes:
        tag: the tag that it begins with.
        body: what follows the tag.
    """

    tag: Tag
    body: list[Item] = field(default_factory=list)

    @property
    def children(self) -> tuple[Node, ...]:
        """The tag and what follows it."""
        return self.tag, *self.body


@dataclass(eq=False, slots=True)
class Block(Node):
    """A tag with contents, up to its end tag.

    Attributes:
        branches: the first begins with the opening tag.
        closing: the end tag.
    """

    branches: list[Branch]
    closing: Tag

    @property
    def opening(self) -> Tag:
        """The opening tag."""
        return self.branches[0].tag

    @property
    def name(self) -> str:
        """The name of the opening tag."""
        return self.branches[0].tag.name

    @property
    def bodies(self) -> list[list[Item]]:
        """The contents of the branches."""
        return [branch.body for branch in self.branches]

    @property
    def otherwise(self) -> Branch | None:
        """The ``else`` branch."""
        last = self.branches[-1]
        return last if last.tag.name == "else" else None

    @property
    def children(self) -> tuple[Node, ...]:
        """The branches and the end tag."""
        return *self.branches, self.closing

    @property
    def blocks(self) -> Iterator[Block]:
        """The blocks around this one, the innermost first."""
        return (node for node in self.parents if isinstance(node, Block))

    @property
    def tags(self) -> list[Tag]:
        """The tags inside, in order."""
        return [tag for tag in self.tree.tags if self.opening.end <= tag.start and tag.end <= self.closing.start]

    @property
    def jumps(self) -> list[Tag]:
        """The ``break`` and ``continue`` tags inside that leave a loop around the block."""
        found = []
        for tag in self.tags:
            if tag.name in ("break", "continue"):
                around = (node for node in tag.parents if isinstance(node, Block) and node.name == "for")
                if not any(self.start <= loop.start for loop in around):
                    found.append(tag)
        return found

    @property
    def tree(self) -> Tree:
        """The tree that the block is a part of."""
        return next(node for node in self.parents if isinstance(node, Tree))


@dataclass(eq=False, slots=True)
class Raw(Node):
    """``{% raw %}…{% endraw %}``; its two tags are not among the tags of the tree."""

    parts: tuple[Tag | Text, ...]

    @property
    def children(self) -> tuple[Tag | Text, ...]:
        """The two tags and the text between them, if there is any."""
        return self.parts


Item: TypeAlias = Text | Output | Tag | Block | Comment | Raw
"""Item in the body of a tree or of a branch."""


class Tree(Node):
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
        """Return the item around an offset, the tags of blocks among them; None for white space that is trimmed."""
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

    def leaves_of(self, node: Node) -> tuple[Leaf, ...]:
        """Return the leaves of a node."""
        first = bisect.bisect_left(self.leaves, (node.start,))
        last = bisect.bisect_left(self.leaves, (node.end,))
        return self.leaves[first:last]


@lru_cache(maxsize=64)
def parse(source: str) -> Tree:
    """Parse a source in the dialect, or in plain Jinja.

    Tags that close nothing, and tags that are never closed, stand in the tree as tags without contents.

    Raises:
        TemplateSyntaxError: for what Jinja's lexer does not accept.
    """
    return Tree(source)


def items(body: Sequence[Item]) -> Iterator[Item]:
    """Iterate over the items of a body and of the blocks in it, a block before its contents."""
    # A stack, since templates may nest deeper than Python recurses.
    bodies = [iter(body)]
    while bodies:
        item = next(bodies[-1], None)
        if item is None:
            bodies.pop()
            continue
        yield item
        if isinstance(item, Block):
            bodies += [iter(branch.body) for branch in reversed(item.branches)]


def assignments(body: Sequence[Item]) -> Iterator[Name]:
    """Iterate over the variables that a body assigns, and the macros that it defines, for what follows it.

    What is assigned in a scope inside, such as that of a loop or of a generation tag, is lost at its end.
    """
    for item in body:
        tag = item.opening if isinstance(item, Block) else item
        if isinstance(tag, Tag) and tag.name in ("set", "macro", "import", "from"):
            for target in tag.clauses.get("target", ()):
                yield from assigned_names(target)
        elif isinstance(item, Block) and item.name not in SCOPES and item.name != "generation":
            for branch in item.branches:
                yield from assignments(branch.body)


def exclusive(one: Node, other: Node) -> bool:
    """Return whether two nodes are in different branches of a condition, so that only one of them is reached."""
    branches = {id(node.parent): node for node in one.parents if isinstance(node, Branch)}
    return any(
        isinstance(node, Branch) and branches.get(id(node.parent), node) is not node and _is_condition(node.parent)
        for node in other.parents
    )


def _is_condition(node: Node | None) -> bool:
    return isinstance(node, Block) and node.name == "if"


def assigned_names(target: Node) -> Iterator[Name]:
    """Iterate over the variables that an assignment to a target sets; attributes of a namespace are none."""
    if isinstance(target, Name):
        yield target
    elif isinstance(target, (Tuple, List, Group)):
        for child in target.children:
            yield from assigned_names(child)


# -- tokens


_Located: TypeAlias = tuple[int, str, str, int]
"""Offset, kind, text and end of a token."""


def _located(source: str) -> list[_Located]:
    """Return the tokens of a source with their range in it, where Jinja's newlines are LF."""
    found = tokens(plain_delimiters(source if "\r" not in source else normalize_newlines(source)))
    if "\r\n" not in source:
        return [(offset, kind, value, offset + len(value)) for offset, kind, value in found]
    # In front of each LF that was a CRLF, one character more stands in the source.
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
        """Iterate over the items, the tags of blocks among them."""
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
    for item in flat:
        if not isinstance(item, Tag):
            continue
        if not item.closes:
            if item.name not in _BRANCHES and (item.name != "set" or item.opens):
                waiting.append(item)
        elif any(tag.name == item.name[3:] for tag in waiting):
            while (tag := waiting.pop()).name != item.name[3:]:
                pass
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


# -- the expressions of a tag


def _clauses(tag: Tag) -> dict[str, tuple[Expression, ...]]:
    rule = _RULES.get(tag.name)
    if rule is None:
        return {}
    found: dict[str, tuple[Expression, ...]] = {}

    def parsed(parser: Parser) -> Sequence[Expression]:
        found.update({role: tuple(clause) for role, clause in rule(parser).items()})
        return [expression for clause in found.values() for expression in clause]

    everything = tag._parsed(parsed, skip=1)
    if everything and isinstance(everything[0], Invalid):
        return {"invalid": tuple(everything)}
    return found


_Rule: TypeAlias = Callable[[Parser], dict[str, Sequence[Expression]]]


def _for(parser: Parser) -> dict[str, Sequence[Expression]]:
    target = parser.target()
    parser.expect("in")
    clauses: dict[str, Sequence[Expression]] = {
        "target": [target],
        "value": [parser.sequence(conditional=False, end="recursive")],
    }
    if parser.skip("if"):
        clauses["condition"] = [parser.expression()]
    parser.skip("recursive")
    return clauses


def _test(parser: Parser) -> dict[str, Sequence[Expression]]:
    return {"value": [parser.sequence(conditional=False)]}


def _set(parser: Parser) -> dict[str, Sequence[Expression]]:
    target = parser.target()
    if parser.skip("="):
        return {"target": [target], "value": [parser.sequence()]}
    return {"target": [target], "filter": [parser.filter(None)] if parser.skip("|") else []}


def _macro(parser: Parser) -> dict[str, Sequence[Expression]]:
    return {"target": [_name(parser)], "parameters": parser.parameters()}


def _call(parser: Parser) -> dict[str, Sequence[Expression]]:
    parameters = parser.parameters() if parser.value == "(" else ()
    return {"parameters": parameters, "value": [parser.expression()]}


def _filter(parser: Parser) -> dict[str, Sequence[Expression]]:
    return {"filter": [parser.filter(None)]}


def _with(parser: Parser) -> dict[str, Sequence[Expression]]:
    """``with`` is the one tag whose roles alternate, so that its clauses are numbered."""
    found: dict[str, Sequence[Expression]] = {}
    while parser.kind:
        if found:
            parser.expect(",")
        target = parser.target()
        parser.expect("=")
        number = len(found) // 2
        found[f"target{number}"] = [target]
        found[f"value{number}"] = [parser.expression()]
    return found


def _block(parser: Parser) -> dict[str, Sequence[Expression]]:
    name = _name(parser)
    while parser.skip("scoped") or parser.skip("required"):
        pass
    return {"target": [name]}


def _template(parser: Parser) -> dict[str, Sequence[Expression]]:
    """Parse the template that is extended, included or imported; its names are those that are imported."""
    found: dict[str, Sequence[Expression]] = {"value": [parser.expression()]}
    names: list[Expression] = []
    while parser.kind:
        if parser.skip("as") and names:
            names.pop()
        elif parser.skip("with", "context") or parser.skip("without", "context") or parser.skip("ignore", "missing"):
            continue
        elif not (parser.skip("import") or parser.skip(",")):
            names.append(_name(parser))
    return {**found, "target": names}


def _value(parser: Parser) -> dict[str, Sequence[Expression]]:
    return {"value": [parser.expression()]}


def _name(parser: Parser) -> Name:
    start = parser.start
    name = parser.name()
    return Name(start, start + len(name), name)


_RULES: dict[str, _Rule] = {
    "for": _for,
    "if": _test,
    "elif": _test,
    "set": _set,
    "macro": _macro,
    "call": _call,
    "filter": _filter,
    "with": _with,
    "block": _block,
    "extends": _template,
    "include": _template,
    "import": _template,
    "from": _template,
    "autoescape": _value,
    "print": lambda parser: {"value": [parser.sequence()]},
}
