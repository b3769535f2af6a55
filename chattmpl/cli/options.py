"""Options that several commands share, and what their values mean."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NoReturn, TypeVar

import click

from chattmpl.errors import UsageError

SHAPES = ("messages", "sharegpt", "alpaca", "prompt-completion")
STRADDLE = ("include", "exclude", "error", "split")
CONTROL_TOKENS = ("escape", "allow", "error")
MASK = ("all", "last", "flags", "no-reasoning")
FAST = ("auto", "require", "off")
"""The values that the library takes, known here without importing it."""

_Function = TypeVar("_Function", bound=Callable[..., Any])

_OWN_OPTION = {
    "messages": "they are what CONV holds",
    "conversation": "it is what CONV holds",
    "add_generation_prompt": "use --generation-prompt",
    "continue_final_message": "use --continue-final-message",
    "clock": "use --clock",
}
"""Names that cannot be set as kwargs, and what to do instead."""

_PYTHON = {"True": "true", "False": "false", "None": "null"}


def template_options(function: _Function) -> _Function:
    """The options that choose a template."""
    for option in (
        click.option("--variant", metavar="NAME", help="Which of several named templates, such as tool_use."),
        click.option("--retention", metavar="P", help="Which earlier reasoning traces are rendered."),
        click.option(
            "-t",
            "--template",
            metavar="TEMPLATE",
            help="A family, a .jinja file, a model directory or a tokenizer_config.json.",
        ),
    ):
        function = option(function)
    return function


def encoding_options(function: _Function) -> _Function:
    """The options of commands that encode data sets only to look at them."""
    for option in (
        click.option("--fast", type=click.Choice(FAST), default="auto", help="Whether to take the fast path."),
        click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes; as many as pay by default."),
        click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N rows of each source."),
        click.option("--mask", type=click.Choice(MASK), default="all", help="What is trained."),
        click.option(
            "--control-tokens", type=click.Choice(CONTROL_TOKENS), default="escape", help="Those in messages."
        ),
        click.option("--straddle", type=click.Choice(STRADDLE), default="include", help="Tokens across a span's edge."),
        click.option(
            "--shape", type=click.Choice(SHAPES), help="The shape of the data, where its keys do not show it."
        ),
        click.option("--clock", metavar="ISO", help="What time the template is told that it is."),
        click.option(
            "--set", "settings", metavar="NAME=JSON", multiple=True, help="A template kwarg; may be repeated."
        ),
    ):
        function = option(function)
    return function


def template_kwargs(settings: Iterable[str]) -> dict[str, Any]:
    """The kwargs of ``--set NAME=JSON``.

    A value that is no JSON is taken as a string, unless it begins as JSON does (a bracket, a brace, a quotation mark)
    or is a Python constant: then it was meant as something else.

    Raises:
        UsageError: if one of them is not of that form, or cannot be set.
    """
    kwargs: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--set {setting}: this is not NAME=JSON", hint="as in --set enable_thinking=false")
        if name in _OWN_OPTION:
            raise UsageError(f"--set cannot set {name!r}", hint=_OWN_OPTION[name])
        if name in kwargs:
            raise UsageError(f"--set {name} is given twice", hint="keep one of the two")
        kwargs[name] = _value(name, value)
    return kwargs


def _value(name: str, value: str) -> Any:
    if value in _PYTHON:
        raise UsageError(
            f"--set {name}={value}: this is Python, not JSON",
            hint=f"did you mean {name}={_PYTHON[value]}? For the string, write {name}='\"{value}\"'",
        )
    try:
        return json.loads(value, parse_constant=_no_constant)
    except ValueError as error:
        if value.lstrip()[:1] in ("{", "[", '"'):
            raise UsageError(
                f"--set {name}: the value is not JSON: {str(error)[:1].lower()}{str(error)[1:]}",
                hint=f"it is {value}; perhaps the shell took its quotes: put the whole in single quotes",
            ) from None
        return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def moment(text: str | None) -> datetime | None:
    """The value of ``--clock``.

    Raises:
        UsageError: if it is not a date or a time in ISO 8601.
    """
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"--clock {text!r} is no moment in ISO 8601", hint="as in --clock 2025-07-31 or --clock 2025-07-31T12:00:00"
        ) from None
