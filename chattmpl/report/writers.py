"""Writers of renderings, one for each output format.

Output is UTF-8 whatever the locale, so that a text is piped unchanged.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from chattmpl.encode import Encoding
    from chattmpl.report.picture import Picture
    from chattmpl.template.template import Rendering

Format = Literal["rich", "text", "json", "html"]


@dataclass(frozen=True, slots=True)
class Item:
    """A rendering to write, with the arguments of `chattmpl.report.picture.picture`."""

    rendering: Rendering
    encoding: Encoding | None = None
    name: str = "conversation"
    tokenizer: str | None = None
    generation_prompt: bool = False

    def picture(self) -> Picture:
        """Return its picture."""
        from chattmpl.report.picture import picture

        return picture(
            self.rendering,
            self.encoding,
            name=self.name,
            tokenizer=self.tokenizer,
            generation_prompt=self.generation_prompt,
        )


class Writer(ABC):
    """A writer of renderings to a binary file.

    Args:
        out: the file, which stays open.
        title: title of an HTML page.
        several: more than one rendering follows, so each gets a heading.
    """

    def __init__(self, out: IO[bytes], *, title: str, several: bool) -> None:
        self.out = out
        self.title = title
        self.several = several

    @abstractmethod
    def write(self, item: Item) -> None:
        """Write one rendering."""

    def close(self) -> None:
        """Write the end of the output, after the last rendering."""
        self.out.flush()

    def _put(self, text: str) -> None:
        # A template can write a lone surrogate, which UTF-8 cannot encode.
        self.out.write(text.encode("utf-8", errors="backslashreplace"))


class TextWriter(Writer):
    """The rendered text alone, without a final newline; each of several follows a line with its name."""

    def write(self, item: Item) -> None:
        """Write the text."""
        text = item.rendering.text
        self._put(f"==> {item.name} <==\n{text}\n" if self.several else text)


class JsonWriter(Writer):
    """One JSON object per line."""

    def write(self, item: Item) -> None:
        """Write the object."""
        from chattmpl.printable import dumps

        self._put(dumps(record(item.rendering, item.encoding)) + "\n")


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


class HtmlWriter(Writer):
    """One HTML page with a section for each rendering."""

    def __init__(self, out: IO[bytes], *, title: str, several: bool) -> None:
        from chattmpl.report.page import page_start

        super().__init__(out, title=title, several=several)
        self._put(page_start(title))

    def write(self, item: Item) -> None:
        """Write a section of the page."""
        from chattmpl.report.page import section

        self._put(section(item.picture()))

    def close(self) -> None:
        """Write the end of the page."""
        from chattmpl.report.page import PAGE_END

        self._put(PAGE_END)
        super().close()


class RichWriter(Writer):
    """Frames and colours, as far as the terminal supports them."""

    def write(self, item: Item) -> None:
        """Print the picture."""
        from chattmpl.report.terminal import print_picture

        print_rich(self.out, lambda console: print_picture(console, item.picture(), heading=self.several))


def print_rich(out: IO[bytes], show: Callable[[Console], None]) -> None:
    """Call a function with a rich console that prints to a binary file."""
    from chattmpl.report.lines import console

    file = io.TextIOWrapper(out, encoding="utf-8", errors="backslashreplace", newline="")
    try:
        show(console(file))
        file.flush()
    finally:
        file.detach()


WRITERS: dict[Format, type[Writer]] = {"rich": RichWriter, "text": TextWriter, "json": JsonWriter, "html": HtmlWriter}
