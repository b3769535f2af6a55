"""Plots as SVG, written without a library, so that the same figures give the same file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from chattmpl.report.svg import document
from playbook_parts.statistics import Estimate

WIDTH = 720
_LEFT, _RIGHT, _ROW, _HEAD = 250, 60, 17, 22
COLOURS = ("#3b6fd4", "#d4380d", "#389e0d", "#8c5bd6", "#b8860b", "#13a8a8")
_STYLE = (
    "text{font:12px sans-serif;fill:#222}.head{font-weight:bold}.faint{stroke:#ddd}"
    ".spread{stroke-width:2}.seed{fill-opacity:.45}.line{fill:none;stroke-width:2}"
)


def shares(title: str, groups: Sequence[tuple[str, Sequence[tuple[str, Estimate | None]]]]) -> str:
    """Plot shares of arms in a group for each measure: a point with its interval, and a faint one for each seed."""
    span = WIDTH - _LEFT - _RIGHT
    height = sum(_HEAD + _ROW * len(arms) for _, arms in groups) + 40
    parts = []
    for tick in range(0, 101, 25):
        x = _LEFT + span * tick / 100
        parts.append(f'<line class="faint" x1="{x:g}" x2="{x:g}" y1="8" y2="{height - 26}"/>')
        parts.append(f'<text x="{x:g}" y="{height - 8}" text-anchor="middle">{tick} %</text>')
    y = 8.0
    for measure, arms in groups:
        parts.append(f'<text class="head" x="8" y="{y + 14:g}">{escape(measure)}</text>')
        y += _HEAD
        for number, (arm, found) in enumerate(arms):
            colour = COLOURS[number % len(COLOURS)]
            parts.append(f'<text x="{_LEFT - 10}" y="{y + 11:g}" text-anchor="end">{escape(arm)}</text>')
            parts += [] if found is None else _mark(found, y + 7, colour, span)
            y += _ROW
    return document(title, WIDTH, height, _STYLE, parts)


def _mark(found: Estimate, y: float, colour: str, span: float) -> list[str]:
    low, middle, high = (_LEFT + span * value for value in (found.low, found.value, found.high))
    parts = [
        f'<circle class="seed" cx="{_LEFT + span * value:.1f}" cy="{y:g}" r="2.5" fill="{colour}"/>'
        for value in found.each
    ]
    parts.append(f'<line class="spread" stroke="{colour}" x1="{low:.1f}" x2="{high:.1f}" y1="{y:g}" y2="{y:g}"/>')
    parts.append(f'<circle cx="{middle:.1f}" cy="{y:g}" r="4" fill="{colour}"/>')
    parts.append(f'<text x="{WIDTH - _RIGHT + 12}" y="{y + 4:g}">{100 * found.value:.0f} %</text>')
    return parts


def sweep(title: str, lines: Sequence[tuple[str, Sequence[tuple[float, Estimate]]]]) -> str:
    """Plot a measure over a setting on a logarithmic scale, with a line and intervals for each arm."""
    height, top, bottom, left, right = 300, 16, 236, 60, 20
    every = [point for _, points in lines for point in points]
    if not every:
        return document(title, WIDTH, 40, _STYLE, ['<text x="8" y="24">nothing was run</text>'])
    exponents = [math.log10(value) for value, _ in every]
    first, last = min(exponents), max(max(exponents), min(exponents) + 1)
    highest = max(found.high for _, found in every) or 1.0

    def x_of(value: float) -> float:
        return left + (WIDTH - left - right) * (math.log10(value) - first) / (last - first)

    def y_of(value: float) -> float:
        return bottom - (bottom - top) * max(0.0, value) / highest

    parts = []
    for step in range(5):
        y = y_of(highest * step / 4)
        parts.append(f'<line class="faint" x1="{left}" x2="{WIDTH - right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{highest * step / 4:.1f}</text>')
    parts += [
        f'<text x="{x_of(value):.1f}" y="{bottom + 18}" text-anchor="middle">{value:g}</text>'
        for value in sorted({value for value, _ in every})
    ]
    for number, (name, points) in enumerate(lines):
        colour, shift = COLOURS[number % len(COLOURS)], 4 * number
        drawn = " ".join(f"{x_of(value) + shift:.1f},{y_of(found.value):.1f}" for value, found in points)
        parts.append(f'<polyline class="line" stroke="{colour}" points="{drawn}"/>')
        for value, found in points:
            x = f"{x_of(value) + shift:.1f}"
            ends = f'y1="{y_of(found.low):.1f}" y2="{y_of(found.high):.1f}"'
            parts.append(f'<line class="spread" stroke="{colour}" x1="{x}" x2="{x}" {ends}/>')
        parts.append(f'<text x="{left + 160 * number}" y="{height - 10}" style="fill:{colour}">{escape(name)}</text>')
    return document(title, WIDTH, height, _STYLE, parts)
