"""The class of all commands, the options that several commands share, and the values of options."""

import functools
import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NoReturn

import click

from chattmpl.cli.output import choose_format
from chattmpl.errors import UsageError
from chattmpl.options import OPTIONS

SECTIONS = ("Using templates", "Checking", "Comparing", "Rewriting", "Data and training")
"""The headings of ``chattmpl --help``, in order."""

_Option = Callable[[Callable[..., Any]], Callable[..., Any]]

_OWN_OPTION = {
    "messages": "CONV holds the messages",
    "conversation": "CONV holds the conversation",
    "add_generation_prompt": "use --generation-prompt",
    "continue_final_message": "use --continue-final-message",
    "clock": "use --clock",
}
"""Names that cannot be set as kwargs, and what to use instead."""

_PYTHON = {"True": "true", "False": "false", "None": "null"}


GROUPS = {
    "Template": ("template", "retention", "variant", "template_kwargs", "clock", "tokenizer", "target"),
    "Input": (
        "conversations",
        "shape",
        "arguments",
        "row",
        "limit",
        "seed",
        "generation_prompt",
        "continue_final_message",
    ),
    "Rows and masks": ("rows", "mask", "mask_from", "straddle", "control_tokens", "max_length", "overflow", "pack"),
    "Findings": ("names", "select", "ignore", "tolerated", "baseline", "write_baseline", "exit_zero"),
    "Output": ("output", "form", "columns", "report", "save", "plot", "in_place", "dry_run", "only_diff"),
    "Running": ("workers", "engine", "address", "fast", "resume", "force", "max_rejected"),
}
"""The headings of a long help, in order, with the names of their options; all others come last."""

_LONG = 9
"""Number of options from which a help has headings."""


