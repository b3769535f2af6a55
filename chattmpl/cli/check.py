"""``chattmpl check``."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chattmpl.cli.failing import FOUND, OK, say
from chattmpl.errors import UsageError

if TYPE_CHECKING:
    from chattmpl.laws.checker import Verdict
    from chattmpl.lint.diagnostic import Diagnostic
    from chattmpl.template import Template


@click.command()
@click.argument("templates", nargs=-1, metavar="TEMPLATE...")
@click.option("--conversations", metavar="FILE", help="Check on these, in place of the fixtures that ship.")
@click.option("--law", "names", multiple=True, metavar="LAW", help="Only this law; may be repeated.")
@click.option("--examples", type=click.IntRange(0), default=0, help="As many conversations more, made by hypothesis.")
@click.option("--retention", metavar="P", help="Which earlier reasoning traces are rendered.")
@click.option("--tokenizer", metavar="T", help="For the laws about tokens, which are not evaluated without one.")
@click.option("--save", metavar="FOLDER", help="Write each counterexample there, as a conversation.")
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", show_default=True)
def check(
    templates: tuple[str, ...],
    conversations: str | None,
    names: tuple[str, ...],
    examples: int,
    retention: str | None,
    tokenizer: str | None,
    save: str | None,
    form: str,
) -> int:
    """Check the laws of chat templates, and show a smallest conversation for each way in which one is broken.

    Ends with exit code 1 if a law is broken. A law that could not be evaluated is said to be so.
    """
    from chattmpl.laws import laws_named
    from chattmpl.laws.checker import check as check_one
    from chattmpl.laws.checker import fixtures, made
    from chattmpl.loaders import load_conversations
    from chattmpl.template import Template

    if not templates:
        raise UsageError("nothing to check", hint="chattmpl check TEMPLATE, a family or a path")
    laws = laws_named(names or None)
    given = fixtures() if conversations is None else list(load_conversations(conversations))
    given += made(examples)
    found: list[Diagnostic] = []
    for which in templates:
        template = Template.load(which, retention=retention)
        verdicts = check_one(template, laws, given, tokenizer)
        found += [_diagnostic(template, verdict, index) for verdict in verdicts for index in range(len(verdict.broken))]
        if form == "text":
            _print(template, verdicts, len(given))
    if form == "json":
        click.echo(json.dumps([diagnostic.to_dict() for diagnostic in found], ensure_ascii=False))
    if save is not None:
        _save(Path(save), found)
    return FOUND if found else OK


def _diagnostic(template: Template, verdict: Verdict, index: int) -> Diagnostic:
    from chattmpl.lint.diagnostic import Diagnostic
    from chattmpl.source import Place

    broken = verdict.broken[index]
    place = broken.place or Place.of_line(template.program.source, 1)
    return Diagnostic(
        verdict.law.name, "error", place, broken.message, broken.hint or "", verdict.law.name, broken.to_dict()
    )


def _print(template: Template, verdicts: list[Verdict], count: int) -> None:
    policy = f", retention {template.retention}" if template.retention else ""
    click.echo(f"{template.name}{policy}, {count} conversations")
    for verdict in verdicts:
        click.echo(f"  {verdict.law.name:<11} {_summary(verdict)}")
    for verdict in verdicts:
        for broken in verdict.broken:
            click.echo(f"\n{broken.place or template.name}: {verdict.law.name}: {broken.message}")
            if broken.place is not None:
                click.echo(broken.place.excerpt())
            for excerpt in broken.excerpts() or ():
                click.echo(excerpt)
            kwargs = f" with {json.dumps(broken.kwargs)}" if broken.kwargs else ""
            shown = json.dumps(broken.conversation.dump()["messages"], ensure_ascii=False)
            click.echo(f"conversation{kwargs}: {shown}")
            if broken.hint:
                click.echo(f"hint: {broken.hint}")
    sys.stdout.flush()


def _summary(verdict: Verdict) -> str:
    parts = []
    if verdict.broken:
        parts.append(f"BROKEN in {len(verdict.broken)} way{'s' if len(verdict.broken) > 1 else ''}")
    elif verdict.holds:
        parts.append(f"holds for {verdict.holds}")
    for counts, word in ((verdict.silent, "does not apply"), (verdict.unevaluated, "not evaluated")):
        if counts:
            why, _ = counts.most_common(1)[0]
            parts.append(f"{word} to {counts.total()}" if parts else f"{word}: {why}")
    return ", ".join(parts) or "not evaluated: there was no conversation"


def _save(folder: Path, found: list[Diagnostic]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, diagnostic in enumerate(found, 1):
        name = re.sub(r"\W+", "_", Path(diagnostic.place.source.name).stem)
        path = folder / f"{name}_{diagnostic.code}_{number}.json"
        conversation = (diagnostic.counterexample or {})["conversation"]
        path.write_text(json.dumps(conversation, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        say(f"wrote {path}")
