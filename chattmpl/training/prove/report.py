"""The report of a proof: JSON for programs, Markdown and HTML with plots for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from chattmpl.training.prove.plots import bars, curve

Rows = list[tuple[str, ...]]


def write(report: dict[str, Any], folder: Path) -> list[Path]:
    """Writes ``report.json``, ``report.md``, ``report.html`` and the plots; returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = plots(report)
    texts = {
        "report.json": json.dumps(report, ensure_ascii=False, indent=2) + "\n",
        "report.md": markdown(report, list(pictures)),
        "report.html": html(report, pictures),
        **pictures,
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def plots(report: dict[str, Any]) -> dict[str, str]:
    """The plots, by the names of their files."""
    points = [(entry["step"], entry["loss"]) for entry in report["training"]["curve"]]
    made = {
        "shares.svg": bars("What the model does on held-out prompts", _overall(report)),
        "tasks.svg": bars("Right answers", _by_task(report)),
        "loss.svg": curve("Loss on supervised tokens", points, report["loss"]["floor"]),
    }
    if report["switching"] is not None:
        turns = [(f"turn {number}", share) for number, share in report["switching"]["by_turn"].items()]
        made["switching.svg"] = bars("Turns that follow the mode", turns)
    return made


def _overall(report: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    shares = [("parse", report["parsed"]), ("end in a stop token", report["stopped"])]
    switching = report["switching"]
    if switching is not None:
        shares.append(("follow the mode", switching["all"]))
        shares.append(("… reason when they should", switching["to_think"]))
        shares.append(("… do not when they should not", switching["not_to_think"]))
        if switching["forced"]["of"]:
            shares.append(("… where the template forces it", switching["forced"]))
    return shares


_MODES = {"with_reasoning": "with reasoning", "without_reasoning": "without"}


def _by_task(report: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{kind}, {_MODES[mode]}" if len(modes) > 1 else kind, share)
        for kind, modes in report["tasks"].items()
        for mode, share in modes.items()
    ]


def shown(share: dict[str, Any]) -> str:
    """A share with its counts and its interval."""
    if share["share"] is None:
        return "n/a"
    spread = f"{100 * share['low']:.0f}–{100 * share['high']:.0f} %"
    return f"{share['count']} of {share['of']} ({spread})"


def verdict(report: dict[str, Any]) -> str:
    """What came out, in one line."""
    where = f"{report['template']}" + (f" (retention {report['retention']})" if report["retention"] else "")
    return f"{where}: the template trained" if report["trained"] else f"{where}: the template did NOT train"


def tables(report: dict[str, Any]) -> list[tuple[str, str | None, Rows]]:
    """What is told: headings, each with the plot that belongs to it and the rows of a table."""
    told: list[tuple[str, str | None, Rows]] = []
    counts: Rows = [(name, shown(share)) for name, share in _overall(report)]
    endings = ", ".join(f"{text!r} {n} times" for text, n in report["not_stopped"]["endings"].items())
    counts.append(("the others ended, at the limit, in", endings or "–"))
    counts += [(f"not parsed: {why}", f"{n} times") for why, n in report["refusals"].items()]
    told.append(("On held-out prompts", "shares.svg", counts))
    told.append(("Right answers", "tasks.svg", [(name, shown(share)) for name, share in _by_task(report)]))
    if report["switching"] is not None:
        turns = report["switching"]["by_turn"].items()
        rows: Rows = [(f"turn {number}", shown(share)) for number, share in turns]
        told.append(("Mode switching, by turn", "switching.svg", rows))
    loss = report["loss"]
    told.append(
        (
            "Loss on supervised tokens of held-out rows",
            "loss.svg",
            [
                ("measured", f"{loss['nats']:.4f} nats a token, {loss['tokens']} tokens"),
                ("entropy floor", f"{loss['floor']:.4f} nats a token"),
            ],
        )
    )
    told.append(("What was run", None, _run(report)))
    return told


def _run(report: dict[str, Any]) -> Rows:
    size, seconds, audit = report["size"], report["seconds"], report["audit"]
    retention = report["retention"] or "–"
    if report["own_retention"] != report["retention"]:
        retention += f" (its own, {report['own_retention']}, renders no trace to learn from)"
    return [
        ("size", f"{size['name']}: {size['steps']} steps of {size['batch']} rows"),
        ("seed", str(report["seed"])),
        ("retention", retention),
        ("model", f"{report['model']['parameters']:,} parameters, {report['model']['vocabulary']} tokens"),
        ("data", f"{report['data']['talks']} conversations, {report['data']['rows']} rows"),
        ("held out", f"{report['data']['tests']} conversations, {report['data']['test_turns']} turns"),
        ("audit before training", f"{audit['documents']} rows as the template says"),
        *((f"time, {name}", f"{each['wall']:g} s, {each['cpu']:g} s of processor") for name, each in seconds.items()),
    ]


def text(report: dict[str, Any]) -> str:
    """The report for a terminal."""
    lines = [verdict(report)]
    for heading, _, rows in tables(report):
        lines += ["", heading, *(f"  {name:<38} {value}" for name, value in rows)]
    lines += ["", *(f"failed: {failure}" for failure in report["failures"])] if report["failures"] else []
    return "\n".join(lines)


def markdown(report: dict[str, Any], pictures: Sequence[str]) -> str:
    """The report as Markdown, with plots beside it."""
    lines = [f"# {_title(report)}", "", f"**{verdict(report)}.** Intervals are Wilson's, at 95 %.", ""]
    lines += [f"- failed: {failure}" for failure in report["failures"]]
    for heading, plot, rows in tables(report):
        lines += ["", f"## {heading}", ""]
        if plot in pictures:
            lines += [f"![{heading}]({plot})", ""]
        lines += ["| | |", "| --- | --- |", *(f"| {_cell(name)} | {_cell(value)} |" for name, value in rows)]
    lines += ["", "## Examples", ""]
    for each in report["examples"]:
        mark = "right" if each["right"] else "wrong"
        mode = "with reasoning" if each["reasons"] else "without reasoning"
        lines.append(f"- {each['task']}, {mode}, {mark}: `{each['asked']}` → `{_one_line(each['sampled'])}`")
    return "\n".join(lines) + "\n"


def _title(report: dict[str, Any]) -> str:
    return f"Does {report['template']} train?"


def _one_line(value: str) -> str:
    return value.replace("\n", "⏎").replace("`", "'")


def _cell(value: str) -> str:
    return value.replace("|", "\\|").replace("<", "&lt;").replace("\n", "⏎")


def html(report: dict[str, Any], pictures: dict[str, str]) -> str:
    """The report as one page, with its plots in it."""
    parts = [f"<h1>{escape(_title(report))}</h1>", f"<p><b>{escape(verdict(report))}.</b> Intervals: Wilson, 95 %.</p>"]
    parts += [f"<p class=failed>failed: {escape(failure)}</p>" for failure in report["failures"]]
    for heading, plot, rows in tables(report):
        parts.append(f"<h2>{escape(heading)}</h2>")
        parts.append(pictures.get(plot or "", ""))
        cells = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows)
        parts.append(f"<table>{cells}</table>")
    parts.append("<h2>Examples</h2><table>")
    for each in report["examples"]:
        told = (each["task"], each["asked"], each["expected"], each["sampled"], "right" if each["right"] else "wrong")
        parts.append("<tr>" + "".join(f"<td>{escape(value)}</td>" for value in told) + "</tr>")
    parts.append("</table>")
    style = (
        "body{font:15px/1.5 sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}td{padding:.2rem .8rem .2rem 0;"
        "vertical-align:top;white-space:pre-wrap}.failed{color:#c00}svg{max-width:100%;height:auto}"
    )
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(_title(report))}</title>'
    return f"{head}<style>{style}</style>\n" + "\n".join(parts) + "\n</html>\n"
