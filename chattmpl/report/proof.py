"""The report of `chattmpl prove`: text for a terminal, and JSON, Markdown and HTML with SVG plots for a folder."""

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from chattmpl.printable import count
from chattmpl.report import svg

Report = Mapping[str, Any]
"""The JSON of a proof, from `chattmpl.training.prove.prove`; docs/evidence/proofs.md documents its keys."""

Rows = list[tuple[str, str]]

_WIDTH = 640
_LEFT, _RIGHT, _ROW = 230, 120, 26
_STYLE = (
    "text{font:12px sans-serif;fill:#222}.faint{stroke:#ddd}.bar{fill:#5b8ff9}"
    ".spread{stroke:#222;stroke-width:1.5}.line{fill:none;stroke:#5b8ff9;stroke-width:2}"
    ".floor{stroke:#d4380d;stroke-dasharray:4 3}"
)
_MODES = {"with_reasoning": "with reasoning", "without_reasoning": "without"}


def write(report: Report, folder: Path) -> list[Path]:
    """Write ``report.json``, ``report.md``, ``report.html`` and the plots, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    images = plots(report)
    texts = {
        "report.json": json.dumps(report, ensure_ascii=False, indent=2) + "\n",
        "report.md": markdown(report, list(images)),
        "report.html": html(report, images),
        **images,
    }
    for name, content in texts.items():
        (folder / name).write_text(content, encoding="utf-8")
    return [folder / name for name in texts]


def text(report: Report) -> str:
    """Return the report for a terminal."""
    lines = [verdict(report)]
    for heading, _, rows in tables(report):
        lines += ["", heading, *(f"  {name:<38} {value}" for name, value in rows)]
    lines += ["", *(f"failed: {failure}" for failure in report["failures"])] if report["failures"] else []
    return "\n".join(lines)


def markdown(report: Report, images: Sequence[str]) -> str:
    """Return the report as Markdown that links to plots next to it."""
    lines = [f"# {_title(report)}", "", f"**{verdict(report)}.** Intervals are Wilson's, at 95 %.", ""]
    lines += [f"- failed: {failure}" for failure in report["failures"]]
    for heading, plot, rows in tables(report):
        lines += ["", f"## {heading}", ""]
        if plot in images:
            lines += [f"![{heading}]({plot})", ""]
        lines += ["| | |", "| --- | --- |", *(f"| {_cell(name)} | {_cell(value)} |" for name, value in rows)]
    lines += ["", "## Examples", ""]
    for each in report["examples"]:
        mark = "right" if each["right"] else "wrong"
        mode = "with reasoning" if each["reasons"] else "without reasoning"
        lines.append(f"- {each['task']}, {mode}, {mark}: `{each['asked']}` → `{_one_line(each['sampled'])}`")
    return "\n".join(lines) + "\n"


def html(report: Report, images: Mapping[str, str]) -> str:
    """Return the report as one page that contains its plots."""
    parts = [f"<h1>{escape(_title(report))}</h1>", f"<p><b>{escape(verdict(report))}.</b> Intervals: Wilson, 95 %.</p>"]
    parts += [f"<p class=failed>failed: {escape(failure)}</p>" for failure in report["failures"]]
    for heading, plot, rows in tables(report):
        parts.append(f"<h2>{escape(heading)}</h2>")
        parts.append(images.get(plot or "", ""))
        cells = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows)
        parts.append(f"<table>{cells}</table>")
    parts.append("<h2>Examples</h2><table>")
    for each in report["examples"]:
        cells_ = (each["task"], each["asked"], each["expected"], each["sampled"], "right" if each["right"] else "wrong")
        parts.append("<tr>" + "".join(f"<td>{escape(value)}</td>" for value in cells_) + "</tr>")
    parts.append("</table>")
    style = (
        "body{font:15px/1.5 sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}td{padding:.2rem .8rem .2rem 0;"
        "vertical-align:top;white-space:pre-wrap}.failed{color:#c00}svg{max-width:100%;height:auto}"
    )
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(_title(report))}</title>'
    return f"{head}<style>{style}</style>\n" + "\n".join(parts) + "\n</html>\n"


def verdict(report: Report) -> str:
    """Return the verdict in one line."""
    name = f"{report['template']}" + (f" (retention {report['retention']})" if report["retention"] else "")
    return f"{name}: the template trained" if report["trained"] else f"{name}: the template did NOT train"


def tables(report: Report) -> list[tuple[str, str | None, Rows]]:
    """Return the sections of the report: heading, name of the plot, and rows of a table."""
    counts: Rows = [(name, format_share(share)) for name, share in _overall(report)]
    endings = report["not_stopped"]["endings"]
    limit = report["not_stopped"]["limit"]
    counts += [
        (f"hit the limit of {limit} tokens, after {ending!r}", count(n, "completion")) for ending, n in endings.items()
    ]
    counts += [(f"not parsed: {reason}", count(n, "completion")) for reason, n in report["refusals"].items()]
    sections: list[tuple[str, str | None, Rows]] = [
        ("Held-out prompts", "shares.svg", counts),
        ("Right answers", "tasks.svg", [(name, format_share(share)) for name, share in _by_task(report)]),
    ]
    if report["switching"] is not None:
        turns = report["switching"]["by_turn"].items()
        rows = [(f"turn {number}", format_share(share)) for number, share in turns]
        sections.append(("Mode switching by turn", "switching.svg", rows))
    loss = report["loss"]
    losses = [
        ("measured", f"{loss['nats']:.4f} nats per token, {loss['tokens']} tokens"),
        ("entropy floor", f"{loss['floor']:.4f} nats per token"),
    ]
    sections.append(("Loss on supervised tokens of held-out rows", "loss.svg", losses))
    sections.append(("Setup", None, _setup(report)))
    return sections


def format_share(share: Mapping[str, Any]) -> str:
    """Return a share with its counts and its interval."""
    if share["share"] is None:
        return "n/a"
    return f"{share['count']} of {share['of']} ({100 * share['low']:.0f}–{100 * share['high']:.0f} %)"


def _overall(report: Report) -> list[tuple[str, Mapping[str, Any]]]:
    shares = [("parse", report["parsed"]), ("end in a stop token", report["stopped"])]
    switching = report["switching"]
    if switching is not None:
        shares.append(("follow the mode", switching["all"]))
        shares.append(("… reason when they should", switching["to_think"]))
        shares.append(("… do not when they should not", switching["not_to_think"]))
        if switching["forced"]["of"]:
            shares.append(("… where the template forces it", switching["forced"]))
    return shares


def _by_task(report: Report) -> list[tuple[str, Mapping[str, Any]]]:
    return [
        (f"{kind}, {_MODES[mode]}" if len(modes) > 1 else kind, share)
        for kind, modes in report["tasks"].items()
        for mode, share in modes.items()
    ]


def _setup(report: Report) -> Rows:
    size, seconds, audit = report["size"], report["seconds"], report["audit"]
    retention = report["retention"] or "–"
    if report["own_retention"] != report["retention"]:
        retention += f" (its own, {report['own_retention']}, renders no reasoning to learn from)"
    return [
        ("size", f"{size['name']}: {size['steps']} steps of {size['batch']} rows"),
        ("seed", str(report["seed"])),
        ("retention", retention),
        ("model", f"{report['model']['parameters']:,} parameters, {report['model']['vocabulary']} tokens"),
        ("data", f"{report['data']['talks']} conversations, {report['data']['rows']} rows"),
        ("held out", f"{report['data']['tests']} conversations, {report['data']['test_turns']} turns"),
        ("audit before training", f"{audit['documents']} rows match the template"),
        *((f"time, {name}", f"{each['wall']:g} s, {each['cpu']:g} s CPU") for name, each in seconds.items()),
    ]


def _title(report: Report) -> str:
    return f"Does {report['template']} train?"


def _one_line(value: str) -> str:
    return value.replace("\n", "⏎").replace("`", "'")


def _cell(value: str) -> str:
    return value.replace("|", "\\|").replace("<", "&lt;").replace("\n", "⏎")


# -- plots, as SVG without a library, so that their text stays text


def plots(report: Report) -> dict[str, str]:
    """Return the plots by file name."""
    points = [(entry["step"], entry["loss"]) for entry in report["training"]["curve"]]
    images = {
        "shares.svg": bar_plot("Completions of held-out prompts", _overall(report)),
        "tasks.svg": bar_plot("Right answers", _by_task(report)),
        "loss.svg": loss_plot("Loss on supervised tokens", points, report["loss"]["floor"]),
    }
    if report["switching"] is not None:
        turns = [(f"turn {number}", share) for number, share in report["switching"]["by_turn"].items()]
        images["switching.svg"] = bar_plot("Turns that follow the mode", turns)
    return images


def bar_plot(title: str, shares: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """Return shares as bars, each with its interval and its counts, as SVG."""
    parts = []
    span = _WIDTH - _LEFT - _RIGHT
    height = _ROW * len(shares) + 40
    for tick in range(0, 101, 25):
        x = _LEFT + span * tick / 100
        parts.append(f'<line class="faint" x1="{x:g}" x2="{x:g}" y1="8" y2="{height - 26}"/>')
        parts.append(f'<text x="{x:g}" y="{height - 8}" text-anchor="middle">{tick} %</text>')
    for row, (name, share) in enumerate(shares):
        y = 10 + _ROW * row
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>')
        if share["share"] is None:
            parts.append(f'<text x="{_LEFT + 6}" y="{y + 14}">n/a</text>')
            continue
        low, high = _LEFT + span * share["low"], _LEFT + span * share["high"]
        parts.append(f'<rect class="bar" x="{_LEFT}" y="{y + 3}" width="{span * share["share"]:.1f}" height="14"/>')
        parts.append(f'<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="{y + 10}" y2="{y + 10}"/>')
        parts += [f'<line class="spread" x1="{x:.1f}" x2="{x:.1f}" y1="{y + 6}" y2="{y + 14}"/>' for x in (low, high)]
        parts.append(f'<text x="{_WIDTH - _RIGHT + 12}" y="{y + 14}">{share["count"]} of {share["of"]}</text>')
    return svg.document(title, _WIDTH, height, _STYLE, parts)


def loss_plot(title: str, points: Sequence[tuple[float, float]], floor: float) -> str:
    """Return losses by step on a logarithmic scale, with the entropy floor, as SVG."""
    height, top, bottom, left = 260, 16, 220, 60
    losses = [max(loss, 1e-4) for _, loss in points]
    highest, lowest = max(losses, default=1.0), min([*losses, max(floor, 1e-4)], default=0.1)
    low, high = math.floor(math.log10(lowest)), max(math.ceil(math.log10(highest)), math.floor(math.log10(lowest)) + 1)
    last = max((step for step, _ in points), default=1)

    def place(step: float, loss: float) -> tuple[float, float]:
        share = (math.log10(max(loss, 1e-4)) - low) / (high - low)
        return left + (_WIDTH - left - 20) * step / last, bottom - (bottom - top) * share

    parts = []
    for power in range(low, high + 1):
        _, y = place(0, 10.0**power)
        parts.append(f'<line class="faint" x1="{left}" x2="{_WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    drawn = " ".join("{:.1f},{:.1f}".format(*place(*point)) for point in points)
    parts.append(f'<polyline class="line" points="{drawn}"/>')
    if floor > 0:
        _, y = place(0, floor)
        parts.append(f'<line class="floor" x1="{left}" x2="{_WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_WIDTH - 22}" y="{y - 5:.1f}" text-anchor="end">entropy floor {floor:.4f}</text>')
    parts.append(f'<text x="{left}" y="{height - 12}">0</text>')
    parts.append(f'<text x="{_WIDTH - 20}" y="{height - 12}" text-anchor="end">step {last:g}</text>')
    return svg.document(title, _WIDTH, height, _STYLE, parts)
