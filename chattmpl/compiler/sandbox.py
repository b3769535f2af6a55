"""The Jinja environment of templates: that of transformers, with origins and a budget.

Filters, globals, white space handling and the immutable sandbox are those of transformers 5; see
``transformers/utils/chat_template_utils.py``.
"""

from __future__ import annotations

import operator
import re
import types
from collections.abc import Callable
from datetime import datetime
from string import Formatter
from typing import Any

from jinja2 import nodes, pass_context
from jinja2.exceptions import UndefinedError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEscapeFormatter, SandboxedFormatter
from jinja2.utils import Cycler
from markupsafe import Markup

from chattmpl.budget import (
    ITEM,
    LONGEST_INTEGER,
    METER,
    VIEWS,
    charge,
    check_integer,
    check_items,
    check_size,
    glance,
    weigh,
    weigh_comparison,
    weigh_search,
)
from chattmpl.compiler import output as emit
from chattmpl.compiler.accounting import charge_call
from chattmpl.compiler.codegen import PieceGenerator
from chattmpl.compiler.filters import FILTERS, TESTS
from chattmpl.compiler.globals import GLOBALS, TemplateNamespace
from chattmpl.provenance.containers import TracedDict
from chattmpl.provenance.origin import Statement
from chattmpl.provenance.serialization import to_text
from chattmpl.provenance.text import UNKNOWN, Traced, as_traced, concat, derive, percent, with_origin
from chattmpl.syntax.lexer import LEXER, OffsetLexer

Clock = Callable[[], datetime]

_DICT_ATTRIBUTES = frozenset(dir(dict))
_STR_ATTRIBUTES = frozenset(dir(str))
_SAFE_STR_METHODS = frozenset(name for name in _STR_ATTRIBUTES if name[0] != "_") - {"format", "format_map"}
_SIZED = (str, list, tuple, bytes)
_DIGITS = re.compile(r"\d+")
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
}


class GenerationTag(Extension):
    """The tag ``{% generation %}…{% endgeneration %}``."""

    tags = {"generation"}  # noqa: RUF012 — declared without ClassVar in the base class

    def parse(self, parser: Parser) -> nodes.Node:
        """Parse the tag as a scope with a mark."""
        line = next(parser.stream).lineno
        scope = nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)
        scope.generation = True  # type: ignore[attr-defined]
        return scope


