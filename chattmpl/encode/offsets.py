"""Where each token stands in the text: half-open character ranges, from the bytes of the tokens wherever these add up.

The vocabulary strings of a byte-level BPE spell bytes (GPT-2's table of printable stand-ins), those of models like
SentencePiece spell characters, with ``▁`` for a space and ``<0x0A>`` for a byte. If the tokens of a text, so read, are
exactly its bytes, then lengths summed up are the offsets. Only where they are not (a normaliser changed the text, a
character was dropped) do the tokenizer's own offsets come in.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import sub

Ranges = tuple[list[int], list[int]]
"""First characters and one-past-last characters of the tokens; both lists never decrease."""

Reading = Callable[[str], bytes]
"""What a vocabulary string stands for, in UTF-8 bytes."""


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's table: printable Latin-1 stands for itself, the 68 other bytes for the code points from 256 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = (byte for byte in range(256) if byte not in printable)
    table = {chr(byte): byte for byte in printable}
    table.update({chr(256 + index): byte for index, byte in enumerate(others)})
    return table


BYTE_ALPHABET = _byte_alphabet()
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def byte_level(token: str) -> bytes:
    """Reads a byte-level token; one with other characters is an added token, which spells itself."""
    try:
        return bytes(map(BYTE_ALPHABET.__getitem__, token))
    except KeyError:
        return token.encode()


def metaspace(token: str) -> bytes:
    """Reads a token of a SentencePiece-like model, with byte fallback."""
    if byte := _BYTE.fullmatch(token):
        return bytes([int(byte[1], 16)])
    return token.replace("▁", " ").encode()


def one_byte_each(token: str) -> bytes:
    """Reads a token whose characters are bytes in Latin-1, as ByT5's are; others spell themselves."""
    try:
        return token.encode("latin-1")
    except UnicodeEncodeError:
        return token.encode()


class TokenTable(dict[int, bytes]):
    """The bytes of each token met so far, under one reading.

    ``leads`` counts the characters that start in a token; ``inside`` is 1 for a token that starts inside one.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        super().__init__()
        self._read = read
        self.leads: dict[int, int] = {}
        self.inside: dict[int, int] = {}

    def __missing__(self, token_id: int) -> bytes:
        piece = self._read(token_id)
        self.leads[token_id] = sum(byte & 0xC0 != 0x80 for byte in piece)
        self.inside[token_id] = int(bool(piece) and piece[0] & 0xC0 == 0x80)
        self[token_id] = piece
        return piece

    def tile(self, text: str, data: bytes, ids: Sequence[int]) -> Ranges | None:
        """The ranges of the tokens if their bytes are those of the text (``data``), else None.

        A token with a part of a character has the range of that character. A space in front that the text has not
        (a dummy prefix) is overlooked.
        """
        pieces = list(map(self.__getitem__, ids))
        joined = b"".join(pieces)
        prefix = 0 if joined == data else 1
        if prefix and not (joined[:1] == b" " and joined[1:] == data):
            return None
        if len(data) == len(text):
            ends = list(accumulate(map(len, pieces)))
            starts = [0, *ends[:-1]] if ends else []
        else:
            ends = list(accumulate(map(self.leads.__getitem__, ids)))
            starts = list(map(sub, [0, *ends[:-1]], map(self.inside.__getitem__, ids)))
        if prefix:
            return [max(0, start - 1) for start in starts], [max(0, end - 1) for end in ends]
        return starts, ends

    def walk(self, text: str, data: bytes, ids: Sequence[int]) -> Ranges | int:
        """As ``tile``, but white space of the text may have no token.

        Returns:
            the ranges, or the character offset where the tokens and the text part.
        """
        position, starts_b, ends_b = 0, [], []
        char_starts_b = [0, *accumulate(len(char.encode()) for char in text)]
        for index, token_id in enumerate(ids):
            piece = self[token_id]
            if index == 0 and not data.startswith(piece):
                piece = piece.removeprefix(b" ")
            start = position
            while not data.startswith(piece, start) and data[start : start + 1].isspace():
                start += 1
            if not data.startswith(piece, start):
                return bisect.bisect_right(char_starts_b, position) - 1
            position = start + len(piece)
            starts_b.append(start)
            ends_b.append(position)
        if data[position:].strip():
            return bisect.bisect_right(char_starts_b, position) - 1
        starts = [bisect.bisect_right(char_starts_b, start) - 1 for start in starts_b]
        return starts, [bisect.bisect_left(char_starts_b, end) for end in ends_b]


def repair(text: str, ranges: Sequence[tuple[int, int]]) -> Ranges:
    """Offsets as a tokenizer tells them, made to tile the text as far as they can.

    A character that has no token of its own (a combining mark that was composed with the letter before) belongs to the
    token before it; white space that has none was dropped, and belongs to none.
    """
    ends = list(accumulate((end for _, end in ranges), max))
    starts = list(accumulate((start for start, _ in reversed(ranges)), min))[::-1]
    for index in range(1, len(ends) + 1):
        end = ends[index - 1]
        gap = text[end : starts[index] if index < len(starts) else len(text)]
        reach = end + len(gap.rstrip())
        before = index - 1
        while reach > end and before >= 0 and ends[before] == end:
            ends[before] = reach
            before -= 1
    return starts, ends
