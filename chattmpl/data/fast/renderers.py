"""The renderer without provenance: the template compiled to plain Python.

Jinja2 compiles templates for any object and asks its sandbox about each attribute. Rows are dicts, lists and strings
from JSON, so most attributes are keys and most calls are methods of strings, which are compiled as such. A template
that does anything not known to be safe is not compiled.
"""

from __future__ import annotations

import functools
import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Any, NoReturn

from jinja2 import TemplateError, TemplateRuntimeError, nodes
from jinja2.ext import loopcontrols
from jinja2.runtime import Undefined
from jinja2.sandbox import safe_range
from jinja2.utils import Namespace, internalcode, missing

from chattmpl import cache
from chattmpl.budget import Budget
from chattmpl.data.fast.codegen import Environment
from chattmpl.data.fast.limits import Limits, RenderRefused
from chattmpl.data.fast.markers import Unsupported, first_line

_SETTINGS: dict[str, Any] = {
    "trim_blocks": True,
    "lstrip_blocks": True,
    "extensions": [loopcontrols],
    "optimized": False,
}
"""The settings of transformers, but that the optimizer computes no constant expression when a template is compiled."""


class Renderer(ABC):
    """A renderer of one lowered template; its output contains markers."""

    name: str

    @abstractmethod
    def write(self, variables: dict[str, Any], pieces: list[str], size: int = 0) -> None:
        """Append the text of one conversation, in pieces; an exception may leave some of them appended.

        Args:
            variables: the variables of the template.
            pieces: the list to append to.
            size: number of characters in the conversation, in proportion to which values may grow.
        """

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

    def write(self, variables: dict[str, Any], pieces: list[str], size: int = 0) -> None:
        chosen = self._default if variables["tools"] is None else self._tool_use
        chosen.write(variables, pieces, size)


class CompiledRenderer(Renderer):
    """The template compiled to plain Python."""

    name = "python"

    def __init__(self, source: str, now: Callable[[], datetime]) -> None:
        environment = Environment(**_SETTINGS)
        self._limits = Limits()
        self._cache = ToolTextCache(self._limits.weigh)
        environment.filters = {**self._limits.filters(), "tojson": self._cache.tojson}

        def compiled() -> tuple[Any, frozenset[str], frozenset[str]]:
            code = environment.compile(source, "chat", "<chat>")
            return code, environment.own_names, environment.outside_names

        key = ("renderer", version("jinja2"), cache.hash_of_code("data/fast"), source)
        try:
            code, self._own_names, self._outside = cache.recall(compiled, *key)
            space: dict[str, Any] = {"internalcode": internalcode, "TemplateRuntimeError": TemplateRuntimeError}
            space["Namespace"] = Namespace
            exec(code, space)
            self._context = _Context(environment, now, self._cache, self._limits)
            self._lock = threading.Lock()
            self._root = space["make"](self._context, environment)
        except Unsupported as unsupported:
            raise Unsupported(f"the template cannot be compiled to Python ({unsupported})") from None
        except (TemplateError, SyntaxError, RecursionError) as error:
            raise Unsupported(f"the template cannot be compiled to Python ({first_line(error)})") from error

    def write(self, variables: dict[str, Any], pieces: list[str], size: int = 0) -> None:
        """See `Renderer.write`."""
        if not self._own_names.isdisjoint(variables):
            raise RenderRefused
        with self._lock:
            self._limits.start(size, pieces)
            self._cache.set_tools(variables.get("tools") if self._outside.isdisjoint(variables) else None)
            self._root(variables.get, pieces)


class _Context:
    """Functions and values that the compiled template uses while it renders one row."""

    missing, Undefined = missing, Undefined

    def __init__(
        self, environment: Environment, now: Callable[[], datetime], cache: ToolTextCache, limits: Limits
    ) -> None:
        self.environment, self.eval_ctx, self.limits = environment, nodes.EvalContext(environment), limits
        self.macro_text = cache.macro_text
        self.nothing = nothing = Undefined()
        self.getattribute = environment.getattr
        self.namespace, self.dict = Namespace, dict
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
            if name in limits.methods:
                return functools.partial(limits.methods[name], value)
            if isinstance(value, (str, dict, list, tuple)):
                return environment.getattr(value, name)
            raise RenderRefused

        self.getitem, self.method = getitem, method


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

    Args:
        written: is called with each other JSON text.
    """

    _SIZE = 64

    def __init__(self, written: Callable[[str], str]) -> None:
        self._written = written
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
            return self._written(tojson(value, **options))
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
    if max(indent or 0, *map(len, pair or ("",))) > _LONGEST_MARK:
        raise RenderRefused
    encoder = json.JSONEncoder(ensure_ascii=ensure_ascii, indent=indent, separators=pair, sort_keys=sort_keys)
    if indent is None:
        return encoder.encode(value)
    chunks, size = [], 0
    for chunk in encoder.iterencode(value):
        chunks.append(chunk)
        size += len(chunk)
        if size > Budget.characters:
            raise RenderRefused
    return "".join(chunks)


_LONGEST_MARK = 8
"""Maximum length of the separators and the indentation of JSON."""
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
