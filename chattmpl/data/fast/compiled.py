"""A renderer without provenance that compiles a template to plain Python, for plain data.

Jinja2 compiles templates for any object and any name, and asks its sandbox about each attribute. Here rows are dicts,
lists and texts that came from JSON, so most attributes are keys and most calls are methods of texts, which the compiler
writes down as such. What it does not know to be harmless it does not compile, and another renderer is taken.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

from jinja2 import TemplateError, TemplateRuntimeError, nodes
from jinja2.ext import loopcontrols
from jinja2.runtime import Undefined
from jinja2.sandbox import safe_range
from jinja2.utils import internalcode, missing

from chattmpl.data.fast.codegen import Environment
from chattmpl.data.fast.jinja_renderers import Refused, first_line, refuse
from chattmpl.data.fast.markers import Unfit
from chattmpl.data.fast.tool_text_cache import KnownTools

_STEPS = 2_000_000
"""Turns of loops inside others of one row together, as a bound on templates that would not end."""


class _Context:
    """What the compiled template asks for while it renders one row."""

    left: int
    missing, Undefined = missing, Undefined

    def __init__(self, environment: Environment, now: Callable[[], datetime], known: KnownTools) -> None:
        self.environment, self.eval_ctx = environment, nodes.EvalContext(environment)
        self.written_by = known.written_by
        self.nothing = nothing = Undefined()
        self.getattribute = environment.getattr
        self.namespace = self.dict = dict
        self.range = safe_range
        self.raise_exception = refuse
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
            raise Refused

        self.getitem, self.method = getitem, method

    def charge(self, steps: int) -> None:
        """Counts the turns of a loop."""
        self.left -= steps
        if self.left < 0:
            raise Refused


class _Clock:
    """The function ``strftime_now``, which writes a time that stands still only once."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._at: datetime | None = None
        self._written: dict[str, str] = {}

    def __call__(self, format: str) -> str:
        now = self._now()
        if now is not self._at:
            self._at, self._written = now, {}
        text = self._written.get(format)
        if text is None:
            text = self._written[format] = now.strftime(format)
        return text


class CompiledRenderer:
    """The template as Python code."""

    name = "python"

    def __init__(self, source: str, now: Callable[[], datetime]) -> None:
        environment = Environment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        self._known = KnownTools()
        environment.filters["tojson"] = self._known.tojson
        try:
            code = environment.compile(source, "chat", "<chat>")
            space: dict[str, Any] = {"internalcode": internalcode, "TemplateRuntimeError": TemplateRuntimeError}
            exec(code, space)
            self._context, self._lock = _Context(environment, now, self._known), threading.Lock()
            self._root = space["make"](self._context, environment)
        except Unfit as unfit:
            raise Unfit(f"the template cannot be compiled to Python ({unfit})") from None
        except (TemplateError, SyntaxError, RecursionError) as error:
            raise Unfit(f"the template cannot be compiled to Python ({first_line(error)})") from error
        self._own_names, self._outside = environment.own_names, environment.outside_names

    def render(self, variables: dict[str, Any]) -> str:
        """The text of one conversation."""
        pieces: list[str] = []
        self.write(variables, pieces)
        return "".join(pieces)

    def write(self, variables: dict[str, Any], pieces: list[str]) -> None:
        """See `chattmpl.data.fast.jinja_renderers.Renderer`."""
        if not self._own_names.isdisjoint(variables):
            raise Refused
        with self._lock:
            self._context.left = _STEPS
            self._known.know(variables.get("tools") if self._outside.isdisjoint(variables) else None)
            self._root(variables.get, pieces)
