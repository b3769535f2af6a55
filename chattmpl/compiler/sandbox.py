"""The environment that templates run in: that of transformers, with origins followed and a budget kept.

What a template sees (filters, globals, whitespace, the immutable sandbox) is what transformers 5 gives it; see
``transformers/utils/chat_template_utils.py``.
"""

from __future__ import annotations

import operator
import types
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from jinja2 import nodes, pass_context
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.lexer import Lexer
from jinja2.parser import Parser
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from chattmpl.budget import METER, check_size
from chattmpl.compiler import emit
from chattmpl.compiler.codegen import PieceGenerator
from chattmpl.compiler.filters import FILTERS
from chattmpl.compiler.lexer import OffsetLexer
from chattmpl.provenance.origin import Statement
from chattmpl.provenance.serialize import to_text
from chattmpl.provenance.text import UNKNOWN, Traced, concat, derive, make, percent, traced
from chattmpl.provenance.tree import TracedDict

Clock = Callable[[], datetime]

_DICT_ATTRIBUTES = frozenset(dir(dict))
_STR_ATTRIBUTES = frozenset(dir(str))
_SAFE_STR_METHODS = frozenset(name for name in _STR_ATTRIBUTES if name[0] != "_") - {"format", "format_map"}
_SIZED = (str, list, tuple, bytes)


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
    def tick() -> None:
        """Count a step; replaced by the meter's for each render."""


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """One template's environment. Nothing in it changes once the template is compiled, so threads can share it."""

    code_generator_class = PieceGenerator
    context_class = RenderContext
    # What the generated code calls; see `codegen`.
    concat = staticmethod(emit.concat_pieces)  # type: ignore[assignment]
    no_turn = emit.NO_TURN
    sampled = staticmethod(emit.sampled)
    percent = staticmethod(percent)

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols])
        self.statements: list[Statement] = []
        self.constants: list[tuple[str, Statement]] = []
        self.filters.update(FILTERS)
        self.globals.update(
            raise_exception=_raise_exception,
            strftime_now=_strftime_now,
            dict=_TemplateDict(),
            namespace=_TemplateNamespace,
        )

    @property
    def lexer(self) -> Lexer:
        """A lexer that knows offsets."""
        return OffsetLexer(self)

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
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """``obj[argument]``, as the sandbox does it."""
        if type(obj) is TracedDict and isinstance(argument, str):
            if argument not in _DICT_ATTRIBUTES:
                value = obj.get(argument, METER)
                return value if value is not METER else self.undefined(obj={}, name=argument)
        elif isinstance(argument, str) and isinstance(obj, str):
            return self.getattr(obj, argument)
        return super().getitem(obj, argument)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """``str.format``: sandboxed by Jinja, bounded and given an origin by us."""
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None
        template = value.__self__

        def formatted(*args: Any, **kwargs: Any) -> str:
            _check_format(template, (*args, *kwargs.values()))
            text = wrapped(*args, **kwargs)
            return derive(str.__getitem__(text, slice(None)), (template, *args, *kwargs.values()))

        return formatted

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call something: what it returns must not pass for the template's own text if it was made from a field."""
        if type(obj) is types.MethodType and type(obj.__self__) is Traced:
            # Jinja adds these for functions that take the context.
            kwargs.pop("_loop_vars", None)
            kwargs.pop("_block_vars", None)
            return obj(*args, **kwargs)
        owner = getattr(obj, "__self__", None) if isinstance(obj, types.BuiltinMethodType) else None
        if isinstance(owner, (int, bytes)):
            check_size(max((abs(arg) for arg in args if isinstance(arg, int)), default=0))
        result = super().call(context, obj, *args, **kwargs)
        if type(result) is str and result:
            if isinstance(owner, (int, float, bytes)):
                return make(result, UNKNOWN)
            return derive(result, (owner, *args, *kwargs.values()))
        return result

    # -- operators

    @staticmethod
    def tilde(parts: tuple[Any, ...]) -> str:
        """``a ~ b``"""
        return concat([to_text(part) for part in parts])

    @staticmethod
    def add(left: Any, right: Any) -> Any:
        """``a + b``"""
        result = left + right
        if isinstance(result, _SIZED) and len(result) > 1024:
            check_size(len(result))
        return result

    @staticmethod
    def multiply(left: Any, right: Any) -> Any:
        """``a * b``"""
        for sequence, times in ((left, right), (right, left)):
            if isinstance(sequence, _SIZED) and isinstance(times, int):
                check_size(len(sequence) * times)
        if isinstance(left, int) and isinstance(right, int):
            check_size((left.bit_length() + right.bit_length()) // 8)
        return operator.mul(left, right)

    @staticmethod
    def power(base: Any, exponent: Any) -> Any:
        """``a ** b``"""
        if isinstance(base, int) and isinstance(exponent, int):
            check_size(base.bit_length() * abs(exponent) // 8)
        return operator.pow(base, exponent)

    @staticmethod
    def mark_of(value: Any) -> emit.Piece | None:
        """The mark of a message, if this is one."""
        if type(value) is TracedDict and value._mark is not None:
            return (value._mark, None)
        return None


def _check_format(template: str, values: Sequence[Any]) -> None:
    """Refuse ``'{:9999999999}'`` before Python makes the string."""
    number = ""
    nested = 0
    for char in template:
        nested = nested + 1 if char == "{" else nested - 1 if char == "}" else nested
        number = number + char if char.isdigit() else ""
        if number:
            check_size(int(number[:12]))
        if nested > 1:
            check_size(max((abs(value) for value in values if isinstance(value, int)), default=0))


def _raise_exception(message: Any) -> None:
    error = TemplateError(message)
    error.raised_by_template = True  # type: ignore[attr-defined]
    raise error


@pass_context
def _strftime_now(context: RenderContext, format: str) -> str:
    return context.clock().strftime(format)


class _TemplateDict:
    """The global ``dict``: only what makes dicts, so that a template cannot reach the type."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
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
