"""The figures as a picture: the histogram of lengths, and each source's share of examples and of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from chattmpl.errors import UsageError
from chattmpl.printable import visible

COLOURS = {"think": "#2a9d5c", "no-think": "#2b7bb9", "mixed": "#e0a030"}
_SHARES = {"share_of_examples": ("examples", "#8d99ae"), "share_of_tokens": ("tokens", "#ef6f6c")}
_WIDTH, _HIGH, _LEFT, _BAR = 820, 240, 190, 14
_SUFFIXES = (".svg", ".png")


def check_plot(path: str) -> None:
    """Refuses what cannot be written.

    Raises:
        UsageError: the suffix is of no picture, or PNG is asked for without matplotlib.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _SUFFIXES:
        raise UsageError(f"{path} is no picture that can be written", hint="name it .svg or .png")
    if suffix == ".png":
        _pyplot()


def save_plot(figures: Mapping[str, Any], path: str) -> None:
    """Writes the picture.

    Args:
        figures: what ``Stats.to_dict`` gives.
        path: a .svg, or a .png, which needs matplotlib.

    Raises:
        UsageError: see `check_plot`.
    """
    check_plot(path)
    if path.lower().endswith(".svg"):
        Path(path).write_text(svg(figures), encoding="utf-8")
    else:
        _png(figures, path)


def svg(figures: Mapping[str, Any]) -> str:
    """The picture as SVG, which names no font that must be there."""
    sources = figures["sources"]
    height = _HIGH + 110 + 40 * len(sources)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        *_bars(figures["histogram"]),
        *_shares(sources, _HIGH + 90),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, turn: bool = False) -> str:
    turned = f' transform="rotate(-40 {x:.1f} {y:.1f})"' if turn else ""
    words = escape(visible(text))
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{turned}>{words}</text>'


def _rect(x: float, y: float, width: float, height: float, colour: str, title: str) -> str:
    said = escape(visible(title))
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}">'
        f"<title>{said}</title></rect>"
    )


def _bars(bars: list[dict[str, Any]]) -> Iterator[str]:
    yield _text(20, 24, "Examples by tokens of a row", size=15)
    most = max((bar["examples"] for bar in bars), default=1)
    step = (_WIDTH - 80) / max(len(bars), 1)
    for index, bar in enumerate(bars):
        x, bottom = 60 + index * step, float(_HIGH)
        for mode, count in bar["modes"].items():
            high = (_HIGH - 50) * count / most
            bottom -= high
            if count:
                title = f"{bar['start']}–{bar['end'] - 1} tokens, {mode}: {count:,}"
                yield _rect(x, bottom, step * 0.9, high, COLOURS[mode], title)
        yield _text(x + step / 2, _HIGH + 14, f"{bar['start']:,}", anchor="end", size=10, turn=True)
    yield _text(54, 54, f"{most:,}", anchor="end", size=10)
    yield _text(54, _HIGH, "0", anchor="end", size=10)
    for index, (mode, colour) in enumerate(COLOURS.items()):
        yield _rect(_WIDTH - 280 + 90 * index, 14, 10, 10, colour, mode)
        yield _text(_WIDTH - 266 + 90 * index, 23, mode)


def _shares(sources: list[dict[str, Any]], top: int) -> Iterator[str]:
    yield _text(20, top, "Share of examples and of tokens", size=15)
    room = _WIDTH - _LEFT - 80
    for index, source in enumerate(sources):
        y = top + 16 + 40 * index
        name = source["source"] if len(source["source"]) <= 24 else f"…{source['source'][-23:]}"
        yield _text(_LEFT - 8, y + 18, name, anchor="end")
        for row, (figure, (what, colour)) in enumerate(_SHARES.items()):
            share = source[figure]
            yield _rect(_LEFT, y + row * _BAR, max(share * room, 0.5), _BAR - 2, colour, f"{what}: {share:.1%}")
            yield _text(_LEFT + share * room + 6, y + row * _BAR + 10, f"{share:.1%} of {what}", size=10)


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError:
        raise UsageError("a PNG needs matplotlib", hint="pip install 'chattmpl[plots]', or write an .svg") from None
    matplotlib.use("agg")
    from matplotlib import pyplot

    return pyplot


def _png(figures: Mapping[str, Any], path: str) -> None:
    pyplot = _pyplot()
    sources, bars = figures["sources"], figures["histogram"]
    picture, (above, below) = pyplot.subplots(2, 1, figsize=(9, 4.5 + 0.4 * len(sources)), layout="constrained")
    reached = [0] * len(bars)
    for mode, colour in COLOURS.items():
        counts = [bar["modes"].get(mode, 0) for bar in bars]
        above.bar(range(len(bars)), counts, bottom=reached, color=colour, label=mode)
        reached = [low + count for low, count in zip(reached, counts, strict=True)]
    above.set_xticks(range(len(bars)), [f"{bar['start']:,}" for bar in bars], rotation=40)
    above.set_title("Examples by tokens of a row")
    above.legend()
    names = [visible(source["source"]).replace("$", r"\$") for source in sources]
    for row, (figure, (what, colour)) in enumerate(_SHARES.items()):
        places = [index + 0.4 * row for index in range(len(sources))]
        below.barh(places, [source[figure] for source in sources], height=0.38, color=colour, label=what)
    below.set_yticks([index + 0.2 for index in range(len(sources))], names)
    below.invert_yaxis()
    below.set_title("Share of examples and of tokens")
    below.legend()
    picture.savefig(path, dpi=120, metadata={"Software": None})
    pyplot.close(picture)
