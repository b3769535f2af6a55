"""Token offsets: half-open character ranges, computed from the bytes of the tokens if these are the text.

The vocabulary strings of a byte-level BPE spell bytes (in GPT-2's alphabet of printable substitutes), those of models
like SentencePiece spell characters, with ``▁`` for a space and ``<0x0A>`` for a byte. If the decoded tokens of a text
are exactly its bytes, the offsets are the sums of their lengths. Otherwise (a normaliser changed the text, a character
was dropped) the offsets that the tokenizer reports are used.
"""

import bisect
import re
from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import sub

Ranges = tuple[list[int], list[int]]
"""Start and end offsets of the tokens; neither list ever decreases."""

TokenDecoder = Callable[[str], bytes]
"""Function from a vocabulary string to the UTF-8 bytes that it represents."""


def _byte_alphabet() -> dict[str, int]:
    """Return GPT-2's table: printable Latin-1 stands for itself, code points from 256 for the 68 other bytes."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = (byte for byte in range(256) if byte not in printable)
    table = {chr(byte): byte for byte in printable}
    table.update({chr(256 + index): byte for index, byte in enumerate(others)})
    return table


BYTE_ALPHABET = _byte_alphabet()
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def decode_byte_level(token: str) -> bytes:
    """Decode a byte-level token; one with other characters is an added token, which spells itself."""
    try:
        return bytes(map(BYTE_ALPHABET.__getitem__, token))
    except KeyError:
        return token.encode()


def decode_metaspace(token: str) -> bytes:
    """Decode a token of a SentencePiece-like model with byte fallback."""
    if byte := _BYTE.fullmatch(token):
        return bytes([int(byte[1], 16)])
    return token.replace("▁", " ").encode()


def decode_latin1(token: str) -> bytes:
    """Decode a token whose characters are bytes in Latin-1, as in ByT5; others spell themselves."""
    try:
        return token.encode("latin-1")
    except UnicodeEncodeError:
        return token.encode()


class TokenBytes(dict[int, bytes]):
    """A cache of the bytes of each token, as one decoder gives them.

    ``leads`` counts the characters that start in a token; ``inside`` is 1 for a token that starts inside a character.
    """

    def __init__(self, decode: Callable[[int], bytes]) -> None:
        super().__init__()
        self._decode = decode
        self.leads: dict[int, int] = {}
        self.inside: dict[int, int] = {}

    def __missing__(self, token_id: int) -> bytes:
        decoded = self._decode(token_id)
        self.leads[token_id] = sum(byte & 0xC0 != 0x80 for byte in decoded)
        self.inside[token_id] = int(bool(decoded) and decoded[0] & 0xC0 == 0x80)
        self[token_id] = decoded
        return decoded

    def align(self, text: str, data: bytes, ids: Sequence[int]) -> Ranges | None:
        """Return the ranges of the tokens if their bytes are those of the text (``data``), else None.

        A token with a part of a character has the range of that character. A leading space that the text lacks (a dummy
        prefix) is ignored.
        """
        decoded = list(map(self.__getitem__, ids))
        joined = b"".join(decoded)
        prefix = 0 if joined == data else 1
        if prefix and not (joined[:1] == b" " and joined[1:] == data):
            return None
        if len(data) == len(text):
            ends = list(accumulate(map(len, decoded)))
            starts = [0, *ends[:-1]] if ends else []
        else:
            ends = list(accumulate(map(self.leads.__getitem__, ids)))
            starts = list(map(sub, [0, *ends[:-1]], map(self.inside.__getitem__, ids)))
        if prefix:
            return [max(0, start - 1) for start in starts], [max(0, end - 1) for end in ends]
        return starts, ends

    def align_skipping_space(self, text: str, data: bytes, ids: Sequence[int]) -> Ranges | int:
        """Align the tokens with the text as `align` does, allowing white space of the text to have no token.

        Returns:
            The ranges, or the character offset of the first difference between tokens and text.
        """
        position, starts_b, ends_b = 0, [], []
        char_starts_b = [0, *accumulate(len(char.encode()) for char in text)]
        for index, token_id in enumerate(ids):
            decoded = self[token_id]
            if index == 0 and not data.startswith(decoded):
                decoded = decoded.removeprefix(b" ")
            start = position
            while not data.startswith(decoded, start) and data[start : start + 1].isspace():
                start += 1
            if not data.startswith(decoded, start):
                return bisect.bisect_right(char_starts_b, position) - 1
            position = start + len(decoded)
            starts_b.append(start)
            ends_b.append(position)
        if data[position:].strip():
            return bisect.bisect_right(char_starts_b, position) - 1
        starts = [bisect.bisect_right(char_starts_b, start) - 1 for start in starts_b]
        return starts, [bisect.bisect_left(char_starts_b, end) for end in ends_b]


def close_gaps(text: str, ranges: Sequence[tuple[int, int]]) -> Ranges:
    """Return the offsets that a tokenizer reports, extended to cover all of the text except dropped white space.

    A character without a token (a combining mark composed with the letter before it) belongs to the token before it;
    white space without a token was dropped and belongs to none.
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
