"""``chattmpl lint``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chattmpl.cli.inputs import Baseline, tokenizer_beside, tokenizer_of
from chattmpl.cli.options import baseline_options, codes_option, command, format_option, tokenizer_option
from chattmpl.cli.output import FOUND, OK, WRONG, Failures, note, say, write, write_diagnostics
from chattmpl.errors import UsageError

if TYPE_CHECKING:
    from chattmpl.diagnostic import TemplateDiagnostic
    from chattmpl.lint.rule import Rule
    from chattmpl.template.resolver import TemplateSource

BASELINE = ".chattmpl-baseline.json"


@command(
    "Checking",
    "chattmpl lint my_template.jinja path/to/model",
    "chattmpl lint 'templates/**/*.jinja' --format github",
    "chattmpl lint my_template.jinja --fix",
)
@click.argument("paths", nargs=-1, metavar="PATH...")
@format_option("rich", "text", "json", "sarif", "github")
@codes_option("--select", "Rules or groups to check, as in CT101,CT2. May be repeated. Default: all.")
@codes_option("--ignore", "Rules or groups to skip. May be repeated.")
@tokenizer_option("Tokenizer for the rules about tokens (CT6)")
@click.option(
    "--fix", is_flag=True, help="Apply the fixes that change no rendered text, and report the other findings."
)
@click.option("--diff", is_flag=True, help="Print what --fix would change without writing it.")
@baseline_options(BASELINE)
def lint(
    paths: tuple[str, ...],
    form: str,
    select: list[str],
    ignore: list[str],
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
    from chattmpl.lint.rule import rules
    from chattmpl.lint.settings import read_settings
    from chattmpl.template.resolver import find_templates

    settings = read_settings(Path.cwd())
    if not paths and not settings.paths:
        raise UsageError("no path given", hint="chattmpl lint PATH, where PATH is a template or a folder of templates")
    chosen = settings.chosen(select, ignore)
    loaded = tokenizer_of(tokenizer or settings.tokenizer)
    failures = Failures()
    inputs = [_Input(item, loaded, settings, failures) for item in find_templates(paths or settings.paths, failures)]
    if failures.count and not inputs:
        return WRONG
    known = Baseline(baseline or settings.baseline, BASELINE)
    if write_baseline:
        known.write(_findings(inputs, chosen))
        return failures.or_else(OK)
    if fix or diff:
        changed, found = _fix(inputs, chosen, known, write_files=not diff)
        if diff:
            return failures.or_else(FOUND if changed and not exit_zero else OK)
    else:
        found = known.without_known(_findings(inputs, chosen))
    write_diagnostics(form, found, rules())
    return failures.code_for(found, exit_zero)


class _Input:
    """A template with its tokenizer and its rules."""

    def __init__(self, found: TemplateSource, tokenizer: Any, settings: Any, failures: Failures) -> None:
        self.tokenizer, self.found = tokenizer_beside(found, tokenizer, failures)
        self._settings, self._path = settings, found.path or Path(found.source.name)

    def rules(self, chosen: list[Rule]) -> list[Rule]:
        rules: list[Rule] = self._settings.for_file(chosen, self._path)
        return rules


def _findings(inputs: list[_Input], chosen: list[Rule]) -> list[TemplateDiagnostic]:
    """Return the findings in all templates, and print a note on the special tokens that are not known."""
    from chattmpl.lint.runner import examine
    from chattmpl.probing.facts import placeholders_in

    findings: list[TemplateDiagnostic] = []
    unknown: dict[str, None] = {}
    for item in inputs:
        subject, found = examine(item.found, item.rules(chosen), item.tokenizer)
        findings += found
        unknown.update(dict.fromkeys(placeholders_in(subject.template) if subject is not None else ()))
    if unknown:
        note(f"placeholders stand for {', '.join(unknown)} where no file defines them: give --tokenizer")
    return findings


def _fix(
    inputs: list[_Input], chosen: list[Rule], known: Baseline, *, write_files: bool
) -> tuple[int, list[TemplateDiagnostic]]:
    """Fix what can be fixed. Return the number of fixed findings, and the findings that are left."""
    from chattmpl.lint.fix import fix
    from chattmpl.template.writer import plan_in_place
    from chattmpl.template.writer import write as write_change

    changed, left = 0, []
    for item in inputs:
        result = fix(item.found, item.rules(chosen), item.tokenizer, known.without_known)
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
            write(change.diff())
        for finding in result.fixed:
            say(f"{finding.place}: {'fixed' if write_files else 'would fix'} {finding.code}: {finding.message}")
    say(f"{changed} {'fixed' if write_files else 'would be fixed'}, {len(left)} left")
    return changed, left
