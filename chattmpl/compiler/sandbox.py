"""The environment that templates run in: that of transformers, with origins followed and a budget kept.

What a template sees (filters, globals, whitespace, the immutable sandbox) is what transformers 5 gives it; see
``transformers/utils/chat_template_utils.py``.
"""

from __future__ import annotations

import operator
import re
import types
from collections.abc import Callable, Mapping
from datetime import datetime
from string import Formatter
from typing import Any

from jinja2 import nodes, pass_context
from jinja2.exceptions import SecurityError, TemplateError, UndefinedError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEscapeFormatter, SandboxedFormatter
from jinja2.utils import Cycler, Namespace, generate_lorem_ipsum
from markupsafe import Markup

from chattmpl.budget import (
    ITEM,
    LONGEST_INTEGER,
    METER,
    charge,
    check_integer,
    check_items,
    check_search_from_right,
    check_size,
    glance,
    weigh,
    weigh_comparison,
    weigh_search,
)
from chattmpl.compiler import output as emit
from chattmpl.compiler.codegen import PieceGenerator
from chattmpl.compiler.filters import FILTERS, TESTS
from chattmpl.provenance.origin import Statement
from chattmpl.provenance.serialize import to_text
from chattmpl.provenance.text import (
    UNKNOWN,
    Traced,
    concat,
    derive,
    make,
    percent,
    traced,
)
from chattmpl.provenance.tree import TracedDict
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
    """``{% generation %}…{% endgeneration %}``"""

    tags = {"generation"}  # noqa: RUF012 — as in the base class

    def parse(self, parser: Parser) -> nodes.Node:
        """A scope, marked."""
        line = next(parser.stream).lineno
        scope = nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)
        scope.generation = True  # type: ignore[attr-defined]
        return scope


