"""The items of a template: text, outputs, tags, blocks with their branches, comments and raw blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from chattmpl.syntax.clauses import RULES
from chattmpl.syntax.expressions import ExpressionParser, NoExpression, Token
from chattmpl.syntax.nodes import Expression, Group, Invalid, List, Name, Node, Tuple

DIALECT_TAGS = ("generation", "reasoning")
"""The tags with contents that the dialect adds to Jinja's."""

OPENING_TAGS = frozenset(
    {"for", "if", "macro", "call", "filter", "block", "autoescape", "with", "trans", *DIALECT_TAGS}
)
"""Tags that have an end tag; so has a ``set`` without ``=``."""

SCOPES = frozenset({"for", "macro", "call", "filter", "with", "block"})
"""Tags whose content is a scope: assignments inside are not visible outside."""

CAPTURING = frozenset({"macro", "call", "filter", "set"})
"""Tags whose content is not written in its place."""


@dataclass(eq=False, slots=True)
class Text(Node):
    """Text that is written unchanged, without the white space that white space control removes.

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

    def _parsed(self, rule: Callable[[ExpressionParser], Sequence[Expression]], skip: int = 0) -> list[Expression]:
        """Parse the tokens with a rule, after skipping some; return one invalid node if they do not match."""
        tokens = self.tokens[skip:]
        parser = ExpressionParser(tokens, self.inner[1])
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
        body: the items after the tag.
    """

    tag: Tag
    body: list[Item] = field(default_factory=list)

    @property
    def children(self) -> tuple[Node, ...]:
        """The tag and the items after it."""
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
    def tree(self) -> Root:
        """The tree that the block is a part of."""
        return next(node for node in self.parents if isinstance(node, Root))

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


@dataclass(eq=False, slots=True)
class Raw(Node):
    """``{% raw %}…{% endraw %}``; its two tags are not among the tags of the tree."""

    parts: tuple[Tag | Text, ...]

    @property
    def children(self) -> tuple[Tag | Text, ...]:
        """The two tags and the text between them, if there is any."""
        return self.parts


class Root(Node):
    """The root of a tree, as its items see it; see `chattmpl.syntax.tree.Tree`.

    Attributes:
        tags: all tags in order, those of raw blocks left out.
    """

    tags: list[Tag]

    @property
    def words(self) -> tuple[tuple[int, str], ...]:
        """The names in tags and outputs, with their offsets."""
        raise NotImplementedError


Item: TypeAlias = Text | Output | Tag | Block | Comment | Raw
"""Item in the body of a tree or of a branch."""


def _clauses(tag: Tag) -> dict[str, tuple[Expression, ...]]:
    rule = RULES.get(tag.name)
    if rule is None:
        return {}
    found: dict[str, tuple[Expression, ...]] = {}

    def parsed(parser: ExpressionParser) -> Sequence[Expression]:
        found.update({role: tuple(clause) for role, clause in rule(parser).items()})
        return [expression for clause in found.values() for expression in clause]

    everything = tag._parsed(parsed, skip=1)
    if everything and isinstance(everything[0], Invalid):
        return {"invalid": tuple(everything)}
    return found


def items(body: Sequence[Item]) -> Iterator[Item]:
    """Yield the items of a body and of the blocks in it, a block before its contents."""
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
    """Yield the variables that a body assigns, and the macros that it defines, which the code after it can read.

    Assignments in an inner scope, such as that of a loop or of a generation tag, are lost at its end.
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
    """Yield the variables that an assignment to a target sets; attributes of a namespace are none."""
    if isinstance(target, Name):
        yield target
    elif isinstance(target, (Tuple, List, Group)):
        for child in target.children:
            yield from assigned_names(child)
