"""Nodes of the syntax tree: a range of the source each, with parent and children.

Expressions have the structure of Jinja's own syntax tree, with two differences: parentheses are nodes, and a chain of
``and`` or ``or`` is one node.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from chattmpl.syntax.edits import Edit

if TYPE_CHECKING:
    Constants: TypeAlias = str | int | float | bool | None

_Kind = TypeVar("_Kind", bound="Node")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = frozenset("\nnrtabfv\\'\"01234567xuUN")


@dataclass(eq=False, slots=True)
class Node:
    """A node of the tree.

    Attributes:
        start, end: half-open range in the source, in characters, without white space around it.
        parent: the node around it; None for the root.
    """

    start: int
    end: int
    parent: Node | None = field(default=None, init=False, repr=False)

    @property
    def children(self) -> tuple[Node, ...]:
        """The nodes directly inside, in the order of the source."""
        return ()

    @property
    def source(self) -> str:
        """The source of the whole tree."""
        assert self.parent is not None
        return self.parent.source

    @property
    def text(self) -> str:
        """The text of the node as it is written."""
        return self.source[self.start : self.end]

    @property
    def parents(self) -> Iterator[Node]:
        """The nodes around this one, the innermost first."""
        node = self.parent
        while node is not None:
            yield node
            node = node.parent

    def walk(self) -> Iterator[Node]:
        """Yield the node and everything inside, in the order of the source, outer nodes first."""
        waiting: list[Node] = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += reversed(node.children)

    def find(self, kind: type[_Kind]) -> Iterator[_Kind]:
        """Yield the nodes of a kind, this one included, in the order of the source."""
        return (node for node in self.walk() if isinstance(node, kind))

    # -- edits

    def replace(self, text: str) -> Edit:
        """Return the edit that replaces the node with a text."""
        return Edit(self.start, self.end, text)

    def delete(self) -> Edit:
        """Return the edit that removes only the node."""
        return Edit(self.start, self.end, "")

    def insert_before(self, text: str) -> Edit:
        """Return the edit that inserts a text directly before the node."""
        return Edit(self.start, self.start, text)

    def insert_after(self, text: str) -> Edit:
        """Return the edit that inserts a text directly after the node."""
        return Edit(self.end, self.end, text)

    def wrap(self, before: str, after: str) -> list[Edit]:
        """Return the edits that insert one text before the node and another after it."""
        return [self.insert_before(before), self.insert_after(after)]


@dataclass(eq=False, slots=True)
class Expression(Node):
    """An expression, or a part of one.

    Attributes:
        children: the expressions directly inside, in the order of the source.
    """

    children: tuple[Expression, ...] = field(default=(), init=False, repr=False)

    def __post_init__(self) -> None:
        """Find the children among the fields of the class, and set their parent."""
        found: list[object] = []
        for name in self.__slots__:
            value = getattr(self, name)
            found += value if isinstance(value, tuple) else (value,)
        self.children = tuple(one for one in found if isinstance(one, Expression))
        for child in self.children:
            child.parent = self

    @property
    def key(self) -> str | None:
        """The name of the attribute or key that is read: ``content`` for ``m.content`` and for ``m['content']``."""
        return None

    @property
    def variable(self) -> Name | None:
        """The variable that the expression begins with: ``messages`` for ``messages[0].content | trim``."""
        node: Expression | None = self
        while node is not None and not isinstance(node, Name):
            match node:
                case Attribute() | Subscript() | Filter():
                    node = node.value
                case Call():
                    node = node.function
                case Group():
                    node = node.inside
                case _:
                    return None
        return node

    @property
    def string(self) -> str | None:
        """The value of an expression that is one string literal, or the same in parentheses."""
        return None

    @property
    def unwrapped(self) -> Expression:
        """The expression without any parentheses around it."""
        return self

    @property
    def enclosed(self) -> bool:
        """Whether it is in parentheses, with other expressions or alone."""
        return any(isinstance(node, Group) for node in self.parents if isinstance(node, Expression))

    @property
    def joined(self) -> tuple[Expression, ...]:
        """The expressions that ``+`` and ``~`` join to this one outside of parentheses, else the expression itself."""
        return tuple(_operands(self, inside=False))

    @property
    def operands(self) -> tuple[Expression, ...]:
        """The same as `joined`, also inside parentheses, which are removed."""
        return tuple(_operands(self, inside=True))


def string_value(literal: str) -> str:
    """Return the value of a string literal, quotes included, as Jinja reads it.

    Raises:
        UnicodeDecodeError: for an escape that is not complete.
    """
    body = literal[1:-1]
    if "\\" not in body:
        return body
    # Python warns about escapes that mean nothing, and keeps their backslash.
    body = _ESCAPE.sub(lambda match: match[0] if match[1] in _ESCAPED else f"\\{match[0]}", body)
    return body.encode("ascii", "backslashreplace").decode("unicode-escape")


def _operands(node: Expression, *, inside: bool) -> Iterator[Expression]:
    if inside:
        node = node.unwrapped
    parts: tuple[Expression, ...] = ()
    if isinstance(node, Concat):
        parts = node.items
    elif isinstance(node, Binary) and node.operator == "+":
        parts = (node.left, node.right)
    for part in parts:
        yield from _operands(part, inside=inside)
    if not parts:
        yield node


@dataclass(eq=False, slots=True)
class Name(Expression):
    """A variable."""

    name: str


@dataclass(eq=False, slots=True)
class Constant(Expression):
    """A string, a number, a truth value or ``none``.

    Attributes:
        value: as Jinja evaluates it.
        literals: number of tokens: neighbouring strings are one constant.
    """

    value: Constants
    literals: int = 1

    @property
    def string(self) -> str | None:
        """The value, if it is written as one string literal."""
        return self.value if self.literals == 1 and isinstance(self.value, str) else None

    def cut(self, length: int) -> int | None:
        """Return the offset in the source after the first characters of a string; None if an escape writes over it."""
        literal, value = self.text, self.string
        # An escape is several characters of the source for one of the value, never the other way round.
        for end in range(1 + length, len(literal)):
            try:
                parts = string_value(literal[:end] + literal[0]), string_value(literal[0] + literal[end:])
            except UnicodeDecodeError:
                continue
            if value is not None and parts == (value[:length], value[length:]):
                return self.start + end
        return None


@dataclass(eq=False, slots=True)
class Attribute(Expression):
    """``value.name``.

    Attributes:
        name_start: offset of the name.
    """

    value: Expression
    name: str
    name_start: int

    @property
    def key(self) -> str:
        """The name."""
        return self.name


@dataclass(eq=False, slots=True)
class Subscript(Expression):
    """``value[index]``, or ``value.0``."""

    value: Expression
    index: Expression

    @property
    def key(self) -> str | None:
        """The index, if it is a constant string."""
        index = self.index
        return index.value if isinstance(index, Constant) and isinstance(index.value, str) else None


@dataclass(eq=False, slots=True)
class Slice(Expression):
    """``lower:upper:step``."""

    lower: Expression | None
    upper: Expression | None
    step: Expression | None


@dataclass(eq=False, slots=True)
class Keyword(Expression):
    """``name=value`` in a call or a signature."""

    name: str
    value: Expression


@dataclass(eq=False, slots=True)
class Starred(Expression):
    """``*value`` or ``**value`` in a call."""

    operator: str
    value: Expression


@dataclass(eq=False, slots=True)
class Call(Expression):
    """``function(arguments)``.

    Attributes:
        open: offset of the opening parenthesis.
    """

    function: Expression
    arguments: tuple[Expression, ...]
    open: int

    @property
    def method(self) -> str | None:
        """The name of the method, if one is called."""
        return self.function.name if isinstance(self.function, Attribute) else None


@dataclass(eq=False, slots=True)
class Filter(Expression):
    """``value | name(arguments)``.

    Attributes:
        value: what is filtered; None in ``{% filter name %}`` and ``{% set x | name %}``.
        name_start: offset of the name.
    """

    value: Expression | None
    name: str
    name_start: int
    arguments: tuple[Expression, ...]


@dataclass(eq=False, slots=True)
class Test(Expression):
    """``value is name(arguments)``, or ``value is not name``.

    Attributes:
        name_start: offset of the name.
    """

    value: Expression
    name: str
    name_start: int
    arguments: tuple[Expression, ...]
    negated: bool


@dataclass(eq=False, slots=True)
class Unary(Expression):
    """``not operand``, ``-operand`` or ``+operand``."""

    operator: str
    operand: Expression


@dataclass(eq=False, slots=True)
class Binary(Expression):
    """``left operator right`` for the operators of arithmetic; ``+`` also joins strings."""

    operator: str
    left: Expression
    right: Expression


@dataclass(eq=False, slots=True)
class Concat(Expression):
    """``a ~ b ~ c``."""

    items: tuple[Expression, ...]


@dataclass(eq=False, slots=True)
class Logical(Expression):
    """``a and b and c``, or the same with ``or``."""

    operator: str
    items: tuple[Expression, ...]


@dataclass(eq=False, slots=True)
class Comparison(Expression):
    """``a == b``, ``a not in b``, ``a < b < c``.

    Attributes:
        operators: one fewer than the items; ``not in`` is written with one space.
    """

    operators: tuple[str, ...]
    items: tuple[Expression, ...]


@dataclass(eq=False, slots=True)
class Conditional(Expression):
    """``value if test else otherwise``."""

    value: Expression
    test: Expression
    otherwise: Expression | None


@dataclass(eq=False, slots=True)
class List(Expression):
    """``[a, b]``."""

    items: tuple[Expression, ...]


@dataclass(eq=False, slots=True)
class Tuple(Expression):
    """``a, b``; with parentheses it is the inside of a `Group`."""

    items: tuple[Expression, ...]


@dataclass(eq=False, slots=True)
class Pair(Expression):
    """``key: value`` in a dict."""

    name: Expression
    value: Expression


@dataclass(eq=False, slots=True)
class Dict(Expression):
    """``{key: value}``."""

    items: tuple[Pair, ...]


@dataclass(eq=False, slots=True)
class Group(Expression):
    """``(inside)``."""

    inside: Expression

    @property
    def string(self) -> str | None:
        """The value of the inside, if that is one string literal."""
        return self.inside.string

    @property
    def unwrapped(self) -> Expression:
        """The inside, without any parentheses."""
        return self.inside.unwrapped


class Invalid(Expression):
    """Tokens that are no expression in Jinja's grammar."""

    __slots__ = ()
