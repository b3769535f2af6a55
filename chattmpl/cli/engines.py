"""``chattmpl engines``."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import click

from chattmpl.cli.exit_codes import FOUND, OK
from chattmpl.cli.options import template_kwargs


@click.command()
@click.argument("template", metavar="TEMPLATE")
@click.option("--conversations", metavar="FILE", help="Compare on these too, beside those that ship.")
@click.option("--engine", "names", multiple=True, metavar="NAME", help="minijinja, huggingface-jinja or tgi.")
@click.option("--target", type=click.Choice(("train", "inference")), help="Compare this export, not the file as it is.")
@click.option("--set", "settings", multiple=True, metavar="NAME=JSON", help="A template kwarg.")
@click.option("--retention", metavar="P", help="Which earlier reasoning traces are rendered.")
@click.option("--variant", metavar="NAME", help="Which of several named templates, such as tool_use.")
@click.option("--format", "form", type=click.Choice(("rich", "text", "json")), help="rich in a terminal, else text.")
def engines(
    template: str,
    conversations: str | None,
    names: tuple[str, ...],
    target: str | None,
    settings: tuple[str, ...],
    retention: str | None,
    variant: str | None,
    form: str | None,
) -> int:
    """Render the same conversations with other engines, and find the construct behind each disagreement.

    The reference is Jinja2 as transformers sets it up. Ends with exit code 1 if an engine
    disagrees in a way that the family does not declare.
    """
    from chattmpl.compare.cases import cases, engine_probes, named_conversations, settings_of
    from chattmpl.compare.portability import compare, served
    from chattmpl.engines.available import Missing
    from chattmpl.engines.available import engines as available
    from chattmpl.probing.corpus import CLOCK
    from chattmpl.report.engines import engines_json, engines_lines
    from chattmpl.report.lines import write_lines
    from chattmpl.template.template import Template

    loaded = Template.load(template, retention=retention, variant=variant)
    given = list(
        cases(named_conversations(conversations) + engine_probes(), settings_of([loaded], template_kwargs(settings)))
    )
    found: list[Any] = []
    for item in available(names, clock=CLOCK):
        if isinstance(item, Missing):
            found.append(item)
            continue
        with contextlib.closing(item.engine):
            report = compare(loaded, item.engine, given, target)
        report.version, report.emulated = item.version, item.emulated
        found.append(report)
    source = served(loaded, target)
    if form == "json":
        sys.stdout.buffer.write(engines_json(source.name, len(given), found).encode())
        sys.stdout.buffer.flush()
    else:
        write_lines(engines_lines(source.name, len(given), found), form)
    return FOUND if any(not isinstance(item, Missing) and item.disagreed for item in found) else OK
