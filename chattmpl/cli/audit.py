"""``chattmpl audit``."""

from __future__ import annotations

import sys
from typing import Any

import click

from chattmpl import __version__
from chattmpl.cli.exit_codes import FOUND, OK
from chattmpl.cli.options import encoding_options, moment, template_kwargs, template_options
from chattmpl.cli.progress import watching
from chattmpl.cli.training_template import training_template
from chattmpl.errors import UsageError

FORMS = ("rich", "text", "json", "sarif")


@click.command()
@click.argument("data", nargs=-1, metavar="DATA...")
@template_options
@click.option("--tokenizer", metavar="T", help="demo, a tokenizer.json, a model directory or a hub id.")
@click.option("--format", "form", type=click.Choice(FORMS), help="By default rich in a terminal, else text.")
@click.option("--select", multiple=True, metavar="CODES", help="Only these kinds or groups: AU101,AU3.")
@click.option("--ignore", multiple=True, metavar="CODES", help="All but these.")
@click.option("--explain", metavar="CODE", help="Explain a kind of finding, or list them with 'all', and do no more.")
@click.option("--max-length", type=click.IntRange(1), metavar="N", help="Most tokens of a row in training.")
@click.option("--share-ratio", type=float, default=2.0, show_default=True, help="Of tokens to examples of a source.")
@click.option("--share-points", type=float, default=0.05, show_default=True, help="Least difference of the two.")
@click.option("--hybrid/--no-hybrid", default=None, help="The data are (not) meant to have both reasoning modes.")
@click.option("--tolerate", multiple=True, metavar="CODE=P%", help="Up to this share of rows it is a note only.")
@click.option("--examples", type=click.IntRange(0), default=5, show_default=True, help="Rows that are named.")
@click.option("--sample", type=click.IntRange(1), metavar="N", help="Look at N rows of each source only.")
@encoding_options
@click.option("--seed", type=int, help="Of the draw from a mixture, and of --sample.")
@click.option("--exit-zero", is_flag=True, help="End with exit code 0 whatever is found.")
def audit(
    data: tuple[str, ...],
    template: str | None,
    retention: str | None,
    variant: str | None,
    tokenizer: str | None,
    form: str | None,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    explain: str | None,
    tolerate: tuple[str, ...],
    settings: tuple[str, ...],
    clock: str | None,
    exit_zero: bool,
    **options: Any,
) -> int:
    """Find what would go wrong in training on data sets: masks, prompts, reasoning modes, duplicates, tools.

    DATA is as for chattmpl encode. Errors and warnings end with exit code 1, notes do not.
    """
    if explain is not None:
        _write(explained(explain))
        return OK
    usage = "chattmpl audit DATA -t TEMPLATE --tokenizer T"
    if not data:
        raise UsageError("nothing to audit", hint=usage)
    if tokenizer is None:
        raise UsageError("--tokenizer is missing", hint=usage)
    from chattmpl.data.audit import audit as run

    options |= {"template_kwargs": template_kwargs(settings), "clock": moment(clock), "tolerated": _shares(tolerate)}
    chosen = training_template(template, retention, variant, must=False)
    with watching() as watcher:
        report = run(data, chosen, tokenizer, select=_codes(select), ignore=_codes(ignore), watcher=watcher, **options)
    _show(report, form)
    return FOUND if report.failed and not exit_zero else OK


def _codes(given: tuple[str, ...]) -> list[str]:
    return [code for part in given for code in part.replace(",", " ").split()]


def _shares(given: tuple[str, ...]) -> dict[str, float]:
    """The shares of ``--tolerate CODE=P%``."""
    shares = {}
    for part in given:
        code, _, said = part.partition("=")
        try:
            share = float(said.removesuffix("%")) / (100 if said.endswith("%") else 1)
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            raise UsageError(f"--tolerate {part}: this is not CODE=P%", hint="as in --tolerate AU602=1%")
        shares[code] = share
    return shares


def explained(which: str) -> str:
    """What a kind of finding is, or, for ``all``, a list of them.

    Raises:
        UsageError: there is no such kind.
    """
    from chattmpl.data.audit import GROUPS, all_kinds, kind_named

    if which != "all":
        kind = kind_named(which)
        return f"# {kind.code} {kind.name} ({kind.severity})\n\n{kind.documentation()}\n"
    lines = []
    for group, title in GROUPS.items():
        lines.append(f"{group} {title}")
        for code, kind in all_kinds().items():
            if code.startswith(group):
                lines.append(f"  {code} {kind.severity:<7} {kind.name}: {kind.documentation().partition(chr(10))[0]}")
    return "\n".join(lines) + "\n"


def _show(report: Any, form: str | None) -> None:
    from chattmpl.data.audit import all_kinds
    from chattmpl.report import audit as written
    from chattmpl.report.lines import write_lines

    said = report.to_dict()
    if form == "json":
        _write(written.json_text(said))
    elif form == "sarif":
        documentation = {code: kind.documentation() for code, kind in all_kinds().items()}
        _write(written.sarif(said, documentation, __version__))
    else:
        write_lines(written.lines(said), form)


def _write(text: str) -> None:
    sys.stdout.buffer.write(text.encode("utf-8", errors="backslashreplace"))
    sys.stdout.buffer.flush()
