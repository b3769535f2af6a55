"""Plants defects into good templates, and counts what lint finds of them, beside chatlint.

    python bench/mutants.py [--groups family trl llama.cpp] [--kinds NAME…] [--missed] [--json FILE] [--no-chatlint]

The bases are the training exports of the shipped families under several retention policies, and the templates of trl
and llama.cpp (fetched by pip into the cache of the tests). A mutant counts only if its defect is proven on the fixtures
of the project, which lint does not use: another text, other spans, a field that is lost (see `planting/`).

* *found*: lint has a finding of a rule that belongs to the kind and that the base has not; *on the line*: it stands on
  a line that was changed, or beside it, where the kind of defect has a line;
* *loud*: found as an error or a warning, not as a note;
* *beside*: findings of errors and warnings that the mutant has, the base has not, and no rule of the kind made;
* *twins*: edits that change nothing, and the findings that they add;
* bases: what both find in the templates before anything is planted; much of that is true of them;
* chatlint says for each property and shape whether it fails: any new failure counts as found, any on a twin as false.

Times are medians over the mutants, one process, templates compiled anew by both.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import planting.content
import planting.mask
import planting.prompt
import planting.text  # noqa: F401
from planting.kind import KINDS, Kind
from planting.oracle import Base
from planting.twins import twins

from chattmpl import Template
from chattmpl.compiler.program import compile_program
from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.runner import lint
from chattmpl.source import Source
from chattmpl.template.resolver import TemplateSource

GROUPS = ("family", "trl", "llama.cpp")
ROOT = Path(__file__).parent.parent


@dataclass
class Count:
    """Counts for one kind of defect.

    Attributes:
        mutants: number of mutants.
        found, on_line: number that chattmpl found, and found on the right line.
        with_line: number that have a line to find.
        loud: number found as an error or a warning, not as a note.
        beside: number of chattmpl's findings that are not about the defect.
        theirs: number that chatlint found.
        missed: the mutants that chattmpl did not find.
    """

    mutants: int = 0
    found: int = 0
    loud: int = 0
    with_line: int = 0
    on_line: int = 0
    beside: int = 0
    theirs: int = 0
    missed: list[str] = field(default_factory=list)


@dataclass
class Report:
    """All counts, and times in milliseconds a template."""

    kinds: dict[str, Count] = field(default_factory=dict)
    bases: dict[str, list[str]] = field(default_factory=dict)
    their_bases: dict[str, int] = field(default_factory=dict)
    twins: int = 0
    false_twins: int = 0
    false_on_twins: list[str] = field(default_factory=list)
    theirs_on_twins: int = 0
    beside: Counter[str] = field(default_factory=Counter)
    milliseconds: dict[str, float] = field(default_factory=dict)


def bases(groups: Iterable[str] = GROUPS) -> Iterator[Base]:
    """Return the templates to plant defects in."""
    if "family" in groups:
        for folder in sorted((ROOT / "templates").iterdir()):
            template = Template.load(folder.name)
            policies = ("all", "since_last_user", "none") if template.program.has_reasoning else (None,)
            for policy in policies:
                one = Template.load(folder.name, retention=policy)
                name = folder.name if policy is None else f"{folder.name} ({policy})"
                yield Base(name, "family", one.export("train"), tuple(one.tokens.items()))
    from support.fetched import llama_cpp_templates, trl_templates

    if "trl" in groups:
        for name, source in trl_templates().items():
            if name.endswith("_training"):
                yield Base(f"trl {name}", "trl", source)
    if "llama.cpp" in groups:
        for name, source in llama_cpp_templates().items():
            yield Base(f"llama.cpp {name}", "llama.cpp", source)


def found_in(base: Base) -> list[TemplateDiagnostic]:
    """Return the findings of lint with empty caches."""
    compile_program.cache_clear()
    return lint(TemplateSource(Source(base.source, base.name), dict(base.tokens)))


def new(before: list[TemplateDiagnostic], after: list[TemplateDiagnostic]) -> list[TemplateDiagnostic]:
    """Return the findings that were not there before."""
    known = Counter(one.identity for one in before)
    made = []
    for one in after:
        known[one.identity] -= 1
        if known[one.identity] < 0:
            made.append(one)
    return made


def changed_lines(before: str, after: str) -> range:
    """Return the lines of the second text that differ from the first, and their neighbours."""
    first, second = before.split("\n"), after.split("\n")
    shorter = min(len(first), len(second))
    top = next((index for index in range(shorter) if first[index] != second[index]), shorter)
    below = next((index for index in range(shorter - top) if first[-1 - index] != second[-1 - index]), shorter - top)
    return range(top, max(len(second) - below, top + 1) + 2)


def chatlint() -> Callable[[Base], set[tuple[str, str]]] | None:
    """Return a function that lists the failing properties and shapes of chatlint; None if it is not installed."""
    try:
        from chatlint.check import check
        from chatlint.render import _COMPILED
        from chatlint.render import Template as Theirs
    except ImportError:
        return None

    def failures(base: Base) -> set[tuple[str, str]]:
        _COMPILED.clear()
        try:
            report = check(Theirs(base.name, base.source))
        except SyntaxError:
            # What Python refuses to compile ends chatlint, which is noticed.
            return {("compiles", "all")}
        return {(result.prop, result.shape) for result in (*report.errors, *report.warnings)}

    return failures


def timed(work: Callable[[Base], Any], times: list[float], base: Base) -> Any:
    """Return the result of a function and its time in milliseconds."""
    start = time.perf_counter()
    made = work(base)
    times.append((time.perf_counter() - start) * 1000)
    return made


def measure(given: Iterable[Base], kinds: Iterable[Kind], theirs: Callable[[Base], Any] | None = None) -> Report:
    """Plant every kind of defect into every base that has a place for it."""
    report = Report()
    kinds = list(kinds)
    ours_ms: list[float] = []
    theirs_ms: list[float] = []
    for base in given:
        before = timed(found_in, ours_ms, base)
        their_before = timed(theirs, theirs_ms, base) if theirs else set()
        grave = [one for one in before if one.severity != "info"]
        report.their_bases[base.name] = len(their_before)
        report.bases[base.name] = [f"{one.place.line} {one.code} {one.message}" for one in grave]
        for name, twin in twins(base):
            report.twins += 1
            added = [one for one in new(before, found_in(twin)) if one.severity != "info"]
            report.false_twins += bool(added)
            report.false_on_twins += [f"{base.name}, {name}: {one.code} {one.message}" for one in added]
            report.theirs_on_twins += bool(theirs and theirs(twin) - their_before)
        for kind in kinds:
            for mutant in kind.mutants(base):
                after = timed(found_in, ours_ms, mutant)
                _count(report, kind, base, mutant, before, after)
                if theirs:
                    report.kinds[kind.name].theirs += bool(timed(theirs, theirs_ms, mutant) - their_before)
    report.milliseconds["chattmpl"] = statistics.median(ours_ms)
    if theirs:
        report.milliseconds["chatlint"] = statistics.median(theirs_ms)
    return report


def _count(
    report: Report,
    kind: Kind,
    base: Base,
    mutant: Base,
    before: list[TemplateDiagnostic],
    after: list[TemplateDiagnostic],
) -> None:
    added = new(before, after)
    count = report.kinds.setdefault(kind.name, Count())
    count.mutants += 1
    mine = [one for one in added if one.code in kind.codes]
    had = Counter(one.code for one in before)
    beside = [one for one in added if one.code not in kind.codes and one.severity != "info" and not had[one.code]]
    count.beside += len(beside)
    report.beside.update(f"{kind.name}: {one.code}" for one in beside)
    if not mine:
        count.missed.append(f"{base.name}: {sorted({one.code for one in added})}")
        return
    count.found += 1
    count.loud += any(one.severity != "info" for one in mine)
    if kind.located:
        lines = changed_lines(base.source, mutant.source)
        count.with_line += 1
        count.on_line += any(one.place.line in lines for one in mine)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "–"


def show(report: Report, *, missed: bool) -> None:
    """Print the tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=120)
    table = Table(title="Planted defects")
    for heading in ("kind of defect", "rules", "mutants", "found", "loud", "on the line", "beside", "chatlint"):
        table.add_column(heading, justify="left" if heading in ("kind of defect", "rules") else "right")
    counts = report.kinds
    for name, kind in KINDS.items():
        if name in counts:
            one = counts[name]
            loud = _percent(one.loud, one.mutants)
            row = (_percent(one.found, one.mutants), loud, _percent(one.on_line, one.with_line), f"{one.beside}")
            codes = " ".join(sorted(kind.codes)[:3]) + (" …" if len(kind.codes) > 3 else "")
            table.add_row(name, codes, f"{one.mutants}", *row, _percent(one.theirs, one.mutants))
    total = [
        sum(getattr(one, what) for one in counts.values()) for what in ("mutants", "found", "with_line", "on_line")
    ]
    loud = _percent(sum(one.loud for one in counts.values()), total[0])
    beside, theirs = (sum(getattr(one, what) for one in counts.values()) for what in ("beside", "theirs"))
    shares = (_percent(total[1], total[0]), loud, _percent(total[3], total[2]), f"{beside}", _percent(theirs, total[0]))
    table.add_section()
    table.add_row(f"{len(counts)} kinds", "", f"{total[0]}", *shares)
    console.print(table)
    console.print(
        f"false alarms on {report.twins} twins: ours on {report.false_twins} "
        f"({_percent(report.false_twins, report.twins)}), chatlint on {report.theirs_on_twins} "
        f"({_percent(report.theirs_on_twins, report.twins)})"
    )
    whole = len(report.bases)
    ours, theirs = sum(map(bool, report.bases.values())), sum(map(bool, report.their_bases.values()))
    console.print(
        f"errors or warnings on {whole} bases: ours on {ours} ({sum(map(len, report.bases.values()))} findings), "
        f"chatlint on {theirs} ({sum(report.their_bases.values())} failures)"
    )
    console.print(
        f"milliseconds a template: { {name: round(value, 1) for name, value in report.milliseconds.items()} }"
    )
    if missed:
        for name, one in counts.items():
            for line in one.missed:
                console.print(f"missed {name}: {line}", highlight=False, markup=False)
        for line in report.false_on_twins:
            console.print(f"twin: {line}", highlight=False, markup=False)
        for line, number in report.beside.most_common():
            console.print(f"beside: {number} {line}", highlight=False, markup=False)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", nargs="*", default=list(GROUPS), choices=GROUPS)
    parser.add_argument("--kinds", nargs="*", help="kinds of defects to measure (default: all)", default=None)
    parser.add_argument("--sample", type=int, help="number of templates, drawn with a fixed seed (default: all)")
    parser.add_argument("--missed", action="store_true", help="list missed mutants and unrelated findings")
    parser.add_argument("--json", type=Path, help="write all counts to this file")
    parser.add_argument("--no-chatlint", action="store_true", help="measure chattmpl alone")
    given = parser.parse_args()
    chosen = list(bases(given.groups))
    if given.sample:
        chosen = random.Random(0).sample(chosen, min(given.sample, len(chosen)))
    kinds = [kind for kind in KINDS.values() if given.kinds is None or kind.name in given.kinds]
    report = measure(chosen, kinds, None if given.no_chatlint else chatlint())
    show(report, missed=given.missed)
    if given.json:
        given.json.write_text(
            json.dumps(
                {**asdict(replace(report, beside=Counter())), "beside": dict(report.beside)},
                indent=1,
                ensure_ascii=False,
            ),
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
