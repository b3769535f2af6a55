"""The tables of docs/evidence/proofs.md, from the reports of `chattmpl prove FAMILY --report DIR`.

    python bench/prove_table.py DIR…

Each DIR contains a report.json. Shares are counts with Wilson's interval at 95 %, in percent.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TASKS = ("persona", "tool call", "lookup", "reverse", "sum")


def share(value: dict[str, Any] | None) -> str:
    """Return a count with its interval; ``–`` if nothing was counted."""
    if not value or not value["of"]:
        return "–"
    low, high = (round(100 * value[name]) for name in ("low", "high"))
    return f"{value['count']}/{value['of']} ({low}–{high})"


def named(report: dict[str, Any]) -> str:
    """Return the family, and the seed if it is not 0."""
    seed = f", seed {report['seed']}" if report["seed"] else ""
    return f"{report['template']}{seed}"


def format_rows(reports: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the table of the format."""
    names = ("family", "steps", "parsed", "stopped", "mode followed", "turn 1", "turn 2", "turn 3", "loss", "floor")
    yield f"| {' | '.join((*names, 'CPU s', 'exit'))} |"
    yield "| --- " * 12 + "|"
    for report in reports:
        modes = report["switching"] or {"all": None, "by_turn": {}}
        turns = (modes["by_turn"].get(turn) for turn in "123")
        cells = [
            named(report),
            f"{report['size']['steps']} × {report['size']['batch']}",
            *map(share, (report["parsed"], report["stopped"], modes["all"], *turns)),
            f"{report['loss']['nats']:.3f}",
            f"{report['loss']['floor']:.3f}",
            f"{report['seconds']['all']['cpu']:.0f}",
            "0" if report["trained"] else "1",
        ]
        yield f"| {' | '.join(cells)} |"


def task_rows(reports: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the table of right answers."""
    yield f"| family | reasoning | {' | '.join(TASKS)} |"
    yield "| --- " * (len(TASKS) + 2) + "|"
    for report in reports:
        for word, key in (("with", "with_reasoning"), ("without", "without_reasoning")):
            cells = [share(report["tasks"].get(task, {}).get(key)) for task in TASKS]
            if any(cell != "–" for cell in cells):
                yield f"| {named(report)} | {word} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs="+", type=Path)
    folders = parser.parse_args().reports
    reports = [json.loads((folder / "report.json").read_text(encoding="utf-8")) for folder in folders]
    for rows in (format_rows(reports), task_rows(reports)):
        print(*rows, "", sep="\n")


if __name__ == "__main__":
    main()
