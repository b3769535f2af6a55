"""Writers of renderings, one for each output format.

Output is UTF-8 whatever the locale, so that a text is piped unchanged.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from rich.console import Console

    from chattmpl.encode import Encoding
    from chattmpl.report.picture import Picture
    from chattmpl.template.template import Rendering

Format = Literal["rich", "text", "json", "html"]


class Item(NamedTuple):
    """A rendering to write, with the arguments of `chattmpl.report.picture.picture`."""

    rendering: Rendering
    encoding: Encoding | None = None
    name: str = "conversation"
    tokenizer: str | None = None
    generation_prompt: bool = False

    def picture(self) -> Picture:
        """Return the picture of the rendering."""
        from chattmpl.report.picture import picture

        return picture(*self)


def write_text(out: IO[bytes], items: Iterable[Item], title: str, several: bool) -> None:
    """Write the rendered text alone, without a final newline; each of several follows a line with its name."""
    for item in items:
        text = item.rendering.text
        _put(out, f"==> {item.name} <==\n{text}\n" if several else text)


def write_json(out: IO[bytes], items: Iterable[Item], title: str, several: bool) -> None:
    """Write one JSON object per line."""
    from chattmpl.printable import dumps

    for item in items:
        _put(out, dumps(record(item.rendering, item.encoding)) + "\n")


def write_html(out: IO[bytes], items: Iterable[Item], title: str, several: bool) -> None:
    """Write one HTML page with a section for each rendering."""
    from chattmpl.report.page import PAGE_END, page_start, section

    _put(out, page_start(title))
    for item in items:
        _put(out, section(item.picture()))
    _put(out, PAGE_END)


def write_rich(out: IO[bytes], items: Iterable[Item], title: str, several: bool) -> None:
    """Print frames and colours, as far as the terminal supports them."""
    from chattmpl.report.terminal import print_picture

    for item in items:
        shown = item.picture()
        print_rich(out, lambda console, shown=shown: print_picture(console, shown, heading=several))  # type: ignore[misc]


def _put(out: IO[bytes], text: str) -> None:
    # A template can write a lone surrogate, which UTF-8 cannot encode.
    out.write(text.encode("utf-8", errors="backslashreplace"))


def record(rendering: Rendering, encoding: Encoding | None = None) -> dict[str, Any]:
    """Return a rendering as JSON types: ``text``, ``spans``, ``generated``, ``lost``.

    An encoding adds ``input_ids``, ``assistant_masks``, ``straddles`` and ``escaped``.
    """
    made = rendering.to_dict()
    if encoding is not None:
        made["input_ids"] = encoding.input_ids
        made["assistant_masks"] = encoding.assistant_masks
        made["straddles"] = [asdict(straddle) for straddle in encoding.straddles]
        made["escaped"] = [asdict(escape) for escape in encoding.escaped]
    return made


def print_rich(out: IO[bytes], show: Callable[[Console], None]) -> None:
    """Call a function with a rich console that prints to a binary file."""
    from chattmpl.report.lines import console

    file = io.TextIOWrapper(out, encoding="utf-8", errors="backslashreplace", newline="")
    try:
        show(console(file))
        file.flush()
    finally:
        file.detach()


Writer = Callable[[IO[bytes], Iterable[Item], str, bool], None]
"""A writer of renderings to a binary file, with the title of an HTML page, and True if more than one rendering follows,
so that each gets a heading."""

WRITERS: dict[Format, Writer] = {"rich": write_rich, "text": write_text, "json": write_json, "html": write_html}