class RenderContext(Context):
    """The variables of one render, and what else belongs to just that render."""

    clock: Clock = datetime.now

    @staticmethod
    def tick(steps: int = 1) -> None:
        """Count steps; replaced by the meter's for each render."""

    def derived(self, locals: dict[str, Any] | None = None) -> Context:
        """The context of a scoped block, which belongs to the same render."""
        context = super().derived(locals)
        assert isinstance(context, RenderContext)
        context.clock, context.tick = self.clock, self.tick  # type: ignore[method-assign]
        return context


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """One template's environment. Nothing in it changes once the template is compiled, so threads can share it."""

    code_generator_class = PieceGenerator
    context_class = RenderContext
    # What the generated code calls; see `codegen`.
    concat = staticmethod(emit.concat_pieces)  # type: ignore[assignment]
    no_turn = emit.NO_TURN
    sampled = staticmethod(emit.sampled)
    percent = staticmethod(percent)
    weigh = staticmethod(weigh)
    # Not to be computed when the template is compiled, where nothing would bound them.
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols])
        self.statements: list[Statement] = []
        self.constants: list[tuple[str, Statement]] = []
        self.code_lines: list[tuple[int, int]] = []
        self.filters.update(FILTERS)
        self.tests.update(TESTS)
        self.globals.update(
            raise_exception=_raise_exception,
            strftime_now=_strftime_now,
            dict=_TemplateDict(),
            lipsum=_lipsum,
            namespace=_TemplateNamespace,
        )

    @property
    def lexer(self) -> OffsetLexer:
        """A lexer that knows offsets."""
        return LEXER

    # -- attributes and calls

    def getattr(self, obj: Any, attribute: str) -> Any:
        """``obj.attribute``, as the sandbox does it, with a short way for objects and with strings that keep track."""
        kind = type(obj)
        if kind is TracedDict or kind is dict:
            if attribute not in _DICT_ATTRIBUTES:
                value = obj.get(attribute, METER)
                return value if value is not METER else self.undefined(obj={}, name=attribute)
        elif kind is str or kind is Traced:
            if attribute not in _STR_ATTRIBUTES:
                return self.undefined(obj="", name=attribute)
            obj = traced(obj)
            if attribute in _SAFE_STR_METHODS:
                return getattr(obj, attribute)
        elif kind is _TemplateNamespace and attribute[:1] != "_":
            # It holds what templates put there, which was looked at before they could.
            value = getattr(obj, attribute, METER)
            return value if value is not METER else self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """``obj[argument]``, as the sandbox does it."""
        if type(obj) is TracedDict and isinstance(argument, str):
            if argument not in _DICT_ATTRIBUTES:
                value = obj.get(argument, METER)
                return value if value is not METER else self.undefined(obj={}, name=argument)
        elif isinstance(argument, str) and isinstance(obj, str):
            return self.getattr(obj, argument)
        if type(argument) is tuple:
            weigh(argument)
        result = super().getitem(obj, argument)
        if type(argument) is slice:
            glance(result)
        return result

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """``str.format``: sandboxed as Jinja does it, bounded and given an origin by us."""
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

    # The parameters have names that no argument of a macro has, and are so called in Jinja.
    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call something: what it returns must not pass for the template's own text if it was made from a field."""
        charge(ITEM * (len(args) + len(kwargs)))
        owner = getattr(__obj, "__self__", None)
        if type(owner) is Traced and type(__obj) is types.MethodType:
            glance(owner)
            # Jinja adds these for functions that take the context.
            kwargs.pop("_loop_vars", None)
            kwargs.pop("_block_vars", None)
            return __obj(*args, **kwargs)
        _account_for_call(__obj, owner, (*args, *kwargs.values()))
        result = super().call(__context, __obj, *args, **kwargs)
        return _traced_result(result, owner, (*args, *kwargs.values()))

    # -- operators

    @staticmethod
    def tilde(parts: tuple[Any, ...]) -> str:
        """``a ~ b``"""
        return concat([to_text(part) for part in parts])

    @staticmethod
    def add(left: Any, right: Any) -> Any:
        """``a + b``"""
        if isinstance(left, _SIZED) and isinstance(right, _SIZED):
            _check_sequence(left, len(left) + len(right))
        result = left + right
        return check_integer(result) if type(result) is int else result

    @staticmethod
    def multiply(left: Any, right: Any) -> Any:
        """``a * b``"""
        for sequence, times in ((left, right), (right, left)):
            if isinstance(sequence, _SIZED) and isinstance(times, int):
                _check_sequence(sequence, len(sequence) * times)
        return check_integer(operator.mul(left, right))

    @staticmethod
    def power(base: Any, exponent: Any) -> Any:
        """``a ** b``"""
        if isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1:
            check_integer(1 << min(abs(base).bit_length() * abs(exponent) // 2, 2 * LONGEST_INTEGER))
        return check_integer(operator.pow(base, exponent))

    @staticmethod
    def spread(values: Any) -> Any:
        """``f(*a)``, which makes several lists of what is in ``a``."""
        if isinstance(values, (*_SIZED, dict, range)):
            check_items(8 * len(values))
        return values

    @staticmethod
    def compare(how: str, left: Any, right: Any) -> Any:
        """``a == b``, ``a in b`` and the others, for values that may be long."""
        if how in ("in", "notin"):
            weigh_search(left, right)
            return (left in right) is (how == "in")
        weigh_comparison(left, right)
        return _COMPARISONS[how](left, right)

    @staticmethod
    def mark_of(value: Any) -> emit.Piece | None:
        """The mark of a message, if this is one."""
        if type(value) is TracedDict and value._mark is not None:
            return (value._mark, None)
        return emit.REBUILT_TURN if isinstance(value, dict) and "role" in value else None

    @classmethod
    def mark_at(cls, values: Any, index: Any) -> emit.Piece | None:
        """The mark of a message that stands in a list, if one stands there."""
        try:
            return cls.mark_of(values[index])
        except (LookupError, TypeError, UndefinedError):
            return None


class _Bounded(Formatter):
    """Refuses ``'{:9999999999}'`` before Python makes the string."""

    def format_field(self, value: Any, format_spec: str) -> str:
        """One replacement field."""
        for number in _DIGITS.findall(format_spec):
            check_size(int(number[:12]))
        weigh(value)
        return str(super().format_field(value, format_spec))


class _Formatter(_Bounded, SandboxedFormatter):
    pass


class _EscapeFormatter(_Bounded, SandboxedEscapeFormatter):
    pass


def _check_sequence(sequence: Any, size: int) -> None:
    """Account for a string or list of this size before it is made."""
    if isinstance(sequence, str):
        check_size(size if sequence.isascii() else 4 * size)
    elif isinstance(sequence, bytes):
        check_size(size)
    else:
        check_items(size)


def _account_for_call(function: Any, owner: Any, args: tuple[Any, ...]) -> None:
    """What a method is about to look at or to make."""
    if owner is None:
        return
    glance(owner)
    name = getattr(function, "__name__", "")
    inside = isinstance(owner, (dict, list, tuple, LoopContext))
    for arg in args:
        if isinstance(owner, (list, tuple)) and name in ("count", "index"):
            weigh_search(arg, owner)
        elif inside:
            weigh(arg)
        elif isinstance(arg, int) and isinstance(owner, (int, bytes)):
            check_size(abs(arg))
        else:
            glance(arg)
        if name in ("rfind", "rindex") and isinstance(arg, str) and isinstance(owner, str):
            check_search_from_right(owner, arg)
        if (
            name in ("encode", "decode")
            and isinstance(arg, str)
            and not arg.lower().startswith(("utf", "ascii", "latin"))
        ):
            charge(len(owner) ** 2 // 8)  # some codecs look at the whole text for each character


def _traced_result(result: Any, owner: Any, args: tuple[Any, ...]) -> Any:
    """What a call returned, with the origin that it must have."""
    kind = type(result)
    if kind is int:
        return check_integer(result)
    if kind is bytes:
        check_size(len(result))
    if kind is not str or not result or isinstance(owner, (dict, list, tuple, Cycler)):
        return result  # what a container gives back is as it was put in
    if isinstance(owner, (int, float, bytes)):
        return make(result, UNKNOWN)
    return derive(result, (owner, *args) if isinstance(owner, str) else args)


def _lipsum(n: int = 5, html: bool = True, min: int = 20, max: int = 100) -> str:
    check_size(10 * n * max)
    return generate_lorem_ipsum(n, html, min, max)


def _raise_exception(message: Any) -> None:
    error = TemplateError(message)
    error.raised_by_template = True  # type: ignore[attr-defined]
    raise error


@pass_context
def _strftime_now(context: RenderContext, format: str) -> str:
    check_size(256 * len(format))
    return context.clock().strftime(format)


class _TemplateDict:
    """The global ``dict``: only what makes dicts, so that a template cannot reach the type."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        weigh(args)
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        weigh(args)
        return dict.fromkeys(*args, **kwargs)


class _TemplateNamespace(Namespace):
    """The global ``namespace``, which takes no names that begin with an underscore."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, *rest = args
        fields: Mapping[Any, Any] = dict(*rest, **kwargs)
        for name in fields:
            _refuse_underscore(name)
        Namespace.__init__(self, fields)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_underscore(name)
        super().__setitem__(name, value)


def _refuse_underscore(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace takes no name that begins with an underscore, such as {name!r}")


__all__ = ["Clock", "RenderContext", "TemplateEnvironment", "Undefined"]
