"""SVG images, written by hand: they need no library, and their text stays text."""

from collections.abc import Sequence
from html import escape

from chattmpl.printable import visible


def document(title: str, width: int, height: float, style: str, parts: Sequence[str]) -> str:
    """Return an SVG image on a white ground, in pixels, with CSS and a title for browsers and screen readers."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:g}" width="{width}" role="img" '
        f'aria-label="{escape(title)}"><rect width="{width}" height="{height:g}" fill="white"/>'
    )
    return "\n".join([f"{head}<style>{style}</style>", f"<title>{escape(title)}</title>", *parts, "</svg>"]) + "\n"


def text(x: float, y: float, content: str, *, anchor: str = "start", size: int = 12, rotation: int = 0) -> str:
    """Return a text element; control and invisible characters are shown by their code points."""
    rotated = f' transform="rotate({rotation} {x:.1f} {y:.1f})"' if rotation else ""
    words = escape(visible(content))
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{rotated}>{words}</text>'


def rect(x: float, y: float, width: float, height: float, fill: str, title: str) -> str:
    """Return a rectangle with a title, which viewers show as a tooltip."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}">'
        f"<title>{escape(visible(title))}</title></rect>"
    )
