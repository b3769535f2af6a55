"""No logic reads a message, a hint or another text for people: with all of them replaced by noise, nothing changes."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from test_lint_rules import CODES, fixture
from test_lint_slips import GOOD, SLIPS

from chattmpl import Template
from chattmpl.diagnostic import DataDiagnostic, TemplateDiagnostic
from chattmpl.errors import ChatTmplError
from chattmpl.laws import Counterexample, DoesNotApply, NotEvaluated, laws_named
from chattmpl.laws.checker import check, to_check
from chattmpl.lint.fix import fix
from chattmpl.lint.rule import rules
from chattmpl.lint.runner import lint
from chattmpl.parse.refusal import ParseRefusal
from chattmpl.probing.shapes import shipped_conversations
from chattmpl.source import Source
from chattmpl.template.family import family_names
from chattmpl.template.resolver import TemplateSource, find_template
from chattmpl.template.template import Template as CoreTemplate
from support import ROOT
from support.command import run_here
from support.extras import need
from support.fetched import trl_templates

sys.path.append(str(ROOT / "bench"))

import mutants
from planting.kind import KINDS

WORDS: dict[type[Any], tuple[str, ...]] = {
    TemplateDiagnostic: ("message", "hint", "declared"),
    DataDiagnostic: ("message", "hint"),
    Counterexample: ("message", "hint"),
    DoesNotApply: ("why",),
    NotEvaluated: ("why",),
    ParseRefusal: ("message", "hint"),
    ChatTmplError: ("message", "hint"),
}
"""The classes that carry words, and the attributes that hold them."""


@pytest.fixture
def noise(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A function after which each text for people is another one each time that one is made."""
    numbers = itertools.count()

    def noisy(kind: type[Any], names: tuple[str, ...]) -> None:
        original = kind.__init__

        @wraps(original)
        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            for name in names:
                if getattr(self, name):
                    object.__setattr__(self, name, f"noise {next(numbers)}")

        monkeypatch.setattr(kind, "__init__", init)

    def make_noise() -> None:
        for kind, names in WORDS.items():
            noisy(kind, names)

    return make_noise


def same(noise: Callable[[], None], observe: Callable[[], Any]) -> None:
    before = observe()
    noise()
    assert observe() == before


def linted(found: TemplateSource) -> list[Any]:
    return [
        {name: value for name, value in vars(one).items() if name not in ("message", "hint", "declared")}
        for one in lint(found)
    ]


def checked(template: CoreTemplate, count: int) -> list[Any]:
    report = check(template, laws_named(None), shipped_conversations()[:count])
    causes = [
        [(one.law, one.kind, one.place, one.path, one.turns, one.data, one.conversation.dump()) for one in members]
        for members in ((finding.shown, *finding.others) for finding in report.findings)
    ]
    counts = [
        (verdict.law.name, verdict.holds, verdict.silent.total(), verdict.unevaluated.total(), verdict.declared.total())
        for verdict in report.verdicts
    ]
    return [causes, counts, [finding.severity for finding in report.findings], report.ok]


def rewritten(rewrite: Callable[[], Any]) -> Any:
    try:
        return rewrite().template.source
    except ChatTmplError as error:
        return type(error), error.place


def source(text: str) -> TemplateSource:
    return TemplateSource(Source(text, "x.jinja"))


@pytest.mark.parametrize("name", family_names())
def test_lint_of_a_family_reads_no_words(name: str, noise: Callable[[], None]) -> None:
    same(noise, lambda: linted(find_template(name)))


def test_lint_of_planted_defects_reads_no_words(noise: Callable[[], None]) -> None:
    """Every fourth rule, and all on misspellings; random text is never the same."""
    chosen = [code for code in CODES if code[:3] == "CT7" or (CODES.index(code) % 4 == 0 and code != "CT509")]
    planted = [source(fixture(code)["planted"]) for code in chosen]
    same(noise, lambda: [linted(found) for found in planted])


def test_a_slip_is_one_finding_whatever_it_says(noise: Callable[[], None]) -> None:
    slips = [GOOD.replace(old, new) for old, new, *_ in list(SLIPS.values())[::4]]
    slips.append(GOOD.replace("{{- '<|im_end|>' -}}", "{{- '<|im_ends|>' -}}"))
    same(noise, lambda: [linted(source(slip)) for slip in slips])


