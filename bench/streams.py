"""Measure the stream parser: characters a second of a completion that is fed in small pieces.

    python bench/streams.py [--size CHARACTERS] [--piece CHARACTERS]

Beside it stands what parsers of servers do: after each piece, a regular expression searches the whole text so far for
calls, and the difference from the last result is the delta. Its time grows with the square of the text.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable

from chattmpl import Template
from chattmpl.parse import Parser

_WORDS = "The quick brown fox jumps over the lazy dog, said it. "
_CALL = '<tool_call>\n{{"name": "f", "arguments": {{"text": "{}"}}}}\n</tool_call>'
_CALLS = re.compile(r"<tool_call>(.*?)</tool_call>|<tool_call>(.*)", re.DOTALL)


def stream(parser: Parser, pieces: list[str]) -> None:
    """Feed the pieces to a parser and take the deltas."""
    for piece in pieces:
        parser.feed(piece)
        parser.deltas()


def search(_: Parser, pieces: list[str]) -> None:
    """Search the whole text with a regular expression after each piece."""
    text, shown = "", 0
    for piece in pieces:
        text += piece
        found = _CALLS.search(text)
        content = text[: found.start()] if found else text
        content[shown:]
        shown = len(content)


def rate(read: Callable[[Parser, list[str]], None], text: str, size: int) -> float:
    """Return the millions of characters that are read a second of processor time."""
    pieces = [text[place : place + size] for place in range(0, len(text), size)]
    parser = Template.load("chatml").parser(completion=True)
    start = time.process_time()
    read(parser, pieces)
    return len(text) / (time.process_time() - start) / 1e6


def main() -> None:
    """Print a line for each kind of text."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--size", type=int, default=50_000)
    arguments.add_argument("--piece", type=int, default=4)
    given = arguments.parse_args()
    words = (_WORDS * (given.size // len(_WORDS) + 1))[: given.size]
    texts = {
        "content": words,
        "signs": ("if a < b: return x[0]\n" * given.size)[: given.size],
        "call": _CALL.format(words),
    }
    print(f"{'text':10} {'stream':>12} {'regex':>12}")
    for name, text in texts.items():
        fast, slow = (rate(read, text, given.piece) for read in (stream, search))
        print(f"{name:10} {fast:7.2f} MB/s {slow:7.2f} MB/s", flush=True)


if __name__ == "__main__":
    main()
