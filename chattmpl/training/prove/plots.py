"""Plots as SVG, written by hand: they need no library, and text in them stays text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

WIDTH = 640
_LEFT, _RIGHT, _ROW = 230, 120, 26
_STYLE = (
    "<style>text{font:12px sans-serif;fill:#222}.faint{stroke:#ddd}.bar{fill:#5b8ff9}"
    ".spread{stroke:#222;stroke-width:1.5}.line{fill:none;stroke:#5b8ff9;stroke-width:2}"
    ".floor{stroke:#d4380d;stroke-dasharray:4 3}</style>"
)


def _svg(height: float, parts: Sequence[str], title: str) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" role="img" '
        f'aria-label="{escape(title)}"><rect width="{WIDTH}" height="{height:g}" fill="white"/>'
    )
    return "\n".join([head + _STYLE, f"<title>{escape(title)}</title>", *parts, "</svg>"]) + "\n"


def bars(title: str, shares: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """Shares as bars, each with its interval and its counts."""
    parts = []
    span = WIDTH - _LEFT - _RIGHT
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
        parts.append(f'<text x="{WIDTH - _RIGHT + 12}" y="{y + 14}">{share["count"]} of {share["of"]}</text>')
    return _svg(height, parts, title)


def curve(title: str, points: Sequence[tuple[float, float]], floor: float) -> str:
    """A loss against steps, on a logarithmic scale, with the floor that no model can get below."""
    height, top, bottom, left = 260, 16, 220, 60
    losses = [max(loss, 1e-4) for _, loss in points]
    highest, lowest = max(losses, default=1.0), min([*losses, max(floor, 1e-4)], default=0.1)
    low, high = math.floor(math.log10(lowest)), max(math.ceil(math.log10(highest)), math.floor(math.log10(lowest)) + 1)
    last = max((step for step, _ in points), default=1)

    def place(step: float, loss: float) -> tuple[float, float]:
        share = (math.log10(max(loss, 1e-4)) - low) / (high - low)
        return left + (WIDTH - left - 20) * step / last, bottom - (bottom - top) * share

    parts = []
    for power in range(low, high + 1):
        _, y = place(0, 10.0**power)
        parts.append(f'<line class="faint" x1="{left}" x2="{WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    drawn = " ".join("{:.1f},{:.1f}".format(*place(*point)) for point in points)
    parts.append(f'<polyline class="line" points="{drawn}"/>')
    if floor > 0:
        _, y = place(0, floor)
        parts.append(f'<line class="floor" x1="{left}" x2="{WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{WIDTH - 22}" y="{y - 5:.1f}" text-anchor="end">entropy floor {floor:.4f}</text>')
    parts.append(f'<text x="{left}" y="{height - 12}">0</text>')
    parts.append(f'<text x="{WIDTH - 20}" y="{height - 12}" text-anchor="end">step {last:g}</text>')
    return _svg(height, parts, title)
