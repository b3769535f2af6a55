"""Writers: renderings, one after the other, in the format that was asked for.

Bytes are UTF-8 whatever the locale says, so that a text is piped as it is.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from chattmpl.encode import Encoding
    from chattmpl.report.picture import Picture
    from chattmpl.template.rendering import Rendering

Format = Literal["rich", "text", "json", "html"]


@dataclass(frozen=True, slots=True)
class Item:
    """A rendering to write, and what a picture says of it: see `chattmpl.report.picture.picture`."""

    rendering: Rendering
    encoding: Encoding | None = None
    name: str = "conversation"
    tokenizer: str | None = None
    generation_prompt: bool = False

    def picture(self) -> Picture:
        """Its picture."""
        from chattmpl.report.picture import picture

        return picture(
            self.rendering,
            self.encoding,
            name=self.name,
            tokenizer=self.tokenizer,
            generation_prompt=self.generation_prompt,
        )


class Writer(ABC):
    """Writes renderings to a binary file; ``several`` says that each needs a heading."""

    def __init__(self, out: IO[bytes], *, title: str, several: bool) -> None:
        self.out = out
        self.title = title
        self.several = several

    @abstractmethod
    def write(self, item: Item) -> None:
        """Writes one rendering."""

    def close(self) -> None:
        """Writes what comes after the last one; the file stays open."""
        self.out.flush()

    def _put(self, text: str) -> None:
        # Half of a surrogate pair has no bytes; a template can still write one.
        self.out.write(text.encode("utf-8", errors="backslashreplace"))


class TextWriter(Writer):
    """The text and nothing else, without a newline of our own; among several each has a line with its name above it."""

    def write(self, item: Item) -> None:
        """Writes the text."""
        text = item.rendering.text
        self._put(f"==> {item.name} <==\n{text}\n" if self.several else text)


class JsonWriter(Writer):
    """One JSON object a line."""

    def write(self, item: Item) -> None:
        """Writes the object."""
        from chattmpl.report.records import dumps, record

        self._put(dumps(record(item.rendering, item.encoding)) + "\n")


class HtmlWriter(Writer):
    """One page for all."""

    def __init__(self, out: IO[bytes], *, title: str, several: bool) -> None:
        from chattmpl.report.page import page_start

        super().__init__(out, title=title, several=several)
        self._put(page_start(title))

    def write(self, item: Item) -> None:
        """Writes a section of the page."""
        from chattmpl.report.page import section

        self._put(section(item.picture()))

    def close(self) -> None:
        """Ends the page."""
        from chattmpl.report.page import page_end

        self._put(page_end())
        super().close()


class RichWriter(Writer):
    """Frames and colours, as far as the terminal has them."""

    def write(self, item: Item) -> None:
        """Prints the picture."""
        from chattmpl.report.terminal import print_picture

        printed(self.out, lambda console: print_picture(console, item.picture(), heading=self.several))


def printed(out: IO[bytes], show: Callable[[Console], None]) -> None:
    """Lets a function print to a rich console over a binary file."""
    from chattmpl.report.terminal import console

    file = io.TextIOWrapper(out, encoding="utf-8", errors="backslashreplace", newline="")
    try:
        show(console(file))
        file.flush()
    finally:
        file.detach()


WRITERS: dict[Format, type[Writer]] = {"rich": RichWriter, "text": TextWriter, "json": JsonWriter, "html": HtmlWriter}
