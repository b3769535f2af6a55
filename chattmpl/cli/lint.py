"""``chattmpl lint``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chattmpl import __version__
from chattmpl.cli.options import codes, command, format_option, tokenizer_option
from chattmpl.cli.output import FOUND, OK, choose_format, say, write
from chattmpl.errors import UsageError

if TYPE_CHECKING:
    from chattmpl.diagnostic import TemplateDiagnostic
    from chattmpl.lint.rule import Rule
    from chattmpl.template.resolver import TemplateSource

BASELINE = ".chattmpl-baseline.json"


@command("Checking")
@click.argument("paths", nargs=-1, metavar="PATH...")
@format_option("rich", "text", "json", "sarif", "github")
@click.option("--select", multiple=True, metavar="CODES", help="Check only these rules or groups, as in CT101,CT2.")
@click.option("--ignore", multiple=True, metavar="CODES", help="Skip these rules or groups.")
@tokenizer_option("Tokenizer for the rules CT6")
@click.option("--fix", is_flag=True, help="Apply the fixes that change no rendered text, and report the rest.")
@click.option("--diff", is_flag=True, help="Show what --fix would change without writing it.")
@click.option(
    "--baseline",
    metavar="FILE",
    help=f"File of known findings, which are not reported. Default: {BASELINE} if present.",
)
@click.option("--write-baseline", is_flag=True, help="Write all findings to the baseline.")
@click.option("--exit-zero", is_flag=True, help="Exit with 0 even if there are findings.")
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
    """Find defects in templates: masks, prompts, lost fields, portability, safety.

    PATH is a family, a .jinja file, a folder, a glob pattern, a model directory, a tokenizer_config.json or a GGUF
    file. The default is the paths of [tool.chattmpl.lint] in pyproject.toml. The exit code is 1 if there are errors or
    warnings; notes do not count.
    """
    from chattmpl.lint import baseline as known
    from chattmpl.lint.runner import lint as lint_one
    from chattmpl.lint.settings import read_settings
    from chattmpl.template.resolver import find_templates

    settings = read_settings(Path.cwd())
    if not paths and not settings.paths:
        raise UsageError("no path given", hint="chattmpl lint PATH, where PATH is a template or a folder of templates")
    chosen = settings.chosen(codes(select), codes(ignore))
    loaded = _loaded(tokenizer or settings.tokenizer)
    inputs = [_Input(item, loaded, settings) for item in find_templates(paths or settings.paths)]
    file = _baseline(baseline or settings.baseline)
    if write_baseline:
        found = [one for item in inputs for one in lint_one(item.found, item.rules(chosen), item.tokenizer)]
        file = file or Path(BASELINE)
        say(f"wrote {known.write_baseline(file, found)} known findings to {file}")
        return OK
    if fix or diff:
        changed, found = _fix(inputs, chosen, file, write_files=not diff)
        if diff:
            return FOUND if changed and not exit_zero else OK
    else:
        found = [one for item in inputs for one in lint_one(item.found, item.rules(chosen), item.tokenizer)]
        found = found if file is None else known.without_known(file, found)
    _print(form, found)
    failed = any(diagnostic.severity != "info" for diagnostic in found)
    return FOUND if failed and not exit_zero else OK


class _Input:
    """A template with its tokenizer and its rules."""

    def __init__(self, found: TemplateSource, tokenizer: Any, settings: Any) -> None:
        beside = found.directory.tokenizer if tokenizer is None and found.directory is not None else None
        self.tokenizer = _loaded(str(beside)) if beside is not None else tokenizer
        directory = self.tokenizer.directory if self.tokenizer is not None else None
        self.found = found if found.tokens or directory is None else replace(found, tokens=directory.tokens)
        self._settings, self._path = settings, found.path or Path(found.source.name)

    def rules(self, chosen: list[Rule]) -> list[Rule]:
        rules: list[Rule] = self._settings.for_file(chosen, self._path)
        return rules


def _fix(
    inputs: list[_Input], chosen: list[Rule], baseline: Path | None, *, write_files: bool
) -> tuple[int, list[TemplateDiagnostic]]:
    """Fix what can be fixed. Return the number of fixed findings, and the findings that are left."""
    from chattmpl.lint.baseline import without_known
    from chattmpl.lint.fix import fix
    from chattmpl.template.writer import plan_in_place
    from chattmpl.template.writer import write as write_change

    changed, left = 0, []
    for item in inputs:
        result = fix(
            item.found,
            item.rules(chosen),
            item.tokenizer,
            (lambda given: given) if baseline is None else (lambda given: without_known(baseline, given)),
        )
        left += result.left
        if not result.fixed:
            continue
        try:
            change = plan_in_place(item.found, result.found.source.text)
        except UsageError as refusal:
            left += result.fixed
            say(f"{item.found.source.name}: not fixed: {refusal.message}; {refusal.hint}")
            continue
        changed += len(result.fixed)
        if write_files:
            write_change(change, backup=False)
        else:
            sys.stdout.buffer.write(change.diff().encode())
        for finding in result.fixed:
            say(f"{finding.place}: {'fixed' if write_files else 'would fix'} {finding.code}: {finding.message}")
    sys.stdout.flush()
    say(f"{changed} {'fixed' if write_files else 'would be fixed'}, {len(left)} left")
    return changed, left


def _print(form: str | None, found: list[TemplateDiagnostic]) -> None:
    from chattmpl.lint.rule import rules
    from chattmpl.report import diagnostics as report

    write(report.write(choose_format(form), found, rules(), __version__))


def _loaded(tokenizer: str | None) -> Any:
    if tokenizer is None:
        return None
    from chattmpl.encode import load_tokenizer

    return load_tokenizer(tokenizer)


def _baseline(given: str | None) -> Path | None:
    if given is not None:
        return Path(given)
    return Path(BASELINE) if Path(BASELINE).is_file() else None
