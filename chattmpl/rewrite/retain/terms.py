"""Terms that can decide whether a trace is kept: conditions, their parts, booleans, and cuts of traces."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from chattmpl.syntax.items import Block, Output, Tag
from chattmpl.syntax.messages import message_loops
from chattmpl.syntax.nodes import (
    Attribute,
    Call,
    Comparison,
    Conditional,
    Constant,
    Expression,
    Filter,
    Group,
    Keyword,
    List,
    Logical,
    Name,
    Node,
    Pair,
    Subscript,
    Test,
    Tuple,
    Unary,
)
from chattmpl.syntax.tree import Tree

Kind = Literal["condition", "literal", "cut", "content"]

_CUTTING = frozenset({"split", "rsplit", "partition", "rpartition"})


@dataclass(frozen=True)
class Term:
    """A part of an expression.

    Attributes:
        node: the expression.
        kind: ``condition`` for a condition or a part of one; ``literal`` for true or false; ``cut`` for a value that a
            trace was removed from; ``content`` for the unchanged content of a message.
        joined: the operator (``and``, ``or`` or ``+``) that joins it to its neighbours; empty for a whole expression.
        before, after: end of the left neighbour and start of the right one, in characters.
        base: for a cut, the end of the value that it is cut from, in characters.
        loop: the tag of the loop over messages around it; None outside such a loop and in a macro.
        inner: whether it is in a loop nested in that one.
        depth: number of conditions around it.
        writes: whether the loop around it writes anything.
        tested: whether only its truth value matters.
    """

    node: Expression
    kind: Kind = "condition"
    joined: str = ""
    before: int | None = None
    after: int | None = None
    base: int | None = None
    loop: Tag | None = None
    inner: bool = False
    depth: int = 0
    writes: bool = True
    tested: bool = False

    @property
    def start(self) -> int:
        """Start in the source, in characters."""
        return self.node.start

    @property
    def end(self) -> int:
        """End in the source, in characters."""
        return self.node.end

    @property
    def text(self) -> str:
        """The text of the term."""
        return self.node.text

    @property
    def negated(self) -> bool:
        """Whether ``not`` is applied to it."""
        parent = self.node.parent
        parent = parent.parent if isinstance(parent, Group) else parent
        return isinstance(parent, Unary) and parent.operator == "not"


def find_terms(tree: Tree, *, contents: bool = False) -> list[Term]:
    """Return all terms, outer before inner ones; with ``contents``, also the places that read contents."""
    loops = message_loops(tree)
    found: list[Term] = []
    for item in tree.flat:
        if isinstance(item, (Output, Tag)):
            reader = _Reader(item, loops)
            reader.read()
            if contents:
                reader.read_contents()
            found += reader.found
    return found


class _Reader:
    """Reader of the terms of one tag or output."""

    def __init__(self, item: Output | Tag, loops: list[Block]) -> None:
        self._item = item
        around = [node for node in item.parents if isinstance(node, Block) and node.name in ("for", "macro")]
        in_macro = any(block.name == "macro" for block in around)
        loop = None if in_macro else next((block for block in around if block in loops), None)
        self._loop = None if loop is None else loop.opening
        self._inner = loop is not None and around[0] is not loop
        self._writes = loop is None or next(loop.find(Output), None) is not None
        self.found: list[Term] = []

    def read(self) -> None:
        """Collect the terms."""
        item = self._item
        if isinstance(item, Output):
            if item.expression is not None:
                self._value(item.expression)
        elif item.value is None:
            return
        elif item.name in ("if", "elif"):
            self._condition(item.value, tested=True)
        elif item.name == "set":
            if not isinstance(item.value, Conditional) and any(map(_decides, item.value.walk())):
                self._condition(item.value)
            else:
                self._value(item.value)

    def read_contents(self) -> None:
        """Collect the places that write or assign the content of the message being rendered unchanged."""
        target = self._loop.target if self._loop is not None else None
        value = self._item.expression if isinstance(self._item, Output) else self._item.value
        if not isinstance(target, Name) or value is None or (isinstance(self._item, Tag) and self._item.name != "set"):
            return
        for node in value.find(Expression):
            if not isinstance(node, (Attribute, Subscript)) or node.key != "content":
                continue
            if node.value.text == target.name and _is_unchanged(node):
                self.found.append(Term(node, kind="content", loop=self._loop, inner=self._inner))

    def _add(
        self,
        node: Expression,
        kind: Kind,
        *,
        joined: str = "",
        before: int | None = None,
        after: int | None = None,
        base: int | None = None,
        depth: int = 0,
        tested: bool = False,
    ) -> None:
        place = (self._loop, self._inner, depth, self._writes, tested)
        self.found.append(Term(node, kind, joined, before, after, base, *place))

    def _condition(
        self,
        node: Expression,
        joined: str = "",
        before: int | None = None,
        after: int | None = None,
        depth: int = 0,
        tested: bool = False,
    ) -> None:
        """Add a condition and its parts."""
        if isinstance(node, Conditional):
            self._value(node)
            return
        kind: Kind = "literal" if _is_truth_value(node) else "condition"
        self._add(node, kind, joined=joined, before=before, after=after, depth=depth, tested=tested)
        inside = node.unwrapped
        if isinstance(inside, Logical):
            for number, part in enumerate(inside.items):
                left = inside.items[number - 1].end if number else None
                right = inside.items[number + 1].start if number + 1 < len(inside.items) else None
                self._condition(part, inside.operator, left, right, depth + 1, tested)
        elif isinstance(inside, Unary) and inside.operator == "not":
            self._condition(inside.operand, depth=depth + 1, tested=True)
        else:
            self._brackets(inside)

    def _value(self, node: Expression) -> None:
        """Add the conditions inside an expression that is not itself a condition."""
        if isinstance(node, Conditional):
            self._condition(node.test, tested=True)
            self._value(node.value)
            if node.otherwise is not None:
                self._value(node.otherwise)
        elif _is_truth_value(node):
            self._add(node, "literal")
        else:
            self._cuts(node)
            self._brackets(node)

    def _cuts(self, node: Expression) -> None:
        """Add values that ``</think>`` and the text before it are removed from, alone or joined to others."""
        for part in node.joined:
            calls = [call for call in part.find(Call) if call.method in _CUTTING and _names_a_trace(call)]
            if not calls:
                continue
            first, source = min(calls, key=lambda call: call.open), node.source
            assert isinstance(first.function, Attribute)
            if first.function.value.start != part.start:
                continue  # it is in brackets, and found there
            if "[-1]" in source[first.end : first.end + 4] + source[part.end - 4 : part.end]:
                joined = "+" if part is not node else ""
                self._add(part, "cut", base=first.function.value.end, joined=joined)

    def _brackets(self, node: Expression) -> None:
        """Add the terms inside brackets."""
        for child in node.children:
            assert isinstance(child, Expression)
            values = list(_in_brackets(node, child))
            for value in values:
                self._value(value)
            if not values:
                self._brackets(child)


def _in_brackets(node: Expression, child: Expression) -> Iterator[Expression]:
    """Yield the values in a child of an expression if the child is in brackets."""
    bracketed = (
        isinstance(node, (Group, List))
        or (isinstance(node, Call) and child is not node.function)
        or (isinstance(node, (Filter, Test)) and child is not node.value)
        or (isinstance(node, Subscript) and child is node.index)
    )
    if isinstance(node, Group) and isinstance(child, Tuple):
        yield from child.items
    elif isinstance(child, (Keyword, Pair)):
        # A named constant is a setting, not a term.
        if not isinstance(child.value, Constant):
            yield child.value
    elif bracketed:
        yield child


def _decides(node: Node) -> bool:
    return isinstance(node, (Logical, Comparison, Test)) or (isinstance(node, Unary) and node.operator == "not")


def _is_truth_value(node: Expression) -> bool:
    return isinstance(node, Constant) and isinstance(node.value, bool)


def _names_a_trace(call: Call) -> bool:
    return any("think" in argument.text and "(" not in argument.text for argument in call.arguments)


def _is_unchanged(node: Expression) -> bool:
    """Return whether an expression is used as is: no access to a part of it, no call, no test."""
    parent = node.parent
    match parent:
        case Attribute() | Subscript():
            return parent.value is not node
        case Call():
            return parent.function is not node
        case Logical():
            return parent.items[0] is node
        case Comparison() | Unary():
            return False
        case Test():
            return parent.value is not node
        case Conditional():
            return parent.test is not node
    return True
