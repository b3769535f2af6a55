"""What the commands that rewrite a template share: their options, what they read, and where they write."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from chattmpl.cli.output import say
from chattmpl.errors import UsageError

if TYPE_CHECKING:
    from chattmpl.template.template import Template
    from chattmpl.template.writer import Change

_GGUF = ".gguf"

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.argument("upstream", metavar="UPSTREAM"),
    click.option("-o", "--output", metavar="PATH", help="A file to write, or a model directory; by default stdout."),
    click.option("--in-place", is_flag=True, help="Write it where it was read: a file, a config or a model directory."),
    click.option("--strict", is_flag=True, help="Refuse also where a law cannot hold for some conversations only."),
    click.option("--stop-token", "stops", multiple=True, metavar="TEXT", help="What ends the assistant's turns."),
    click.option("--examples", type=click.IntRange(0), default=60, help="Conversations that hypothesis makes; 60."),
    click.option("--variant", metavar="NAME", help="Which of several named templates, such as tool_use."),
    click.option("--dry-run", is_flag=True, help="Show the change and its proof, and write nothing."),
    click.option("--diff", "only_diff", is_flag=True, help="The change on stdout, as a diff; nothing is written."),
    click.option("--format", "form", type=click.Choice(("text", "json")), default="text", help="The report; text."),
)


def rewriting_options(command: Command) -> Command:
    """The argument and the options that all of them have, in this order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True)
class Target:
    """Where the result goes.

    Attributes:
        upstream, variant: what is read.
        output, in_place, dry_run, only_diff, form: the options of these names.

    Raises:
        UsageError: if they exclude each other, or there is nothing to write to.
    """

    upstream: str
    variant: str | None
    output: str | None
    in_place: bool
    dry_run: bool
    only_diff: bool
    form: str

    def __post_init__(self) -> None:
        if self.in_place and self.output is not None:
            raise UsageError("--in-place and -o exclude each other", hint="-o names another place to write to")
        if self.only_diff and self.form == "json":
            raise UsageError("--diff and --format json exclude each other", hint="the JSON report holds the diff")
        if self.only_diff and (self.in_place or self.output is not None):
            raise UsageError("--diff writes nothing, so it takes neither --in-place nor -o", hint="leave one out")
        if self.in_place and Path(self.upstream).suffix == _GGUF:
            raise UsageError(
                f"{self.upstream} is a GGUF file, which is not written",
                hint="rewrite the model directory that it was made from, or give -o FILE.jinja",
            )

    def load(self) -> Template:
        """The template that is meant."""
        from chattmpl.template.resolver import CONFIG
        from chattmpl.template.template import Template

        path = Path(self.upstream)
        if path.suffix == _GGUF and path.is_file():
            return self._of_gguf()
        # Beside the template of a model directory stands what its special tokens are.
        beside = path.name == "chat_template.jinja" and (path.parent / CONFIG).is_file()
        template = Template.load(str(path.parent) if beside else self.upstream, variant=self.variant)
        if self.in_place and template.family is not None:
            raise UsageError(f"{template.name} is a family, which is not written in place", hint="give -o FILE.jinja")
        return template

    def _of_gguf(self) -> Template:
        from chattmpl.lint.inputs import find_inputs
        from chattmpl.template.template import Template

        key = "tokenizer.chat_template" + (f".{self.variant}" if self.variant not in (None, "default") else "")
        found = [found for found in find_inputs([self.upstream]) if found.source.name.endswith(f":{key}")]
        if not found:
            raise UsageError(f"{self.upstream} holds no template {key}")
        return Template(found[0])

    def deliver(
        self, template: Template, text: str, diff: str, report: Callable[[], str], json: Callable[[], str]
    ) -> None:
        """Say what was done, and write it where it is to be.

        Args:
            template: as it was read.
            text: what it became.
            diff: the change.
            report: for people, with the diff.
            json: for programs.
        """
        if self.form == "json":
            click.echo(json(), nl=False)
        elif not self.only_diff:
            say(report())
        if self.only_diff:
            _put(diff)
        elif self.in_place or self.output not in (None, "-"):
            self._write(self._planned(template, text))
        elif self.form == "text" and not self.dry_run:
            _put(text)

    def _planned(self, template: Template, text: str) -> Change:
        from chattmpl.lint.fixed_files import planned
        from chattmpl.source import Source
        from chattmpl.template.resolver import Found
        from chattmpl.template.writer import plan

        if not self.in_place:
            return plan(text, Path(str(self.output)), self._into())
        change = planned(Found(template.given), Found(Source(text, template.given.name)))
        if isinstance(change, str):
            raise UsageError(f"{template.name} cannot be written in place: {change}", hint="-o names a file to write")
        return change

    def _into(self) -> str | None:
        """Which of several named templates of a config is written: the one that was read."""
        path = Path(str(self.output))
        return self.variant if path.suffix == ".json" or path.is_dir() else None

    def _write(self, change: Change) -> None:
        from chattmpl.template.writer import write

        if not change.needed:
            say(f"{change.path} already holds this template: nothing was written")
        elif self.dry_run:
            say(f"{change.path} would be {'created' if change.old is None else 'changed'}: nothing was written")
        else:
            backup = write(change)
            say(f"wrote {change.path}" + (f", backup in {backup}" if backup else ""))


def _put(text: str) -> None:
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


__all__ = ["Target", "rewriting_options"]
