"""Statistics of datasets as a table in a terminal, Markdown, CSV, JSON and an SVG plot."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chattmpl.errors import UsageError
from chattmpl.printable import count, dumps, visible
from chattmpl.report import svg
from chattmpl.report.encoded import REASONS
from chattmpl.report.lines import Line, line

Figures = Mapping[str, Any]
"""The result of ``Stats.to_dict``, or one of its groups."""

COLUMNS: tuple[tuple[str, str, int], ...] = (
    ("examples", "examples", 10),
    ("share_of_examples", "%", 6),
    ("tokens_millions", "tokens M", 9),
    ("share_of_tokens", "%", 6),
    ("mean_tokens", "mean", 8),
    ("mean_context_tokens", "context", 8),
    ("mean_response_tokens", "response", 9),
    ("supervised_share", "trained", 8),
    ("mean_turns", "turns", 6),
)
"""Columns of the table in a terminal: figure, heading and width."""

LENGTHS = ("min", "p50", "p90", "p95", "p99", "max")
CSV_COLUMNS = (
    "source",
    "mode",
    "examples",
    "rows",
    "share_of_examples",
    "tokens",
    "tokens_millions",
    "share_of_tokens",
    "mean_tokens",
    "context_tokens",
    "mean_context_tokens",
    "response_tokens",
    "mean_response_tokens",
    "supervised_tokens",
    "supervised_share",
    "mean_turns",
    "mean_assistant_turns",
    *LENGTHS,
)

_MARKDOWN = {
    "share_of_examples": "% of examples",
    "tokens_millions": "tokens (M)",
    "share_of_tokens": "% of tokens",
    "mean_tokens": "mean tokens",
    "mean_context_tokens": "in context",
    "mean_response_tokens": "in responses",
}
"""Longer headings, for Markdown."""

_TABLE = sum(width for _, _, width in COLUMNS)
_LEAST = 10
_MODES = {"think": "green", "no-think": "cyan", "mixed": "yellow"}
_STYLES = {"source": "bold", "mode": "", "total": "bold green"}


def lines(figures: Figures, width: int = 80) -> list[Line]:
    """Return the figures as lines for a terminal with ``width`` columns."""
    return [*_head(figures), *_groups(figures, width), *_lengths(figures, width), *_padding(figures)]


def _head(figures: Figures) -> Iterator[Line]:
    settings = [f"template {figures['template']}"] if figures.get("template") else []
    settings += [f"retention {figures['retention']}"] if figures.get("retention") else []
    settings += [f"tokenizer {figures['tokenizer']}"] if figures.get("tokenizer") else []
    if settings:
        yield line((" · ".join(settings), "dim"))
        yield line("")
    rejected = figures["rejected"]
    if rejected["rows"]:
        reasons = ", ".join(f"{number:,} {REASONS[reason]}" for reason, number in rejected["reasons"].items())
        verb = "is" if rejected["rows"] == 1 else "are"
        text = f"{count(rejected['rows'], 'row')} cannot be encoded and {verb} not counted: {reasons}"
        yield line((f"{text}; chattmpl audit names them", "bold yellow"))
        yield line("")


def _groups(figures: Figures, width: int) -> Iterator[Line]:
    room = max(width - _TABLE, _LEAST)
    yield line((" " * room + "".join(f"{heading:>{size}}" for _, heading, size in COLUMNS), "dim"))
    rows = list(_tree(figures))
    for kind, name, group in rows:
        label = visible(name)
        if len(label) >= room:
            yield line((label, _STYLES[kind]))
            label = ""
        yield line((f"{label:<{room}}", _STYLES[kind]), _cells(group))
    total = figures["total"]
    if total["rows"] != total["examples"]:
        yield line((f"{count(total['examples'], 'example')} give {count(total['rows'], 'row')} (see --rows)", "dim"))
    yield line("")


def _tree(figures: Figures) -> Iterator[tuple[str, str, Figures]]:
    """Yield each source with its modes, then the total with its modes."""
    sources, modes = figures["sources"], figures["modes"]
    for source in sources:
        yield "source", source["source"], source
        for group in figures["groups"]:
            if group["source"] == source["source"]:
                yield "mode", f" {group['mode']}", group
    if len(sources) > 1:
        yield "total", "total", figures["total"]
        for group in modes:
            yield "mode", f" {group['mode']}", group


def _cells(group: Figures) -> str:
    return "".join(f"{_cell(name, group[name]):>{width}}" for name, _, width in COLUMNS)


def _cell(name: str, value: float) -> str:
    if name.startswith("share_of"):
        return f"{100 * value:.1f}"
    if name == "supervised_share":
        return f"{value:.1%}"
    if name == "tokens_millions":
        return f"{value:,.3f}" if value < 1000 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.1f}" if value < 100_000 else f"{value:.0f}"


def _lengths(figures: Figures, width: int) -> Iterator[Line]:
    yield line((f"{'tokens of a row':<20}" + "".join(f"{name:>10}" for name in LENGTHS), "dim"))
    for group in [figures["total"], *figures["modes"]]:
        values = "".join(f"{_length(group[name]):>10}" for name in LENGTHS)
        yield line(f"{'  ' + group['mode'] if group['mode'] else 'all':<20}{values}")
    yield line("")
    bars = figures["histogram"]
    most = max((bar["rows"] for bar in bars), default=0)
    room = min(width, 100) - 36
    for bar in bars:
        parts = [("█" * signs, _MODES[mode]) for mode, signs in _split(bar, most, room)]
        span = f"{bar['start']:,}–{bar['end'] - 1:,}"
        yield line(f"{span:>20} {bar['rows']:>10,}  ", *parts)
    if bars:
        shown = [mode for mode in _MODES if any(bar["modes"].get(mode) for bar in bars)]
        yield line((" " * 33, ""), *((f"{mode}  ", _MODES[mode]) for mode in shown))
        yield line("")


def _length(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def _split(bar: Figures, most: int, room: int) -> Iterator[tuple[str, int]]:
    """Yield the number of characters for each mode in a bar."""
    reached = drawn = 0
    for mode, number in bar["modes"].items():
        reached += number
        # A bar that is not empty has at least one character.
        upto = max(round(reached * room / most), 1 if reached else 0)
        yield mode, upto - drawn
        drawn = upto


def _padding(figures: Figures) -> Iterator[Line]:
    padding = figures["padding"]
    for batch in padding["batches"]:
        yield line(
            f"padding in batches of {batch['batch_size']:,}: ",
            (f"{batch['random']:.1%}", "bold"),
            " in random order, ",
            (f"{batch['sorted']:.1%}", "bold"),
            " sorted by length",
        )
    if packed := padding["packed"]:
        yield line(
            f"packed to {packed['size']:,} tokens: {count(packed['rows'], 'row')}, ",
            (f"{packed['lost']:.2%}", "bold"),
            " padding",
        )
        if packed["cut_rows"]:
            yield line(
                (
                    f"  {count(packed['cut_rows'], 'longer row')} counted as {packed['size']:,} tokens each, "
                    f"without {packed['cut_tokens']:,} further tokens",
                    "yellow",
                )
            )


def markdown(figures: Figures) -> str:
    """Return the tables as Markdown."""
    heads = ("source", "mode", *(_MARKDOWN.get(name, heading) for name, heading, _ in COLUMNS), "p50", "p95", "max")
    rows: list[Sequence[str]] = [heads, ["---", "---", *["---:"] * (len(heads) - 2)]]
    last = figures["modes"] if len(figures["sources"]) > 1 else []
    groups = (*figures["groups"], *figures["sources"], *last, figures["total"])
    rows += [_markdown_row(group) for group in groups]
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
    notes = "".join(f"- {''.join(text for text, _ in parts)}\n" for parts in _padding(figures))
    rejected = figures["rejected"]["rows"]
    note = f"- rows that cannot be encoded and are not counted: {rejected:,}\n" if rejected else ""
    return f"{table}\n{notes}{note}"


def _markdown_row(group: Figures) -> list[str]:
    name = "**total**" if group["source"] is None and group["mode"] is None else visible(group["source"] or "all")
    cells = [name.replace("|", "\\|").replace("\n", " "), group["mode"] or "all"]
    cells += [_cell(name, group[name]) for name, _, _ in COLUMNS]
    return cells + [_length(group[name]) for name in ("p50", "p95", "max")]


def csv_text(figures: Figures) -> str:
    """Return CSV with a line for each source and mode, each source, each mode, and the total; empty means all."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for group in (*figures["groups"], *figures["sources"], *figures["modes"], figures["total"]):
        writer.writerow(["" if group[name] is None else group[name] for name in CSV_COLUMNS])
    return out.getvalue()


