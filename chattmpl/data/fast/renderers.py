"""Renderers without provenance: the template compiled to plain Python, and Jinja2 for templates that are not compiled.

Jinja2 compiles templates for any object and asks its sandbox about each attribute. Rows are dicts, lists and strings
from JSON, so most attributes are keys and most calls are methods of strings, which are compiled as such. A template
that does anything not known to be safe is rendered by Jinja2's sandbox.
"""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import TemplateError, TemplateRuntimeError, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.ext import loopcontrols
from jinja2.runtime import Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.utils import internalcode, missing

from chattmpl.data.fast.codegen import Environment
from chattmpl.data.fast.markers import MARKERS, Unsupported

_SETTINGS: dict[str, Any] = {
    "trim_blocks": True,
    "lstrip_blocks": True,
    "extensions": [loopcontrols],
    "optimized": False,
}
"""The settings of transformers, but that the optimizer computes no constant expression when a template is compiled."""

_STEPS = 2_000_000
"""Bound on the iterations of nested loops in one row, for templates that would not end."""


class RenderRefused(Exception):
    """A row that the exact path has to render, or reject with a proper message."""


class Renderer(ABC):
    """A renderer of one lowered template; its output contains markers."""

    name: str

    @abstractmethod
    def write(self, variables: dict[str, Any], pieces: list[str]) -> None:
        """Append the text of one conversation, in pieces; an exception may leave some of them appended."""

    def render(self, variables: dict[str, Any]) -> str:
        """Return the text of one conversation; raise any exception if it cannot be rendered."""
        pieces: list[str] = []
        self.write(variables, pieces)
        return "".join(pieces)


def by_tools(renderers: Sequence[Renderer]) -> Renderer:
    """Return the renderer of a template and, if there are two, of the one for conversations with tools."""
    return renderers[0] if len(renderers) == 1 else _RendererByTools(*renderers)


class _RendererByTools(Renderer):
    """Renderers of the same kind, for conversations without and with tools."""

    def __init__(self, default: Renderer, tool_use: Renderer) -> None:
        self.name = default.name
        self._default, self._tool_use = default, tool_use

    def write(self, variables: dict[str, Any], pieces: list[str]) -> None:
        chosen = self._default if variables["tools"] is None else self._tool_use
        chosen.write(variables, pieces)


class _Generator(CodeGenerator):
    """Jinja's code generator, but it computes no constant expression, however large, when it compiles."""

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: Any) -> str:
        if not isinstance(node, (nodes.Const, nodes.TemplateData)):
            raise nodes.Impossible
        return super()._output_child_to_const(node, frame, finalize)


class JinjaRenderer(Renderer):
    """Jinja2's immutable sandbox with the settings of transformers."""

    name = "jinja2"

    def __init__(self, source: str, now: Callable[[], datetime]) -> None:
        environment = ImmutableSandboxedEnvironment(**_SETTINGS)
        environment.code_generator_class = _Generator
        environment.filters["tojson"] = tojson
        environment.globals.update({"raise_exception": raise_exception, "strftime_now": _Clock(now), **MARKERS})
        try:
            self._render = environment.from_string(source).render
        except Exception as error:
            raise Unsupported(f"Jinja2 cannot compile the lowered template ({first_line(error)})") from error

    def write(self, variables: dict[str, Any], pieces: list[str]) -> None:
        """See `Renderer.write`."""
        pieces.append(self._render(variables))


class CompiledRenderer(Renderer):
    """The template compiled to plain Python."""

    name = "python"

    def __init__(self, source: str, now: Callable[[], datetime]) -> None:
        environment = Environment(**_SETTINGS)
        self._cache = ToolTextCache()
        environment.filters["tojson"] = self._cache.tojson
        try:
            code = environment.compile(source, "chat", "<chat>")
            space: dict[str, Any] = {"internalcode": internalcode, "TemplateRuntimeError": TemplateRuntimeError}
            exec(code, space)
            self._context, self._lock = _Context(environment, now, self._cache), threading.Lock()
            self._root = space["make"](self._context, environment)
        except Unsupported as unsupported:
            raise Unsupported(f"the template cannot be compiled to Python ({unsupported})") from None
        except (TemplateError, SyntaxError, RecursionError) as error:
            raise Unsupported(f"the template cannot be compiled to Python ({first_line(error)})") from error
        self._own_names, self._outside = environment.own_names, environment.outside_names

    def write(self, variables: dict[str, Any], pieces: list[str]) -> None:
        """See `Renderer.write`."""
        if not self._own_names.isdisjoint(variables):
            raise RenderRefused
        with self._lock:
            self._context.steps_left = _STEPS
            self._cache.set_tools(variables.get("tools") if self._outside.isdisjoint(variables) else None)
            self._root(variables.get, pieces)


