"""The command line: one module for each command, imported when it is called for."""

from __future__ import annotations

import gc
import importlib
import os
from collections.abc import Sequence
from typing import Any

import click

from chattmpl import __version__, cache
from chattmpl.cli.exit_codes import guarded, hushed

COMMANDS = {
    "render": "Render a conversation, and see what the model samples.",
    "parse": "Parse a text back into the conversation that renders to it.",
    "check": "Check the laws of templates, with a smallest counterexample for each that is broken.",
    "lint": "Find what goes wrong in templates: masks, prompts, lost fields, engines, safety.",
    "rule": "Explain a rule of lint, or list them all.",
    "inspect": "Tell what templates can do: roles, tools, reasoning, modes, masks, parsers.",
    "diff": "Tell what changes between two templates: texts, masks and laws.",
    "engines": "Render with other engines, and find what makes them disagree.",
    "annotate": "Put generation tags into a template, with a proof that no text changes.",
    "retain": "Rewrite which earlier reasoning traces a template renders, with a proof.",
    "export": "Write a template as plain Jinja, also into a model directory.",
    "playground": "See what a template does while you write it, in a local page.",
    "encode": "Encode data sets into rows that trainers take, with what is trained.",
    "stats": "Tell what data sets hold: examples and tokens by source and mode, lengths, padding.",
    "audit": "Find what would go wrong in training on data sets, before it.",
    "train": "Train a model on what a template says, with an audit before and the template beside it.",
    "prove": "Train a small model from scratch in a template, and measure whether it means what it should.",
    "families": "List the families, or tell all that is known of one.",
}
"""Each is a function of the same name in a module of the same name."""

LONG = frozenset({"encode", "stats", "audit", "train", "prove", "playground"})
"""Those that may run for hours, and so need the garbage collector that short ones do without."""


class _Commands(click.Group):
    """A group that knows its commands by name, and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        if cmd_name in LONG:
            gc.enable()
        command: click.Command = getattr(importlib.import_module(f"chattmpl.cli.{cmd_name}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from chattmpl.errors import UsageError, did_you_mean

            hint = did_you_mean(args[0], COMMANDS) or f"the commands are {', '.join(COMMANDS)}"
            raise UsageError(f"there is no command {args[0]!r}", hint=hint)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        # Before click sees it, which would end with exit code 1: that is what findings are told by.
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return hushed()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="chattmpl %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> int:
    """A compiler, a renderer and a proof tool for chat templates.

    Exit codes: 0 all is fine, 1 something was found, 2 the input or the usage is wrong.
    """
    if ctx.invoked_subcommand is not None:
        return 0
    click.echo(ctx.get_help(), err=True)
    return 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line, and returns its exit code."""
    # A short command spends its time on starting: on looking for plugins of pydantic among all that is installed, and
    # on collecting garbage while modules load and once more when the interpreter ends.
    cache.enable()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    collecting = gc.isenabled()
    gc.disable()
    try:
        return guarded(lambda: cli.main(arguments, prog_name="chattmpl", standalone_mode=False))
    finally:
        gc.freeze()
        if collecting:
            gc.enable()