def json_text(figures: Figures) -> str:
    """Return all figures as JSON."""
    return dumps(figures, indent=2) + "\n"


# -- plot

_COLORS = {"think": "#2a9d5c", "no-think": "#2b7bb9", "mixed": "#e0a030"}
_SHARES = {"share_of_examples": ("examples", "#8d99ae"), "share_of_tokens": ("tokens", "#ef6f6c")}
_WIDTH, _HEIGHT, _LEFT, _BAR = 820, 240, 190, 14


def check_plot(path: str) -> None:
    """Raise `UsageError` if the path of a plot is not an .svg file."""
    if not path.lower().endswith(".svg"):
        raise UsageError(f"{path} is not an SVG file", hint="plots are SVG: end the name with .svg")


def plot(figures: Figures) -> str:
    """Return an SVG with the histogram of lengths, and each source's share of examples and tokens."""
    sources = figures["sources"]
    height = _HEIGHT + 110 + 40 * len(sources)
    parts = [*_histogram(figures["histogram"]), *_share_bars(sources, _HEIGHT + 90)]
    return svg.document("Lengths and shares", _WIDTH, height, "text{font-family:sans-serif}", parts)


def _histogram(bars: Sequence[Figures]) -> Iterator[str]:
    yield svg.text(20, 24, "Rows by tokens", size=15)
    most = max((bar["rows"] for bar in bars), default=1)
    step = (_WIDTH - 80) / max(len(bars), 1)
    for index, bar in enumerate(bars):
        x, bottom = 60 + index * step, float(_HEIGHT)
        for mode, number in bar["modes"].items():
            height = (_HEIGHT - 50) * number / most
            bottom -= height
            if number:
                title = f"{bar['start']}–{bar['end'] - 1} tokens, {mode}: {number:,}"
                yield svg.rect(x, bottom, step * 0.9, height, _COLORS[mode], title)
        yield svg.text(x + step / 2, _HEIGHT + 14, f"{bar['start']:,}", anchor="end", size=10, rotation=-40)
    yield svg.text(54, 54, f"{most:,}", anchor="end", size=10)
    yield svg.text(54, _HEIGHT, "0", anchor="end", size=10)
    for index, (mode, color) in enumerate(_COLORS.items()):
        yield svg.rect(_WIDTH - 280 + 90 * index, 14, 10, 10, color, mode)
        yield svg.text(_WIDTH - 266 + 90 * index, 23, mode)


def _share_bars(sources: Sequence[Figures], top: int) -> Iterator[str]:
    yield svg.text(20, top, "Share of examples and of tokens", size=15)
    width = _WIDTH - _LEFT - 80
    for index, source in enumerate(sources):
        y = top + 16 + 40 * index
        name = source["source"] if len(source["source"]) <= 24 else f"…{source['source'][-23:]}"
        yield svg.text(_LEFT - 8, y + 18, name, anchor="end")
        for row, (figure, (what, color)) in enumerate(_SHARES.items()):
            share = source[figure]
            yield svg.rect(_LEFT, y + row * _BAR, max(share * width, 0.5), _BAR - 2, color, f"{what}: {share:.1%}")
            yield svg.text(_LEFT + share * width + 6, y + row * _BAR + 10, f"{share:.1%} of {what}", size=10)