class _Context:
    """Functions and values that the compiled template uses while it renders one row."""

    steps_left: int
    missing, Undefined = missing, Undefined

    def __init__(self, environment: Environment, now: Callable[[], datetime], cache: ToolTextCache) -> None:
        self.environment, self.eval_ctx = environment, nodes.EvalContext(environment)
        self.macro_text = cache.macro_text
        self.nothing = nothing = Undefined()
        self.getattribute = environment.getattr
        self.namespace = self.dict = dict
        self.range = safe_range
        self.raise_exception = raise_exception
        self.strftime_now = _Clock(now)

        def getitem(value: Any, key: Any) -> Any:
            kind = type(value)
            if kind is list or kind is tuple or kind is str or kind is dict:
                try:
                    return value[key]
                except (TypeError, LookupError):
                    if kind is list and type(key) is int:
                        return nothing
            return environment.getitem(value, key)

        def method(value: Any, name: str) -> Any:
            if isinstance(value, (str, dict, list, tuple)):
                return environment.getattr(value, name)
            raise RenderRefused

        self.getitem, self.method = getitem, method

    def charge(self, steps: int) -> None:
        """Count the iterations of a loop."""
        self.steps_left -= steps
        if self.steps_left < 0:
            raise RenderRefused


class _Clock:
    """The function ``strftime_now``, which formats the same time only once."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._at: datetime | None = None
        self._formatted: dict[str, str] = {}

    def __call__(self, format: str) -> str:
        now = self._now()
        if now is not self._at:
            self._at, self._formatted = now, {}
        text = self._formatted.get(format)
        if text is None:
            text = self._formatted[format] = now.strftime(format)
        return text


class ToolTextCache:
    """Cache of the texts that a template makes of tools, since many rows of a data set have the same tools.

    Values are recognised by identity, so tools must not be changed while they are cached.
    """

    _SIZE = 64

    def __init__(self) -> None:
        self._seen: dict[int, tuple[Any, frozenset[int], dict[Any, str]]] = {}
        self._ids: frozenset[int] = frozenset()
        self._texts: dict[Any, str] = {}

    def set_tools(self, tools: Any) -> None:
        """Set the tools of the row that is rendered next; only lists are cached."""
        if not isinstance(tools, list):
            self._ids = frozenset()
            return
        seen = self._seen.get(id(tools))
        if seen is None:
            if len(self._seen) >= self._SIZE:
                self._seen.clear()
            # The reference to the tools keeps other objects from getting their ids.
            seen = self._seen[id(tools)] = (tools, frozenset(_ids(tools)), {})
        _, self._ids, self._texts = seen

    def tojson(self, value: Any, **options: Any) -> str:
        """Return a value as JSON; see the function `tojson`."""
        if id(value) not in self._ids:
            return tojson(value, **options)
        key = (id(value), *options.items()) if options else id(value)
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = tojson(value, **options)
        return text

    def macro_text(self, call: str, value: Any, macro: Callable[..., str], *arguments: Any) -> str:
        """Return the text of a macro.

        Args:
            call: identifies the call, all of whose arguments but one are constant.
            value: the argument that is not constant.
            macro: the macro.
            arguments: all of its arguments.
        """
        if id(value) not in self._ids:
            return macro(*arguments)
        key = (call, id(value))
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = macro(*arguments)
        return text


def _ids(value: Any) -> Iterator[int]:
    """Yield the ids of all dicts and lists in a value."""
    if isinstance(value, (dict, list)):
        yield id(value)
        for item in value.values() if isinstance(value, dict) else value:
            yield from _ids(item)


def raise_exception(message: object = None) -> NoReturn:
    """Stop a template that refuses a conversation.

    Raises:
        RenderRefused: always.
    """
    raise RenderRefused(message)


def tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Return a value as JSON, as the filter of transformers writes it."""
    if not (ensure_ascii or indent or separators or sort_keys) and indent is None:
        return _as_json(value) if type(value) is not dict else _flat_json(value) or _as_json(value)
    pair = None if separators is None else (separators[0], separators[1])
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=pair, sort_keys=sort_keys)


_as_json = json.JSONEncoder(ensure_ascii=False).encode
_quoted = json.encoder.encode_basestring


def _flat_json(value: dict[Any, Any]) -> str | None:
    """Return the JSON of a dict of strings and integers, as most arguments of tool calls are; None for any other."""
    parts = []
    for key, item in value.items():
        if type(key) is not str:
            return None
        if type(item) is str:
            parts.append(f"{_quoted(key)}: {_quoted(item)}")
        elif type(item) is int:
            parts.append(f"{_quoted(key)}: {item}")
        else:
            return None
    return f"{{{', '.join(parts)}}}"


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type."""
    return next(iter(str(error).splitlines()), type(error).__name__)