@pytest.mark.upstream
def test_fixes_read_no_words(noise: Callable[[], None]) -> None:
    planted = [source(fixture(code)["planted"]) for code in ("CT003", "CT704")]

    def fixed() -> list[Any]:
        done = [fix(found, tuple(rules().values())) for found in planted]
        return [(one.found.source.text, [gone.code for gone in one.fixed]) for one in done]

    same(noise, fixed)


@pytest.mark.parametrize("name", ["chatml", "gpt_oss"])
def test_laws_and_their_causes_read_no_words(name: str, noise: Callable[[], None]) -> None:
    same(noise, lambda: checked(to_check(find_template(name)), 6))


def test_a_template_that_breaks_laws_has_the_same_root_causes(noise: Callable[[], None]) -> None:
    broken = GOOD.replace("{%- generation -%}\n", "").replace("{{- '<|im_start|>assistant\\n' -}}\n{{-", "{{-")
    broken = broken.replace("{%- endgeneration -%}", "")
    header = GOOD.replace("{{- '<|im_start|>assistant\\n' -}}\n{%- generation -%}", "{%- generation -%}H")
    same(noise, lambda: [checked(to_check(source(one)), 5) for one in (broken, header)])


def test_rewrites_read_no_words(noise: Callable[[], None]) -> None:
    bare = re.sub(r"\{%- (end)?generation -%\}\n", "", GOOD)
    silent = "{% for m in messages %}{{ m.role }}{% endfor %}"
    dropping = bare.replace("message.content or ''", "(message.content or '').split('</think>')[-1]")
    attempts = [
        lambda: Template.from_source(bare).annotate(examples=0),
        lambda: Template.from_source(silent).annotate(examples=0),
        lambda: Template.from_source(dropping).retain("all", examples=0),
    ]
    same(noise, lambda: [rewritten(attempt) for attempt in attempts])


def test_exit_codes_follow_no_words(noise: Callable[[], None], tmp_path: Path) -> None:
    (tmp_path / "bad.jinja").write_text(GOOD.replace("{{- '<|im_end|>' -}}", "{{- '<|im_ends|>' -}}"))
    (tmp_path / "no.jinja").write_text("{% for %}")
    commands = [
        ("lint", tmp_path / "bad.jinja"),
        ("lint", "chatml"),
        ("check", "--law", "sampled", "--law", "prefix", "chatml"),
        ("check", tmp_path / "no.jinja"),
        ("inspect", tmp_path / "bad.jinja"),
        ("render", "-t", "chatml", tmp_path / "absent.json"),
    ]
    same(noise, lambda: [run_here([str(part) for part in command]).code for command in commands])


def test_mutants_are_found_whatever_findings_say(noise: Callable[[], None]) -> None:
    """A mutant of every sixth kind."""
    base = next(base for base in mutants.bases(["family"]) if base.name == "chatml")
    planted = [mutant for kind in list(KINDS.values())[::6] for mutant in kind.mutants(base)]
    assert len(planted) > 3

    def found() -> list[Any]:
        before = mutants.found_in(base)
        return [[one.code for one in mutants.new(before, mutants.found_in(mutant))] for mutant in planted]

    same(noise, found)


@pytest.mark.upstream
def test_lint_of_the_templates_of_trl_reads_no_words(noise: Callable[[], None]) -> None:
    same(noise, lambda: {name: linted(source(text)) for name, text in trl_templates().items()})


@pytest.mark.upstream
def test_mutants_of_all_kinds_are_found_whatever_findings_say(noise: Callable[[], None]) -> None:
    bases = [base for base in mutants.bases(["family"]) if base.name in ("qwen3 (all)", "chatml")]
    planted = [mutant for base in bases for kind in KINDS.values() for mutant in kind.mutants(base)]
    same(noise, lambda: [[one.code for one in mutants.found_in(mutant)] for mutant in planted])


@pytest.mark.data
def test_audits_read_no_words(noise: Callable[[], None]) -> None:
    need("numpy", "pyarrow", "yaml", "zstandard")
    import test_data_audit_checks as cases

    def found() -> Iterator[Any]:
        for code, some in cases.CASES.items():
            for case in some[:1]:
                for one in cases.run(case.bad, case.template, case.options, code):
                    yield (one.code, one.severity, one.kind, one.key, one.count, one.amount, dict(one.sources))

    same(noise, lambda: list(found()))