class RenderContext(Context):
    """The variables, clock and step counter of one render."""

    clock: Clock = datetime.now

    @staticmethod
    def tick(steps: int = 1) -> None:
        """Count steps; each render replaces it with the method of its meter."""

    def derived(self, locals: dict[str, Any] | None = None) -> Context:
        """Return the context of a scoped block, which belongs to the same render."""
        context = super().derived(locals)
        assert isinstance(context, RenderContext)
        context.clock, context.tick = self.clock, self.tick  # type: ignore[method-assign]
        return context


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """The environment of one template. It does not change after compilation, so threads can share it."""

    code_generator_class = PieceGenerator
    context_class = RenderContext
    # Called by generated code; see `codegen`.
    concat = staticmethod(emit.concat_pieces)  # type: ignore[assignment]
    no_turn = emit.NO_TURN
    sampled = staticmethod(emit.sampled)
    percent = staticmethod(percent)
    weigh = staticmethod(weigh)
    # Intercepted operators are not computed during compilation, where no budget bounds them.
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols])
        self.statements: list[Statement] = []
        self.constants: list[tuple[str, Statement]] = []
        self.code_lines: list[tuple[int, int]] = []
        self.filters = dict(FILTERS)
        self.tests = dict(TESTS)
        self.globals = {**GLOBALS, "strftime_now": _strftime_now}

    @property
    def lexer(self) -> OffsetLexer:
        """A lexer whose tokens have character offsets."""
        return LEXER

    # -- attributes and calls

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return ``obj.attribute`` as in Jinja's sandbox, with a shortcut for dicts and with origins for strings."""
        kind = type(obj)
        if kind is TracedDict or kind is dict:
            if attribute not in _DICT_ATTRIBUTES:
                value = obj.get(attribute, METER)
                return value if value is not METER else self.undefined(obj={}, name=attribute)
        elif kind is str or kind is Traced:
            if attribute not in _STR_ATTRIBUTES:
                return self.undefined(obj="", name=attribute)
            obj = as_traced(obj)
            if attribute in _SAFE_STR_METHODS:
                return getattr(obj, attribute)
        elif kind is TemplateNamespace and attribute[:1] != "_":
            # It contains only values that the template stored, which were checked then.
            value = getattr(obj, attribute, METER)
            return value if value is not METER else self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return ``obj[argument]`` as in Jinja's sandbox."""
        if type(obj) is TracedDict and isinstance(argument, str):
            if argument not in _DICT_ATTRIBUTES:
                value = obj.get(argument, METER)
                return value if value is not METER else self.undefined(obj={}, name=argument)
        elif isinstance(argument, str) and isinstance(obj, str):
            return self.getattr(obj, argument)
        if type(argument) is tuple:
            weigh(argument)
        return super().getitem(obj, argument)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Return a replacement for ``str.format``: sandboxed as in Jinja, with a size limit and a derived origin."""
        if super().wrap_str_format(value) is None:
            return None
        template = value.__self__
        by_mapping = value.__name__ == "format_map"
        formatter: Formatter = _Formatter(self)
        if isinstance(template, Markup):
            formatter = _EscapeFormatter(self, escape=template.escape)

        def formatted(*args: Any, **kwargs: Any) -> str:
            if by_mapping and (kwargs or len(args) != 1):
                raise TypeError(f"format_map() takes exactly one argument ({len(args) + len(kwargs)} given)")
            positional, named = ((), args[0]) if by_mapping else (args, kwargs)
            text = formatter.vformat(str.__getitem__(template, slice(None)), positional, named)
            return derive(text, (template, *args, *kwargs.values()))

        return formatted

    # As in Jinja, the parameters have names that no argument of a macro can have.
    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call an object; a string that it computes from a field does not count as the template's own text."""
        charge(ITEM * (len(args) + len(kwargs)))
        owner = getattr(__obj, "__self__", None)
        if type(owner) is Traced and type(__obj) is types.MethodType:
            glance(owner)
            # Jinja adds these for functions that take the context.
            kwargs.pop("_loop_vars", None)
            kwargs.pop("_block_vars", None)
            return __obj(*args, **kwargs)
        charge_call(__obj, owner, (*args, *kwargs.values()))
        result = super().call(__context, __obj, *args, **kwargs)
        return _result_with_origin(result, owner, (*args, *kwargs.values()))

    # -- operators

    @staticmethod
    def tilde(parts: tuple[Any, ...]) -> str:
        """Compute ``a ~ b``."""
        return concat([to_text(part) for part in parts])

    @staticmethod
    def add(left: Any, right: Any) -> Any:
        """Compute ``a + b``."""
        if isinstance(left, _SIZED) and isinstance(right, _SIZED):
            _check_sequence(left, len(left) + len(right))
        result = left + right
        return check_integer(result) if type(result) is int else result

    @staticmethod
    def multiply(left: Any, right: Any) -> Any:
        """Compute ``a * b``."""
        for sequence, times in ((left, right), (right, left)):
            if isinstance(sequence, _SIZED) and isinstance(times, int):
                _check_sequence(sequence, len(sequence) * times)
        return check_integer(operator.mul(left, right))

    @staticmethod
    def power(base: Any, exponent: Any) -> Any:
        """Compute ``a ** b``."""
        if isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1:
            check_integer(1 << min(abs(base).bit_length() * abs(exponent) // 2, 2 * LONGEST_INTEGER))
        return check_integer(operator.pow(base, exponent))

    @staticmethod
    def subtract(left: Any, right: Any) -> Any:
        """Compute ``a - b``, which copies the views of dicts."""
        if isinstance(left, VIEWS):
            weigh(left)
            weigh(right)
        return check_integer(operator.sub(left, right))

    @staticmethod
    def slice(value: Any, start: Any, stop: Any, step: Any) -> Any:
        """Compute ``a[start:stop:step]``."""
        bounds = slice(start, stop, step)
        if isinstance(value, _SIZED):
            _check_sequence(value, len(range(*bounds.indices(len(value)))))
        return value[bounds]

    @staticmethod
    def spread(values: Any) -> Any:
        """Charge for ``*a`` in a call, which copies ``a`` into several lists."""
        if isinstance(values, (*_SIZED, dict, range)):
            check_items(8 * len(values))
        return values

    @staticmethod
    def compare(how: str, left: Any, right: Any) -> Any:
        """Compute a comparison such as ``a == b`` or ``a in b`` between values that may be large."""
        if how in ("in", "notin"):
            weigh_search(left, right)
            return (left in right) is (how == "in")
        weigh_comparison(left, right)
        return _COMPARISONS[how](left, right)

    @staticmethod
    def mark_of(value: Any) -> emit.Piece | None:
        """Return the mark to write before a message; None if the value is not a message."""
        if type(value) is TracedDict and value._mark is not None:
            return (value._mark, None)
        return emit.REBUILT_TURN if isinstance(value, dict) and "role" in value else None

    @classmethod
    def mark_at(cls, values: Any, index: Any) -> emit.Piece | None:
        """Return the mark of the message at an index of a list, or None."""
        try:
            return cls.mark_of(values[index])
        except (LookupError, TypeError, UndefinedError):
            return None


class _BoundedFormatter(Formatter):
    """A formatter that rejects ``'{:9999999999}'`` before Python creates the string."""

    def format_field(self, value: Any, format_spec: str) -> str:
        """Format one replacement field."""
        for number in _DIGITS.findall(format_spec):
            check_size(int(number[:12]))
        weigh(value)
        return str(super().format_field(value, format_spec))

    def convert_field(self, value: Any, conversion: Any) -> Any:
        """Convert a value, as ``!r`` and ``!s`` do."""
        return super().convert_field(weigh(value), conversion)


class _Formatter(_BoundedFormatter, SandboxedFormatter):
    pass


class _EscapeFormatter(_BoundedFormatter, SandboxedEscapeFormatter):
    pass


def _check_sequence(sequence: Any, size: int) -> None:
    """Charge for a string or list of a size before it is created."""
    if isinstance(sequence, str):
        check_size(size if sequence.isascii() else 4 * size)
    elif isinstance(sequence, bytes):
        check_size(size)
    else:
        check_items(size)


def _result_with_origin(result: Any, owner: Any, args: tuple[Any, ...]) -> Any:
    """Return the result of a call with its origin."""
    kind = type(result)
    if kind is int:
        return check_integer(result)
    if kind is bytes:
        check_size(len(result))
    if kind is not str or not result or isinstance(owner, (dict, list, tuple, Cycler)):
        return result  # a value from a container keeps its origin
    if isinstance(owner, (int, float, bytes)):
        return with_origin(result, UNKNOWN)
    return derive(result, (owner, *args) if isinstance(owner, str) else args)


@pass_context
def _strftime_now(context: RenderContext, format: str) -> str:
    check_size(256 * len(format))
    return context.clock().strftime(format)