class Command(click.Command):
    """A command.

    Args:
        section: its heading in ``chattmpl --help``.
        examples: complete command lines, for the help and the documentation.
        long_running: leave the garbage collector on; short commands run without it.
    """

    def __init__(
        self, *arguments: Any, section: str, examples: Sequence[str], long_running: bool = False, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self.section, self.examples = section, examples
        self.long_running = long_running

    def grouped_options(self, ctx: click.Context) -> dict[str, list[tuple[str, str]]]:
        """Return the options with their help, which names each default, by the heading they are shown under."""
        shown = [param for param in self.get_params(ctx) if isinstance(param, click.Option) and not param.hidden]
        heading = {name: group for group, names in GROUPS.items() for name in names} if len(shown) >= _LONG else {}
        rest = "Other options" if heading else "Options"
        found: dict[str, list[tuple[str, str]]] = {group: [] for group in (*GROUPS, rest)}
        for option in shown:
            found[heading.get(option.name or "", rest)].append(_with_default(option, ctx))
        return {group: records for group, records in found.items() if records}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, and the options under their headings."""
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"  {example}\n")
        for group, records in self.grouped_options(ctx).items():
            with formatter.section(group):
                formatter.write_dl(records)


def _with_default(option: click.Option, ctx: click.Context) -> tuple[str, str]:
    """Return an option with its help, and with the default that the help does not name yet."""
    names, text = option.get_help_record(ctx) or ("", "")
    if re.search(r"[Dd]efault: |[Rr]equired|Show this message", text):
        return names, text
    return names, f"{text}  [default: {'off' if option.is_flag else 'none'}]"


def command(section: str, *examples: str, long_running: bool = False) -> Callable[[Callable[..., Any]], Command]:
    """Return the decorator that makes a function a `Command`."""
    return click.command(cls=Command, section=section, examples=examples, long_running=long_running)


class LazyOption(click.Option):
    """An option whose help is computed when it is shown, because it names what the library offers."""

    def __init__(self, *arguments: Any, describe: Callable[[], str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._describe = describe

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option and its help."""
        self.help = self._describe()
        return super().get_help_record(ctx)


def _describe_retention() -> str:
    from chattmpl.compiler.policies import NAMES

    return f"Reasoning traces to render in earlier turns: {', '.join(NAMES)}. Default: the template's own policy."


def _template_kwargs(settings: Iterable[str]) -> dict[str, Any]:
    """Parse ``--set NAME=JSON``.

    A value that is not JSON is a string, unless it begins like JSON (with a bracket, a brace or a quotation mark) or is
    a Python constant, which are errors.
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
        kwargs[name] = _kwarg(name, value)
    return kwargs


def _kwarg(name: str, value: str) -> Any:
    if value in _PYTHON:
        raise UsageError(
            f"--set {name}={value}: expected JSON, not Python",
            hint=f"did you mean {name}={_PYTHON[value]}? For a string, write {name}='\"{value}\"'",
        )
    try:
        return json.loads(value, parse_constant=_no_constant)
    except RecursionError:
        raise UsageError(f"--set {name}: the value is nested too deeply", hint="simplify it") from None
    except ValueError as error:
        if value.lstrip()[:1] in ("{", "[", '"'):
            raise UsageError(
                f"--set {name}: invalid JSON: {str(error)[:1].lower()}{str(error)[1:]}",
                hint=f"the value is {value}; if the shell removed quotes, put the whole setting in single quotes",
            ) from None
        return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _clock(text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"--clock {text!r}: expected a date or time in ISO 8601",
            hint="as in --clock 2025-07-31 or --clock 2025-07-31T12:00:00",
        ) from None


def _parsed(parse: Callable[[Any], Any]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    return lambda context, parameter, value: parse(value)


TEMPLATE = click.option(
    "-t",
    "--template",
    metavar="TEMPLATE",
    help="Template: a family, a .jinja file, a model directory, a tokenizer_config.json or a GGUF file. "
    "Default: the template named in [tool.chattmpl] of pyproject.toml, or hybrid.",
)
RETENTION = click.option("--retention", cls=LazyOption, describe=_describe_retention, metavar="POLICY")
VARIANT = click.option(
    "--variant",
    metavar="NAME",
    help="Name of the template to use, of several, such as tool_use. Default: tool_use for conversations with tools, "
    "if there is one, and default for all others.",
)
KWARGS = click.option(
    "--set",
    "template_kwargs",
    metavar="NAME=JSON",
    multiple=True,
    callback=_parsed(_template_kwargs),
    help="Template kwarg to set, as in enable_thinking=false. May be repeated.",
)
CLOCK = click.option(
    "--clock",
    metavar="ISO",
    callback=_parsed(_clock),
    help="Time that the template sees, as in 2025-07-31T12:00. Default: the current time.",
)


def library_option(name: str, *arguments: str, unset: str | None = None) -> _Option:
    """Return the command-line option for an option of `chattmpl.options`, under another name if arguments are given.

    With ``unset``, which the help then names as the default, its value is None if it is not given.
    """
    option = OPTIONS[name]
    default = None if unset else option.default
    return click.option(
        *(arguments or (f"--{name.replace('_', '-')}",)),
        type=click.Choice(option.choices) if option.choices else click.IntRange(1),
        metavar=None if option.choices else "N",
        default=default,
        help=option.sentence if default else f"{option.sentence} Default: {unset or option.unset}.",
    )


SHAPE = library_option("shape")
CONVERSATIONS_TOO = click.option(
    "--conversations", metavar="FILE", help="Data file of conversations to compare on, in addition to the fixtures."
)
LIMIT = click.option(
    "--limit", type=click.IntRange(1), metavar="N", help="Number of conversations to read from FILE. Default: all."
)
EXIT_ZERO = click.option("--exit-zero", is_flag=True, help="Exit with 0 even if there are findings.")


def baseline_options(default: str) -> _Option:
    """Return the options of a command whose known findings are in a baseline, by default in this file."""
    help_text = f"File of known findings, which do not count. Default: {default} if it exists."
    return joined(
        (
            click.option("--baseline", metavar="FILE", help=help_text),
            click.option("--write-baseline", is_flag=True, help="Write all findings to the baseline, and exit with 0."),
            EXIT_ZERO,
        )
    )


def tokenizer_option(purpose: str, default: str = "that of the model directory given as the template") -> _Option:
    """Return the option ``--tokenizer`` with its purpose and its default in the help."""
    help_text = f"{purpose}: demo, a tokenizer.json, a model directory or a hub id. Default: {default}."
    return click.option("--tokenizer", metavar="TOKENIZER", help=help_text)


def codes_option(name: str, text: str) -> _Option:
    """Return an option that takes codes of rules or checks, separated by commas or spaces."""

    def split(parts: Iterable[str]) -> list[str]:
        return [code for part in parts for code in part.replace(",", " ").split()]

    return click.option(name, multiple=True, metavar="CODES", callback=_parsed(split), help=text)


def format_option(*forms: str, piped: str = "text", by_suffix: bool = False) -> _Option:
    """Return the option ``--format``, which chooses ``rich`` in a terminal and ``piped`` elsewhere by default.

    With ``by_suffix``, the suffix of ``-o`` chooses first, so the command applies the default itself.
    """
    first = "by the suffix of -o, or " if by_suffix else ""
    return click.option(
        "--format",
        "form",
        type=click.Choice(forms),
        callback=None if by_suffix else _parsed(lambda form: choose_format(form, piped)),
        help=f"Output format. Default: {first}rich in a terminal and {piped} otherwise.",
    )


def joined(options: Sequence[_Option]) -> _Option:
    """Return the decorator that adds several options, in this order in the help."""
    return lambda function: functools.reduce(lambda inner, option: option(inner), reversed(options), function)


def template_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose a template, which the command receives as ``templates``."""

    @functools.wraps(function)
    def run(*, template: str | None, retention: str | None, variant: str | None, **options: Any) -> Any:
        from chattmpl.cli.inputs import Templates

        templates = Templates(template, retention, variant, options.get("tokenizer"))
        return function(templates=templates, **options)

    return TEMPLATE(RETENTION(VARIANT(run)))


_DATASET_OPTIONS: tuple[_Option, ...] = (
    KWARGS,
    CLOCK,
    SHAPE,
    library_option("straddle"),
    library_option("control_tokens"),
    library_option("mask"),
    library_option("rows"),
    library_option("mask_from"),
    library_option("arguments"),
    library_option("limit"),
    library_option("fast"),
    click.option(
        "--seed", type=int, metavar="N", help="Seed for sampling rows. Default: the seed of the mixture, or 0."
    ),
    library_option("workers"),
)


dataset_options = joined(_DATASET_OPTIONS)
"""The options of commands that encode datasets."""


def check_arguments(usage: str, data: tuple[str, ...], **options: str | None) -> None:
    """Check that the required arguments of a command on datasets are given.

    Raises:
        UsageError: for the first one that is missing.
    """
    missing = next((name for name, value in options.items() if value is None), None)
    if not data:
        raise UsageError("no data given", hint=usage)
    if missing is not None:
        raise UsageError(f"{'-o' if missing == 'output' else f'--{missing}'} is missing", hint=usage)
