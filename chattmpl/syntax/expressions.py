"""Parser of expressions: Jinja's grammar, with the exact range of every node."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from chattmpl.syntax import nodes
from chattmpl.syntax.nodes import Expression, string_value

Token: TypeAlias = tuple[int, str, str]
"""Offset, kind and text, as `chattmpl.syntax.lexer.tokens` gives them."""

_CONSTANTS = {"true": True, "True": True, "false": False, "False": False, "none": None, "None": None}
_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})
_VALUES = frozenset({"name", "string", "integer", "float"})


class NoExpression(ValueError):
    """A sequence of tokens that is not a Jinja expression."""


class ExpressionParser:
    """Recursive-descent parser of the tokens of one tag; its methods correspond to those of Jinja's parser.

    Args:
        tokens: the tokens between the delimiters, without white space.
        end: end of the last token, in characters.

    Attributes:
        start: offset of the current token; `end` after the last one.
        kind: its kind; empty after the last one.
        value: its text; empty for a string, and after the last one.
    """

    start: int
    kind: str
    value: str

    def __init__(self, tokens: Sequence[Token], end: int) -> None:
        self._tokens = tokens
        self._end = end
        self._move(0)

    # -- tokens

    def _move(self, index: int) -> None:
        """Make the token with this index the current one."""
        self._index = index
        self.start, self.kind, text = self._tokens[index] if index < len(self._tokens) else (self._end, "", "")
        # So that no string is taken for a word or an operator.
        self.value = "" if self.kind == "string" else text

    @property
    def finished(self) -> int:
        """The end of the last consumed token."""
        if not self._index:
            return self.start
        offset, _, text = self._tokens[self._index - 1]
        return offset + len(text)

    def take(self) -> str:
        """Return the text of the current token and advance to the next one."""
        if self._index >= len(self._tokens):
            raise NoExpression
        text = self._tokens[self._index][2]
        self._move(self._index + 1)
        return text

    def skip(self, *values: str) -> bool:
        """Advance past the next tokens if they are these."""
        if self.value != values[0]:
            return False
        following = self._tokens[self._index + 1 : self._index + len(values)]
        if tuple(text for _, kind, text in following if kind != "string") != values[1:]:
            return False
        self._move(self._index + len(values))
        return True

    def expect(self, value: str) -> None:
        """Consume a token that is required here."""
        if not self.skip(value):
            raise NoExpression

    def name(self) -> str:
        """Consume a name."""
        if self.kind != "name":
            raise NoExpression
        return self.take()

    def finish(self) -> None:
        """Check that nothing is left."""
        if self._index < len(self._tokens):
            raise NoExpression

    # -- expressions, from what binds loosest to what binds tightest

    def expression(self, *, conditional: bool = True) -> Expression:
        """Parse an expression without commas at its outermost level."""
        return self._conditional() if conditional else self._logical("or")

    def sequence(
        self, *, conditional: bool = True, end: str = "", simple: bool = False, parentheses: bool = False
    ) -> Expression:
        """Parse an expression, or several with commas between them, up to the word ``end``.

        ``conditional`` allows ``a if b``; ``simple`` allows only names and literals, as in a target; in ``parentheses``
        it may be empty.
        """
        start = self.start
        items: list[Expression] = []
        commas = False
        while True:
            if items:
                self.expect(",")
            if self.kind == "" or self.value == ")" or (end and self.value == end):
                break
            items.append(self._target_item() if simple else self.expression(conditional=conditional))
            if self.value != ",":
                break
            commas = True
        if not commas and items:
            return items[0]
        if not items and not parentheses:
            raise NoExpression
        return nodes.Tuple(start, self.finished if items else start, tuple(items))

    def target(self) -> Expression:
        """Parse the target of an assignment: names, and attributes of a namespace."""
        return self.sequence(simple=True, end="in")

    def _target_item(self) -> Expression:
        item = self._primary()
        if isinstance(item, nodes.Name) and self.value == ".":
            item = self._subscript(item)
        return item

    def _conditional(self) -> Expression:
        value = self._logical("or")
        while self.skip("if"):
            test = self._logical("or")
            otherwise = self._conditional() if self.skip("else") else None
            value = nodes.Conditional(value.start, self.finished, value, test, otherwise)
        return value

    def _logical(self, operator: str) -> Expression:
        part: Callable[[], Expression] = self._not if operator == "and" else lambda: self._logical("and")
        items = [part()]
        while self.skip(operator):
            items.append(part())
        if len(items) == 1:
            return items[0]
        return nodes.Logical(items[0].start, self.finished, operator, tuple(items))

    def _not(self) -> Expression:
        start = self.start
        if self.skip("not"):
            operand = self._not()
            return nodes.Unary(start, self.finished, "not", operand)
        return self._comparison()

    def _comparison(self) -> Expression:
        items, operators = [self._sum()], []
        while True:
            if self.kind == "operator" and self.value in _COMPARISONS:
                operators.append(self.take())
            elif self.skip("in"):
                operators.append("in")
            elif self.skip("not", "in"):
                operators.append("not in")
            else:
                break
            items.append(self._sum())
        if not operators:
            return items[0]
        return nodes.Comparison(items[0].start, self.finished, tuple(operators), tuple(items))

    def _sum(self) -> Expression:
        return self._binary(self._concat, "+", "-")

    def _concat(self) -> Expression:
        items = [self._product()]
        while self.skip("~"):
            items.append(self._product())
        if len(items) == 1:
            return items[0]
        return nodes.Concat(items[0].start, self.finished, tuple(items))

    def _product(self) -> Expression:
        return self._binary(self._power, "*", "/", "//", "%")

    def _power(self) -> Expression:
        return self._binary(self._unary, "**")

    def _binary(self, part: Callable[[], Expression], *operators: str) -> Expression:
        left = part()
        while self.kind == "operator" and self.value in operators:
            operator = self.take()
            right = part()
            left = nodes.Binary(left.start, self.finished, operator, left, right)
        return left

    def _unary(self, *, filters: bool = True) -> Expression:
        start = self.start
        if self.kind == "operator" and self.value in ("-", "+"):
            operator = self.take()
            operand = self._unary(filters=False)
            found: Expression = nodes.Unary(start, self.finished, operator, operand)
        else:
            found = self._primary()
        found = self._postfix(found)
        return self._filtered(found) if filters else found

    def _primary(self) -> Expression:
        start, kind = self.start, self.kind
        if kind == "name":
            word = self.take()
            if word in _CONSTANTS:
                return nodes.Constant(start, self.finished, _CONSTANTS[word])
            return nodes.Name(start, self.finished, word)
        if kind == "string":
            return self._string()
        if kind == "integer":
            return nodes.Constant(start, start + len(self.value), int(self.take().replace("_", ""), 0))
        if kind == "float":
            return nodes.Constant(start, start + len(self.value), float(self.take().replace("_", "")))
        opening = self.take()
        if opening == "(":
            inside = self.sequence(parentheses=True)
            self.expect(")")
            return nodes.Group(start, self.finished, inside)
        if opening == "[":
            items = self._items("]", self.expression)
            return nodes.List(start, self.finished, items)
        if opening == "{":
            pairs = self._items("}", self._pair)
            return nodes.Dict(start, self.finished, pairs)
        raise NoExpression

    def _string(self) -> Expression:
        start = self.start
        values: list[str] = []
        while self.kind == "string":
            try:
                values.append(string_value(self.take()))
            except UnicodeDecodeError:
                raise NoExpression from None
        return nodes.Constant(start, self.finished, "".join(values), len(values))

    def _items(self, closing: str, part: Callable[[], nodes._Kind]) -> tuple[nodes._Kind, ...]:
        items: list[nodes._Kind] = []
        while self.value != closing:
            if items:
                self.expect(",")
            if self.value == closing:
                break
            items.append(part())
        self.expect(closing)
        return tuple(items)

    def _pair(self) -> nodes.Pair:
        key = self.expression()
        self.expect(":")
        value = self.expression()
        return nodes.Pair(key.start, self.finished, key, value)

    # -- what follows an expression

    def _postfix(self, value: Expression) -> Expression:
        while self.kind == "operator":
            if self.value in (".", "["):
                value = self._subscript(value)
            elif self.value == "(":
                value = self._call(value)
            else:
                break
        return value

    def _filtered(self, value: Expression) -> Expression:
        while True:
            if self.value == "|":
                self.take()
                value = self.filter(value)
            elif self.kind == "name" and self.value == "is":
                value = self._test(value)
            elif self.value == "(":
                value = self._call(value)
            else:
                return value

    def _subscript(self, value: Expression) -> Expression:
        if self.take() == ".":
            start, kind = self.start, self.kind
            if kind == "name":
                name = self.take()
                return nodes.Attribute(value.start, self.finished, value, name, start)
            if kind != "integer":
                raise NoExpression
            index: Expression = self._primary()
            return nodes.Subscript(value.start, self.finished, value, index)
        start = self.start
        items = self._subscripts()
        index = items[0] if len(items) == 1 else nodes.Tuple(start, self.finished, items)
        self.expect("]")
        return nodes.Subscript(value.start, self.finished, value, index)

    def _subscripts(self) -> tuple[Expression, ...]:
        items: list[Expression] = []
        while self.value != "]":
            if items:
                self.expect(",")
            items.append(self._slice())
        return tuple(items)

    def _slice(self) -> Expression:
        start = self.start
        parts: list[Expression | None] = [None, None, None]
        if self.value != ":":
            first = self.expression()
            if self.value != ":":
                return first
            parts[0] = first
        self.take()
        for index in (1, 2):
            if self.value not in ("]", ",", ":"):
                parts[index] = self.expression()
            if not self.skip(":") or index == 2:
                break
        return nodes.Slice(start, self.finished, *parts)

    def arguments(self) -> tuple[Expression, ...]:
        """Parse the arguments of a call, parentheses included."""
        self.expect("(")
        found: list[Expression] = []
        while self.value != ")":
            if found:
                self.expect(",")
                if self.value == ")":
                    break
            start = self.start
            if self.kind == "operator" and self.value in ("*", "**"):
                operator = self.take()
                value = self.expression()
                found.append(nodes.Starred(start, self.finished, operator, value))
            elif self.kind == "name" and self._follows("="):
                found.append(self._keyword())
            else:
                found.append(self.expression())
        self.expect(")")
        return tuple(found)

    def _follows(self, value: str) -> bool:
        return self._index + 1 < len(self._tokens) and self._tokens[self._index + 1][1:] == ("operator", value)

    def _keyword(self) -> nodes.Keyword:
        start, name = self.start, self.name()
        self.expect("=")
        value = self.expression()
        return nodes.Keyword(start, self.finished, name, value)

    def _call(self, function: Expression) -> Expression:
        opening = self.start
        arguments = self.arguments()
        return nodes.Call(function.start, self.finished, function, arguments, opening)

    def filter(self, value: Expression | None) -> Expression:
        """Parse a filter, after the ``|``, and those that follow it."""
        while True:
            start = self.start
            name = self._dotted()
            arguments = self.arguments() if self.value == "(" else ()
            begin = start if value is None else value.start
            value = nodes.Filter(begin, self.finished, value, name, start, arguments)
            if not self.skip("|"):
                return value

    def _test(self, value: Expression) -> Expression:
        self.take()
        negated = self.skip("not")
        start, name = self.start, self._dotted()
        arguments: tuple[Expression, ...] = ()
        if self.value == "(":
            arguments = self.arguments()
        elif (self.kind in _VALUES or self.value in ("[", "{")) and self.value not in ("else", "or", "and"):
            if self.value == "is":
                raise NoExpression
            arguments = (self._postfix(self._primary()),)
        return nodes.Test(value.start, self.finished, value, name, start, arguments, negated)

    def _dotted(self) -> str:
        name = self.name()
        while self.skip("."):
            name += "." + self.name()
        return name

    def parameters(self) -> tuple[Expression, ...]:
        """Parse the signature of a macro or of a call block."""
        self.expect("(")

        def parameter() -> Expression:
            start = self.start
            if self._follows("="):
                return self._keyword()
            name = self.name()
            return nodes.Name(start, self.finished, name)

        found: list[Expression] = []
        while self.value != ")":
            if found:
                self.expect(",")
            found.append(parameter())
        self.expect(")")
        return tuple(found)
