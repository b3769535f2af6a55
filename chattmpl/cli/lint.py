"""``chattmpl lint``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chattmpl import __version__
from chattmpl.cli.exit_codes import FOUND, OK, say
from chattmpl.errors import UsageError

if TYPE_CHECKING:
    from chattmpl.diagnostic import TemplateDiagnostic
    from chattmpl.lint.rule import Rule
    from chattmpl.template.resolver import Found

BASELINE = ".chattmpl-baseline.json"
FORMS = ("rich", "text", "json", "sarif", "github")


@click.command()
@click.argument("paths", nargs=-1, metavar="PATH...")
@click.option("--format", "form", type=click.Choice(FORMS), help="By default rich in a terminal, else text.")
@click.option("--select", multiple=True, metavar="CODES", help="Only these rules or groups: CT101,CT2.")
@click.option("--ignore", multiple=True, metavar="CODES", help="All but these.")
@click.option("--tokenizer", metavar="T", help="demo, a tokenizer.json, a model directory or a hub id: for rules CT6.")
@click.option("--fix", is_flag=True, help="Mend what can be mended without changing any text, and report the rest.")
@click.option("--diff", is_flag=True, help="Show what --fix would change, and write nothing.")
@click.option("--baseline", metavar="FILE", help=f"Known findings, which are not reported; {BASELINE} if it is there.")
@click.option("--write-baseline", is_flag=True, help="Write all findings to the baseline, as known ones.")
@click.option("--exit-zero", is_flag=True, help="End with exit code 0 whatever is found.")
def lint(
    paths: tuple[str, ...],
    form: str | None,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    tokenizer: str | None,
    fix: bool,
    diff: bool,
    baseline: str | None,
    write_baseline: bool,
    exit_zero: bool,
) -> int:
    """Find what goes wrong in templates: masks, prompts, lost fields, engines, safety.

    PATH is a .jinja file, a folder, a glob pattern, a model directory, a tokenizer_config.json,
    a GGUF file or a family. Without one, the paths of [tool.chattmpl.lint] in pyproject.toml are taken.
    Errors and warnings end with exit code 1, notes do not.
    """
    from chattmpl.lint import baseline as known
    from chattmpl.lint.inputs import find_inputs
    from chattmpl.lint.runner import lint as lint_one
    from chattmpl.lint.settings import read_settings

    settings = read_settings(Path.cwd())
    if not paths and not settings.paths:
        raise UsageError("nothing to lint", hint="chattmpl lint PATH, where PATH is a template or a folder of them")
    chosen = settings.chosen(_codes(select), _codes(ignore))
    loaded = _loaded(tokenizer or settings.tokenizer)
    inputs = [_Input(item, loaded, settings) for item in find_inputs(paths or settings.paths)]
    file = _baseline(baseline or settings.baseline)
    if write_baseline:
        found = [one for item in inputs for one in lint_one(item.found, item.rules(chosen), item.tokenizer)]
        file = file or Path(BASELINE)
        say(f"wrote {known.write_baseline(file, found)} known findings to {file}")
        return OK
    if fix or diff:
        changed, found = _mended(inputs, chosen, file, write=not diff)
        if diff:
            return FOUND if changed and not exit_zero else OK
    else:
        found = [one for item in inputs for one in lint_one(item.found, item.rules(chosen), item.tokenizer)]
        found = found if file is None else known.without_known(file, found)
    _print(form, found)
    failed = any(diagnostic.severity != "info" for diagnostic in found)
    return FOUND if failed and not exit_zero else OK


class _Input:
    """A template, with the tokenizer and the rules that are for it."""

    def __init__(self, found: Found, tokenizer: Any, settings: Any) -> None:
        from chattmpl.lint.model import file_of, tokenizer_beside, with_tokens

        beside = tokenizer_beside(found) if tokenizer is None else None
        self.tokenizer = _loaded(str(beside)) if beside is not None else tokenizer
        self.found = found if self.tokenizer is None else with_tokens(found, self.tokenizer)
        self._settings, self._path = settings, file_of(found)

    def rules(self, chosen: list[Rule]) -> list[Rule]:
        rules: list[Rule] = self._settings.for_file(chosen, self._path)
        return rules


def _mended(
    inputs: list[_Input], chosen: list[Rule], baseline: Path | None, *, write: bool
) -> tuple[int, list[TemplateDiagnostic]]:
    """Fixes all that can be, and returns how many findings were fixed, and those that are left."""
    from chattmpl.lint.baseline import without_known
    from chattmpl.lint.fix import fix
    from chattmpl.lint.fixed_files import planned, put

    changed, left = 0, []
    for item in inputs:
        mended = fix(
            item.found,
            item.rules(chosen),
            item.tokenizer,
            (lambda given: given) if baseline is None else (lambda given: without_known(baseline, given)),
        )
        left += mended.left
        if not mended.fixed:
            continue
        change = planned(item.found, mended.found)
        if isinstance(change, str):
            left += mended.fixed
            say(f"{item.found.source.name}: not fixed: {change}")
            continue
        changed += len(mended.fixed)
        if write:
            put(change)
        else:
            sys.stdout.buffer.write(change.diff().encode())
        for finding in mended.fixed:
            say(f"{finding.place}: {'fixed' if write else 'would fix'} {finding.code}: {finding.message}")
    sys.stdout.flush()
    say(f"{changed} {'fixed' if write else 'would be fixed'}, {len(left)} left")
    return changed, left


def _print(form: str | None, found: list[TemplateDiagnostic]) -> None:
    from chattmpl.lint.rule import rules
    from chattmpl.report.diagnostics import write

    form = form or ("rich" if sys.stdout.isatty() else "text")
    sys.stdout.buffer.write(write(form, found, rules(), __version__).encode())
    sys.stdout.buffer.flush()


def _codes(given: tuple[str, ...]) -> list[str]:
    return [code for part in given for code in part.replace(",", " ").split()]


def _loaded(tokenizer: str | None) -> Any:
    if tokenizer is None:
        return None
    from chattmpl.encode import load_tokenizer
    from chattmpl.lint.model import remember

    loaded = load_tokenizer(tokenizer)
    remember(loaded, tokenizer)
    return loaded


def _baseline(given: str | None) -> Path | None:
    if given is not None:
        return Path(given)
    return Path(BASELINE) if Path(BASELINE).is_file() else None
