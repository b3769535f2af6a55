"""The command line. A module of this package that holds a `Command` of the module's name is a command."""

import contextlib
import gc
import importlib
import os
import pkgutil
import re
from collections.abc import Sequence
from typing import Any

import click

from chattmpl import __version__, cache
from chattmpl.bounds import supervise
from chattmpl.cli.options import SECTIONS, Command
from chattmpl.cli.output import collect_garbage, guarded, silence_stdout

_START = (
    (
        "chattmpl render conv.json -t path/to/model --tokenizer path/to/model",
        "See a conversation as the model will, with the text that it samples marked.",
    ),
    ("chattmpl lint path/to/model", "Find what is wrong with a template, and how to fix it."),
    ("chattmpl encode chats.jsonl -t path/to/model -o rows", "Encode a dataset into rows with exact masks."),
)
"""Commands that most people want first, with their purpose."""


class _Commands(click.Group):
    """A group that imports only the command that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return command_names()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = _command(cmd_name)
        if command is not None and command.long_running:
            collect_garbage()
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and _command(args[0]) is None:
            from chattmpl.errors import UsageError, did_you_mean

            names = command_names()
            hint = did_you_mean(args[0], names) or f"the commands are {', '.join(names)}"
            raise UsageError(f"unknown command {args[0]!r}", hint=hint)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        # Caught before click sees it, which would exit with 1, the code for findings.
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return silence_stdout()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section, commands in _by_section().items():
            with formatter.section(section):
                formatter.write_dl([(command.name or "", command.get_short_help_str(200)) for command in commands])


def command_names() -> list[str]:
    """Return the names of all commands, in the order of their sections."""
    return [str(command.name) for commands in _by_section().values() for command in commands]


def _by_section() -> dict[str, list[Command]]:
    found = [command for module in pkgutil.iter_modules(__path__) if (command := _command(module.name)) is not None]
    return {section: [command for command in found if command.section == section] for section in SECTIONS}


def _command(name: str) -> Command | None:
    if not re.fullmatch("[a-z]+", name):
        return None
    with contextlib.suppress(ModuleNotFoundError):
        command = getattr(importlib.import_module(f"{__name__}.{name}"), name, None)
        return command if isinstance(command, Command) else None
    return None


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(__version__, "-V", "--version", message="chattmpl %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> int:
    """Compile, render, check and repair the chat templates of language models.

    Exit codes: 0 success, 1 findings, 2 invalid input or usage.
    """
    if ctx.invoked_subcommand is not None:
        return 0
    click.echo(_start(ctx), err=True)
    return 2


def _start(ctx: click.Context) -> str:
    formatter = ctx.make_formatter()
    with formatter.section("Start with one of these"):
        for line, purpose in _START:
            formatter.write(f"  {line}\n      {purpose}\n\n")
    formatter.write_text("A template is a model directory, a .jinja file, or the name of a family (chattmpl families).")
    with formatter.section("All commands"):
        formatter.write_text(", ".join(command_names()))
    formatter.write_paragraph()
    formatter.write_text("chattmpl --help describes them, and chattmpl COMMAND --help lists the options of one.")
    return formatter.getvalue().rstrip("\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    # The run time of a short command is mostly start-up. Two parts of it are avoidable: pydantic's search for plugins
    # in all installed packages, and garbage collection while modules load and when the interpreter exits.
    cache.enable()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # A thread of numpy's, which nothing here uses, would forbid to fork workers.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    collecting, threshold = gc.isenabled(), gc.get_threshold()
    gc.disable()
    try:
        return guarded(lambda: cli.main(arguments, prog_name="chattmpl", standalone_mode=False))
    finally:
        gc.freeze()
        gc.set_threshold(*threshold)
        if collecting:
            gc.enable()


def run() -> int:
    """Run the command line in a process with limits on time and memory, and return its exit code."""
    return supervise(main)
