"""``chattmpl check``."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chattmpl.cli.exit_codes import FOUND, OK, say
from chattmpl.errors import UsageError

if TYPE_CHECKING:
    from chattmpl.diagnostic import TemplateDiagnostic
    from chattmpl.laws.checker import Progress, Report
    from chattmpl.laws.findings import Finding

FORMATS = ("rich", "text", "json", "sarif", "github")


@click.command()
@click.argument("templates", nargs=-1, metavar="TEMPLATE...")
@click.option("--conversations", metavar="FILE", help="Check on these, in place of the fixtures that ship.")
@click.option("--law", "names", multiple=True, metavar="LAW", help="Only this law; may be repeated.")
@click.option("--examples", type=click.IntRange(0), default=0, help="As many conversations more, made by hypothesis.")
@click.option("--retention", metavar="P", help="Which earlier reasoning traces are rendered.")
@click.option("--tokenizer", metavar="T", help="For the laws about tokens, which are not evaluated without one.")
@click.option("--save", metavar="FOLDER", help="Write each counterexample there, as a conversation.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="By default rich in a terminal, else text.")
def check(
    templates: tuple[str, ...],
    conversations: str | None,
    names: tuple[str, ...],
    examples: int,
    retention: str | None,
    tokenizer: str | None,
    save: str | None,
    form: str | None,
) -> int:
    """Check the laws of chat templates, and show a smallest conversation for each cause that breaks one.

    A TEMPLATE is what lint takes: a family, a .jinja file, a folder, a model directory, a tokenizer_config.json, a GGUF
    file. Ends with exit code 1 if a law is broken; what is only noted does not count. A law that could not be evaluated
    is said to be so.
    """
    from chattmpl.conversation.files import load_conversations
    from chattmpl.laws import laws_named
    from chattmpl.lint.inputs import find_inputs

    if not templates:
        raise UsageError("nothing to check", hint="chattmpl check TEMPLATE, a family or a path")
    laws = laws_named(names or None)
    given = None if conversations is None else list(load_conversations(conversations))
    loaded = _tokenizer(tokenizer)
    form = form or ("rich" if sys.stdout.isatty() else "text")
    reports: list[Report] = []
    for number, found in enumerate(find_inputs(templates)):
        report = _check(found, retention, laws, given, examples, loaded)
        reports.append(report)
        if form in ("rich", "text"):
            click.echo(("\n" if number else "") + _shown(report, form), nl=False)
    diagnostics = [_diagnostic(report, finding) for report in reports for finding in report.findings]
    if form not in ("rich", "text"):
        click.echo(_written(form, diagnostics), nl=False)
    if save is not None:
        _save(Path(save), diagnostics)
    return OK if all(report.ok for report in reports) else FOUND


def _written(form: str, diagnostics: list[TemplateDiagnostic]) -> str:
    """The findings for a program, a code host or a CI."""
    from chattmpl import __version__
    from chattmpl.report.diagnostics import laws_described, write

    return write(form, diagnostics, laws_described(), __version__)


def _tokenizer(which: str | None) -> Any:
    if which is None:
        return None
    from chattmpl.encode.tokenizer_loader import load_tokenizer

    return load_tokenizer(which)


def _check(found: Any, retention: str | None, laws: Any, given: Any, examples: int, tokenizer: Any) -> Report:
    from chattmpl.laws import checker
    from chattmpl.probing import facts_of
    from chattmpl.probing.shapes import generated_conversations, shipped_conversations

    template = checker.to_check(found, retention)
    shape = facts_of(template).shape if examples else None
    conversations = [*(shipped_conversations() if given is None else given), *generated_conversations(examples, shape)]
    with _Progress(template.name) as progress:
        return checker.check(template, laws, conversations, tokenizer, progress, shape)


class _Progress:
    """A bar on stderr, in a terminal, for work that takes longer than a blink."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.shown = sys.stderr.isatty()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        return self.step

    def step(self, done: int, total: int) -> None:
        """So many cases are done."""
        if not self.shown:
            return
        if self._bar is None:
            from rich.console import Console
            from rich.progress import Progress as Bar

            self._bar = Bar(console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self.name, total=total)
            self._bar.start()
        self._bar.update(self._task, completed=done)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def _shown(report: Report, form: str) -> str:
    from chattmpl.report import verdicts

    return verdicts.rich(report) if form == "rich" else verdicts.text(report)


def _diagnostic(report: Report, finding: Finding) -> TemplateDiagnostic:
    from chattmpl.diagnostic import TemplateDiagnostic
    from chattmpl.template.blame import top

    shown = finding.shown
    return TemplateDiagnostic(
        code=shown.law,
        severity=finding.severity,
        place=shown.place or top(report.template),
        message=finding.message,
        hint=shown.hint or "",
        law=shown.law,
        counterexample=finding.to_dict(),
    )


def _save(folder: Path, found: list[TemplateDiagnostic]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, diagnostic in enumerate(found, 1):
        path = Path(diagnostic.place.source.name)
        name = re.sub(r"\W+", "_", path.parent.name if path.name == "template.jinja" else path.stem)
        target = folder / f"{name}_{diagnostic.code}_{number}.json"
        counterexample = diagnostic.counterexample or {}
        conversation = dict(counterexample["conversation"])
        if counterexample["kwargs"]:
            kwargs = {**(conversation.get("chat_template_kwargs") or {}), **counterexample["kwargs"]}
            conversation["chat_template_kwargs"] = kwargs
        target.write_text(json.dumps(conversation, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        say(f"wrote {target}")
