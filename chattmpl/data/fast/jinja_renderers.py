"""Renderers without provenance: minijinja, and Jinja2 itself where minijinja differs."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, NoReturn, Protocol

from chattmpl.data.fast.markers import CLOSE, OPEN, RESERVED, Unfit

_FUEL = 50_000_000
"""Instructions of minijinja for one row; the longest conversations take some hundred thousand."""


class Renderer(Protocol):
    """Renders one lowered template; the text has markers."""

    name: str

    def render(self, variables: dict[str, Any]) -> str:
        """The text of one conversation; raises anything where it cannot."""

    def write(self, variables: dict[str, Any], pieces: list[str]) -> None:
        """Adds the text of one conversation, in pieces; raises as `render`, when some may have been added."""


class Refused(Exception):
    """The template or its data are for the exact path, which knows what to say."""


def refuse(message: object = None) -> NoReturn:
    """What a template calls where it refuses a conversation."""
    raise Refused(message)


def tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """A value as JSON, as transformers' filter writes it.

    Raises:
        Refused: for what is undefined.
    """
    # minijinja hands an undefined value over as None, which Jinja2 refuses to write
    if value is None:
        raise Refused
    if not (ensure_ascii or indent or separators or sort_keys) and indent is None:
        return _as_json(value) if type(value) is not dict else _flat(value) or _as_json(value)
    pair = None if separators is None else (separators[0], separators[1])
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=pair, sort_keys=sort_keys)


_as_json = json.JSONEncoder(ensure_ascii=False).encode

_quoted = json.encoder.encode_basestring


def _flat(value: dict[Any, Any]) -> str | None:
    """A dict of texts and whole numbers, as most arguments of tool calls are; None for any other."""
    pieces = []
    for key, item in value.items():
        if type(key) is not str:
            return None
        if type(item) is str:
            pieces.append(f"{_quoted(key)}: {_quoted(item)}")
        elif type(item) is int:
            pieces.append(f"{_quoted(key)}: {item}")
        else:
            return None
    return f"{{{', '.join(pieces)}}}"


class MinijinjaRenderer:
    """minijinja, with what transformers adds to Jinja2."""

    name = "minijinja"

    def __init__(self, source: str, now: Callable[[], datetime]) -> None:
        try:
            import minijinja
        except ImportError:
            raise Unfit("minijinja is not installed") from None
        environment = minijinja.Environment(trim_blocks=True, lstrip_blocks=True, debug=False, fuel=_FUEL)
        environment.add_filter("tojson", tojson)
        environment.add_function("raise_exception", refuse)
        environment.add_function("strftime_now", lambda format: now().strftime(format))
        environment.add_global(f"{RESERVED}open", OPEN)
        environment.add_global(f"{RESERVED}close", CLOSE)
        try:
            environment.add_template("chat", source)
        except Exception as error:
            raise Unfit(f"minijinja cannot compile the template ({first_line(error)})") from error
        self._render = environment.render_template

    def render(self, variables: dict[str, Any]) -> str:
        """The text of one conversation."""
        text: str = self._render("chat", **variables)
        return text

    def write(self, variables: dict[str, Any], pieces: list[str]) -> None:
        """See `Renderer`."""
        pieces.append(self.render(variables))


class JinjaRenderer:
    """Jinja2's immutable sandbox as transformers sets it up."""

    name = "jinja2"

    def __init__(self, source: str, now: Callable[[], datetime]) -> None:
        from jinja2.ext import loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        environment.filters["tojson"] = tojson
        environment.globals.update(
            {
                "raise_exception": refuse,
                "strftime_now": lambda format: now().strftime(format),
                f"{RESERVED}open": OPEN,
                f"{RESERVED}close": CLOSE,
            }
        )
        try:
            self._render = environment.from_string(source).render
        except Exception as error:
            raise Unfit(f"Jinja2 cannot compile the lowered template ({first_line(error)})") from error

    def render(self, variables: dict[str, Any]) -> str:
        """The text of one conversation."""
        return self._render(variables)

    def write(self, variables: dict[str, Any], pieces: list[str]) -> None:
        """See `Renderer`."""
        pieces.append(self.render(variables))


def first_line(error: Exception) -> str:
    """What an error says, in a line."""
    return next(iter(str(error).splitlines()), type(error).__name__)
