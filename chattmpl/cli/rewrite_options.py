"""Options of ``chattmpl annotate`` and ``chattmpl retain``, and what they do with the result."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from chattmpl.cli.output import FOUND, OK, say
from chattmpl.errors import UsageError

if TYPE_CHECKING:
    from chattmpl.rewrite.result import Rewrite
    from chattmpl.template.template import Template
    from chattmpl.template.writer import Change

_GGUF = ".gguf"

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.argument("upstream", metavar="UPSTREAM"),
    click.option("-o", "--output", metavar="PATH", help="File or model directory to write; by default stdout."),
    click.option("--in-place", is_flag=True, help="Write to UPSTREAM: a file, a config or a model directory."),
    click.option("--strict", is_flag=True, help="Refuse templates that break a law for some conversations only."),
    click.option(
        "--stop-token",
        "stops",
        multiple=True,
        metavar="TEXT",
        help="Stop token of the assistant's turns; may be repeated; by default found by rendering.",
    ),
    click.option(
        "--examples",
        type=click.IntRange(0),
        default=60,
        help="Number of conversations that hypothesis generates for the proof; 60.",
    ),
    click.option("--variant", metavar="NAME", help="One of several named templates, such as tool_use."),
    click.option("--dry-run", is_flag=True, help="Show the change and its proof; write nothing."),
    click.option("--diff", "only_diff", is_flag=True, help="Print only the change as a diff to stdout; write nothing."),
    click.option(
        "--format", "form", type=click.Choice(("text", "json")), default="text", help="Format of the report; text."
    ),
)


def rewriting_options(command: Command) -> Command:
    """Add the argument and the options that both commands have."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True)
class Target:
    """Input and output of a rewrite.

    Attributes:
        upstream, variant: the template to read.
        output, in_place, dry_run, only_diff, form: the options of these names.

    Raises:
        UsageError: if the options exclude each other, or the input cannot be written to.
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
            raise UsageError("--in-place and -o exclude each other", hint="drop one of them")
        if self.only_diff and self.form == "json":
            raise UsageError("--diff and --format json exclude each other", hint="the JSON report has the diff")
        if self.only_diff and (self.in_place or self.output is not None):
            raise UsageError("--diff writes nothing, so it excludes --in-place and -o", hint="drop one of them")
        if self.in_place and Path(self.upstream).suffix == _GGUF:
            raise UsageError(
                f"{self.upstream} is a GGUF file, which cannot be rewritten in place",
                hint="rewrite the model directory that it was converted from, or pass -o FILE.jinja",
            )

    def rewrite(self, run: Callable[[Template], Rewrite[Any, Any]]) -> int:
        """Rewrite the template, report, write the result, and return the exit code."""
        from chattmpl.report.rewrite import proof_text, refusal_json, refusal_text, rewrite_json
        from chattmpl.rewrite.refusal import CannotRewrite

        template = self._load()
        try:
            result = run(template)
        except CannotRewrite as refusal:
            if self.form == "json":
                click.echo(refusal_json(refusal, template.name), nl=False)
            else:
                say(f"nothing was written:\n{refusal_text(refusal, template.name)}")
            return FOUND
        if self.form == "json":
            click.echo(rewrite_json(result), nl=False)
        elif not self.only_diff:
            say(proof_text(result.proof))
        if self.only_diff:
            _print(result.proof.diff)
        elif self.in_place or self.output not in (None, "-"):
            self._write(self._planned(template, result.text))
        elif self.form == "text" and not self.dry_run:
            _print(result.text)
        return OK

    def _load(self) -> Template:
        from chattmpl.template.template import Template

        template = Template.load(self.upstream, variant=self.variant)
        if self.in_place and template.family is not None:
            raise UsageError(
                f"{template.name} is a family, which cannot be rewritten in place", hint="pass -o FILE.jinja"
            )
        return template

    def _planned(self, template: Template, text: str) -> Change:
        from chattmpl.template.writer import plan, plan_in_place

        if self.in_place:
            return plan_in_place(template.resolved, text)
        return plan(text, Path(str(self.output)), self._output_variant())

    def _output_variant(self) -> str | None:
        """Return the name of the template to write in a config with several: the one that was read."""
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


def _print(text: str) -> None:
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


__all__ = ["Target", "rewriting_options"]
