"""The class of all commands, the options that several commands share, and the values of options."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NoReturn, TypeVar

import click

from chattmpl.errors import UsageError

SECTIONS = ("Using templates", "Checking", "Comparing", "Rewriting", "Data and training")
"""The headings of ``chattmpl --help``, in order."""

SHAPES = ("messages", "sharegpt", "alpaca", "prompt-completion")
STRADDLE = ("include", "exclude", "error", "split")
CONTROL_TOKENS = ("escape", "allow", "error")
MASK = ("all", "last", "flags", "no-reasoning")
FAST = ("auto", "require", "off")
"""Values of the library's arguments, listed here so that showing help does not import it; a test compares them."""

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Option = Callable[[_Function], _Function]

_OWN_OPTION = {
    "messages": "CONV holds the messages",
    "conversation": "CONV holds the conversation",
    "add_generation_prompt": "use --generation-prompt",
    "continue_final_message": "use --continue-final-message",
    "clock": "use --clock",
}
"""Names that cannot be set as kwargs, and what to use instead."""

_PYTHON = {"True": "true", "False": "false", "None": "null"}


class Command(click.Command):
    """A command.

    Args:
        section: its heading in ``chattmpl --help``.
        long_running: keep the garbage collector on, which short commands do without.
    """

    def __init__(self, *arguments: Any, section: str, long_running: bool = False, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.section = section
        self.long_running = long_running


def command(section: str, *, long_running: bool = False) -> Callable[[Callable[..., Any]], Command]:
    """Return the decorator that makes a function a `Command`."""
    return click.command(cls=Command, section=section, long_running=long_running)


class _Retention(click.Option):
    """The option ``--retention``, whose help lists the policies."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        from chattmpl.compiler.policies import NAMES

        self.help = f"Reasoning traces to keep in history: {', '.join(NAMES)}. Default: the template's own policy."
        return super().get_help_record(ctx)


TEMPLATE = click.option(
    "-t",
    "--template",
    metavar="TEMPLATE",
    help="Template: a family, a .jinja file, a model directory, a tokenizer_config.json or a GGUF file. "
    "Default: the one of [tool.chattmpl] in pyproject.toml, or hybrid.",
)
RETENTION = click.option("--retention", cls=_Retention, metavar="POLICY")
VARIANT = click.option("--variant", metavar="NAME", help="Named template to use if there are several, as in tool_use.")
KWARGS = click.option(
    "--set", "settings", metavar="NAME=JSON", multiple=True, help="Set a template kwarg. May be repeated."
)
CLOCK = click.option(
    "--clock", metavar="ISO", help="Time that the template sees, as in 2025-07-31T12:00. Default: the current time."
)
TOKENIZER_HELP = "demo, a tokenizer.json, a model directory or a hub id"
SHAPE = click.option(
    "--shape", type=click.Choice(SHAPES), help="Shape of the input. Default: detected from the keys of each row."
)
SEED = click.option(
    "--seed", type=int, metavar="N", help="Seed for sampling rows. Default: the seed of the mixture, or 0."
)
CONVERSATIONS_TOO = click.option(
    "--conversations", metavar="FILE", help="File of conversations to compare on, in addition to the fixtures."
)


def tokenizer_option(purpose: str) -> _Option[Any]:
    """Return the option ``--tokenizer`` with its purpose in the help."""
    return click.option("--tokenizer", metavar="TOKENIZER", help=f"{purpose}: {TOKENIZER_HELP}.")


def format_option(*forms: str, piped: str = "text") -> _Option[Any]:
    """Return the option ``--format``, which chooses ``rich`` in a terminal and ``piped`` elsewhere by default."""
    help_text = f"Output format. Default: rich in a terminal, {piped} otherwise."
    return click.option("--format", "form", type=click.Choice(forms), help=help_text)


def encoding_choice(name: str, *, default: bool) -> _Option[Any]:
    """Return one of the options ``--straddle``, ``--control-tokens`` and ``--mask``.

    Args:
        name: the name of the option.
        default: set the default value, and not None.
    """
    choices, text = _ENCODING[name]
    return click.option(
        name,
        type=click.Choice(choices),
        default=choices[0] if default else None,
        help=text if default else f"{text} Default: {choices[0]}.",
    )


_ENCODING = {
    "--straddle": (STRADDLE, "Treatment of tokens that straddle an edge of a generated span."),
    "--control-tokens": (CONTROL_TOKENS, "Treatment of control tokens in the text of messages."),
    "--mask": (MASK, "Generated text to train on."),
}


def template_options(function: _Function) -> _Function:
    """Add the options that choose a template."""
    for option in (VARIANT, RETENTION, TEMPLATE):
        function = option(function)
    return function


def dataset_options(function: _Function) -> _Function:
    """Add the options of commands that encode datasets."""
    for option in (
        SEED,
        click.option(
            "--fast", type=click.Choice(FAST), default="auto", help="Use the fast path if possible, always or never."
        ),
        click.option(
            "--limit",
            type=click.IntRange(1),
            metavar="N",
            help="Number of rows to read from each source. Default: all.",
        ),
        encoding_choice("--mask", default=True),
        encoding_choice("--control-tokens", default=True),
        encoding_choice("--straddle", default=True),
        SHAPE,
        CLOCK,
        KWARGS,
    ):
        function = option(function)
    return function


def codes(given: Iterable[str]) -> list[str]:
    """Split the values of an option that takes codes, separated by commas or spaces."""
    return [code for part in given for code in part.replace(",", " ").split()]


def template_kwargs(settings: Iterable[str]) -> dict[str, Any]:
    """Parse the kwargs of ``--set NAME=JSON``.

    A value that is not JSON is a string, unless it begins like JSON (with a bracket, a brace or a quotation mark) or is
    a Python constant, which are errors.

    Raises:
        UsageError: if a setting is invalid or repeated.
    """
    kwargs: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--set {setting}: expected NAME=JSON", hint="as in --set enable_thinking=false")
        if name in _OWN_OPTION:
            raise UsageError(f"--set cannot set {name!r}", hint=_OWN_OPTION[name])
        if name in kwargs:
            raise UsageError(f"--set {name} is given twice", hint="remove one of them")
        kwargs[name] = _value(name, value)
    return kwargs


def _value(name: str, value: str) -> Any:
    if value in _PYTHON:
        raise UsageError(
            f"--set {name}={value}: expected JSON, not Python",
            hint=f"did you mean {name}={_PYTHON[value]}? For a string, write {name}='\"{value}\"'",
        )
    try:
        return json.loads(value, parse_constant=_no_constant)
    except ValueError as error:
        if value.lstrip()[:1] in ("{", "[", '"'):
            raise UsageError(
                f"--set {name}: invalid JSON: {str(error)[:1].lower()}{str(error)[1:]}",
                hint=f"the value is {value}; if the shell removed quotes, put the whole setting in single quotes",
            ) from None
        return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def parse_clock(text: str | None) -> datetime | None:
    """Parse the value of ``--clock``.

    Raises:
        UsageError: if it is not a date or time in ISO 8601.
    """
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"--clock {text!r}: expected a date or time in ISO 8601",
            hint="as in --clock 2025-07-31 or --clock 2025-07-31T12:00:00",
        ) from None
