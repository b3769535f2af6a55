"""``chattmpl lint``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from chattmpl import __version__
from chattmpl.cli.failing import FOUND, OK, say
from chattmpl.errors import UsageError

BASELINE = ".chattmpl-baseline.json"
FORMS = ("rich", "text", "json", "sarif", "github")


@click.command()
@click.argument("paths", nargs=-1, metavar="PATH...")
@click.option("--format", "form", type=click.Choice(FORMS), help="By default rich in a terminal, else text.")
@click.option("--select", multiple=True, metavar="CODES", help="Only these rules or groups: CT101,CT2.")
@click.option("--ignore", multiple=True, metavar="CODES", help="All but these.")
@click.option("--tokenizer", metavar="T", help="demo, a tokenizer.json, a model directory or a hub id: for rules CT6.")
@click.option("--baseline", metavar="FILE", help=f"Known findings, which are not reported; {BASELINE} if it is there.")
@click.option("--write-baseline", is_flag=True, help="Write all findings to the baseline, as known ones.")
@click.option("--exit-zero", is_flag=True, help="End with exit code 0 whatever is found.")
def lint(
    paths: tuple[str, ...],
    form: str | None,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    tokenizer: str | None,
    baseline: str | None,
    write_baseline: bool,
    exit_zero: bool,
) -> int:
    """Find what goes wrong in templates: masks, prompts, lost fields, engines, safety.

    PATH is a .jinja file, a folder, a glob pattern, a model directory, a tokenizer_config.json,
    a GGUF file or a family.
    Errors and warnings end with exit code 1, notes do not.
    """
    from chattmpl.lint import baseline as known
    from chattmpl.lint.inputs import find_inputs
    from chattmpl.lint.rule import rules
    from chattmpl.lint.runner import lint as lint_one
    from chattmpl.lint.settings import read_settings
    from chattmpl.report.diagnostics import write

    if not paths:
        raise UsageError("nothing to lint", hint="chattmpl lint PATH, where PATH is a template or a folder of them")
    settings = read_settings(Path.cwd())
    chosen = settings.chosen(_codes(select), _codes(ignore))
    loaded = _loaded(tokenizer or settings.tokenizer)
    found = [diagnostic for item in find_inputs(paths) for diagnostic in lint_one(item, chosen, loaded)]
    file = _baseline(baseline or settings.baseline)
    if write_baseline:
        file = file or Path(BASELINE)
        say(f"wrote {known.write_baseline(file, found)} known findings to {file}")
        return OK
    if file is not None:
        found = known.without_known(file, found)
    form = form or ("rich" if sys.stdout.isatty() else "text")
    sys.stdout.buffer.write(write(form, found, rules(), __version__).encode())
    sys.stdout.buffer.flush()
    failed = any(diagnostic.severity != "info" for diagnostic in found)
    return FOUND if failed and not exit_zero else OK


def _codes(given: tuple[str, ...]) -> list[str]:
    return [code for part in given for code in part.replace(",", " ").split()]


def _loaded(tokenizer: str | None) -> Any:
    if tokenizer is None:
        return None
    from chattmpl.encode import load_tokenizer

    return load_tokenizer(tokenizer)


def _baseline(given: str | None) -> Path | None:
    if given is not None:
        return Path(given)
    return Path(BASELINE) if Path(BASELINE).is_file() else None
