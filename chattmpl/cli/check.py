"""``chattmpl check``."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chattmpl.cli.inputs import Baseline, tokenizer_beside, tokenizer_of
from chattmpl.cli.inputs import conversations as read_conversations
from chattmpl.cli.options import LIMIT, RETENTION, baseline_options, command, format_option, tokenizer_option
from chattmpl.cli.output import OK, WRONG, Bars, Failures, note, say, write_diagnostics, write_file
from chattmpl.errors import ChatTmplError, UsageError

if TYPE_CHECKING:
    from chattmpl.diagnostic import TemplateDiagnostic
    from chattmpl.laws.checker import LawReport
    from chattmpl.laws.outcome import Counterexample

BASELINE = ".chattmpl-check-baseline.json"


@command(
    "Checking",
    "chattmpl check my_template.jinja --tokenizer path/to/model",
    "chattmpl check qwen3 --law sampled --examples 200",
)
@click.argument("templates", nargs=-1, metavar="TEMPLATE...")
@click.option("--conversations", metavar="FILE", help="Data file of conversations to check on. Default: the fixtures.")
@LIMIT
@click.option("--law", "names", multiple=True, metavar="LAW", help="Law to check. May be repeated. Default: all laws.")
@click.option(
    "--accept",
    "accept",
    multiple=True,
    metavar="LAW[:FIELD]",
    help="Limit that is no finding, as in lossless:documents. May be repeated. Default: accept in pyproject.toml.",
)
@click.option(
    "--examples",
    type=click.IntRange(0),
    metavar="N",
    default=0,
    help="Number of conversations that hypothesis generates in addition.",
)
@RETENTION
@tokenizer_option("Tokenizer for the laws about tokens, which are not evaluated without one")
@baseline_options(BASELINE)
@click.option("--save", metavar="FOLDER", help="Folder to write each counterexample to, as a conversation.")
@format_option("rich", "text", "json", "sarif", "github")
def check(
    templates: tuple[str, ...],
    conversations: str | None,
    limit: int | None,
    names: tuple[str, ...],
    accept: tuple[str, ...],
    examples: int,
    retention: str | None,
    tokenizer: str | None,
    baseline: str | None,
    write_baseline: bool,
    exit_zero: bool,
    save: str | None,
    form: str,
) -> int:
    """Check the laws of templates and show a minimal counterexample for each cause.

    TEMPLATE is a family, a .jinja file, a folder, a glob pattern, a model directory, a tokenizer_config.json or a GGUF
    file. The default is the paths of [tool.chattmpl.check] in pyproject.toml. Errors break training or serving. Laws
    that could not be evaluated are listed as such. The exit code is 1 if there are errors or warnings; notes do not
    count, nor do accepted limits and findings of the baseline.
    """
    from chattmpl.laws import laws as known_laws
    from chattmpl.laws import laws_named
    from chattmpl.laws.settings import accepted, read_settings
    from chattmpl.report.laws import report_lines
    from chattmpl.report.lines import line, write_lines
    from chattmpl.template.resolver import find_templates

    settings = read_settings(Path.cwd())
    if not templates and not settings.paths:
        raise UsageError("no template given", hint="chattmpl check TEMPLATE, where TEMPLATE is a family or a path")
    laws = laws_named(names or settings.laws or None)
    limits = accepted(accept) or settings.accept
    given = None if conversations is None else list(itertools.islice(read_conversations(conversations), limit))
    loaded = tokenizer_of(tokenizer or settings.tokenizer)
    reports: list[LawReport] = []
    failures = Failures()
    for found in find_templates(templates or settings.paths, failures):
        try:
            own, fitted = tokenizer_beside(found, loaded, failures)
            report = _check(fitted, retention, laws, given, examples, own, limits)
        except ChatTmplError as error:
            failures(error)
            continue
        if form in ("rich", "text"):
            lines = report_lines(report)
            write_lines(itertools.chain([line()], lines) if reports else lines, form)
        reports.append(report)
    if failures.count and not reports:
        return WRONG
    diagnostics = [finding.diagnostic(report.template) for report in reports for finding in report.findings]
    known = Baseline(baseline or settings.baseline, BASELINE)
    if write_baseline:
        known.write(diagnostics)
        return failures.or_else(OK)
    left = known.without_known(diagnostics)
    if len(left) < len(diagnostics):
        note(f"{len(diagnostics) - len(left)} of {len(diagnostics)} findings are in {known.file}")
    if form not in ("rich", "text"):
        write_diagnostics(form, left, known_laws())
    if save is not None:
        _save(Path(save), [finding.shown for report in reports for finding in report.findings], diagnostics)
    return failures.code_for(left, exit_zero)


def _check(
    found: Any, retention: str | None, laws: Any, given: Any, examples: int, tokenizer: Any, accept: Any
) -> LawReport:
    from chattmpl.laws import checker
    from chattmpl.probing import facts_of
    from chattmpl.probing.shapes import generated_conversations, shipped_conversations

    template = checker.to_check(found, retention, tokenizer)
    shape = facts_of(template).shape if examples else None
    conversations = [*(shipped_conversations() if given is None else given), *generated_conversations(examples, shape)]
    with Bars() as bars:
        return checker.check(
            template,
            laws,
            conversations,
            tokenizer,
            lambda done, total: bars.update(template.name, done, total),
            shape,
            accept,
        )


def _save(folder: Path, found: list[Counterexample], diagnostics: list[TemplateDiagnostic]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, (shown, diagnostic) in enumerate(zip(found, diagnostics, strict=True), 1):
        path = Path(diagnostic.place.source.name)
        name = re.sub(r"\W+", "_", path.parent.name if path.name == "template.jinja" else path.stem)
        target = folder / f"{name}_{diagnostic.code}_{number}.json"
        conversation = shown.conversation.with_kwargs(shown.kwargs).dump()
        write_file(target, json.dumps(conversation, ensure_ascii=False, indent=2) + "\n")
        say(f"wrote {target}")
