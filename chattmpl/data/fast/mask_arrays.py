"""From markers in the bytes of many texts to masks over their tokens, by numpy and without a loop over rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chattmpl.data.fast.markers import CLOSE, OPEN, SEPARATOR

_OPEN, _CLOSE, _SEPARATOR = ord(OPEN), ord(CLOSE), ord(SEPARATOR)


@dataclass(frozen=True)
class Stream:
    """Texts in a row, their markers taken out and known by place.

    Attributes:
        data: the UTF-8 bytes without markers, with a separator between the texts.
        sizes: the number of bytes of each text.
        starts, ends: the generated spans, in bytes of the texts put one behind the other without separators.
        rows: the text that each span stands in.
        text_ends: where each text ends among the bytes with markers.
        bad: for each text, whether its markers are not in pairs, or it holds control characters or nothing at all.
    """

    data: bytes
    sizes: Any
    starts: Any
    ends: Any
    rows: Any
    text_ends: Any
    bad: Any


def read_markers(whole: bytes, count: int) -> Stream:
    """Texts as one stream of bytes.

    Args:
        whole: the texts with markers in UTF-8, with a separator between them.
        count: how many there are.
    """
    array = np.frombuffer(whole, dtype=np.uint8)
    # bytes below 32 are white space, markers, or control characters, in which engines differ
    low = np.flatnonzero(array < 32)
    kinds = array[low]
    known = (kinds == 10) | (kinds == 13) | (kinds == 9)
    places, kinds = low[~known], kinds[~known]
    separators = kinds == _SEPARATOR
    rows = np.cumsum(separators) - separators
    clean = places - np.arange(len(places))
    bounds = np.concatenate(([0], clean[separators], [len(whole) - len(places)]))
    sizes = np.diff(bounds)
    if len(sizes) != count:  # a text holds a separator
        none = np.zeros(0, dtype=np.int64)
        return Stream(b"", none, none, none, none, none, np.ones(count, dtype=bool))
    bad = sizes <= 0
    bad[rows[(kinds > _SEPARATOR) | (kinds == 0)]] = True
    following = np.append(kinds[1:], _SEPARATOR)
    before = np.append(_SEPARATOR, kinds[:-1])
    opens, closes = kinds == _OPEN, kinds == _CLOSE
    bad[rows[(opens & (following != _CLOSE)) | (closes & (before != _OPEN))]] = True
    starts, ends = clean[opens], clean[closes]
    spans, text_ends = rows[opens], np.append(places[separators], len(whole))
    if bad.any() or len(starts) != len(ends):
        return Stream(b"", sizes, starts[:0], ends[:0], spans[:0], text_ends, bad)
    full = ends > starts
    data = whole.replace(OPEN.encode(), b"").replace(CLOSE.encode(), b"")
    return Stream(data, sizes, starts[full], ends[full], spans[full], text_ends, bad)


@dataclass(frozen=True)
class Placed:
    """Masks of many texts.

    Attributes:
        mask: 1 for each token that is trained, else 0.
        straddles: for each text, the number of edges of generated spans that fall inside a token.
        torn: for each text, whether its tokens do not add up to its bytes, so that nothing of it can be placed.
        seams: for each text, whether a generated span follows another without a character between.
    """

    mask: Any
    straddles: Any
    torn: Any
    seams: Any


def place(stream: Stream, lengths: Any, offsets: Any, *, exclude: bool) -> Placed:
    """The masks of the tokens.

    Args:
        stream: the texts.
        lengths: of each token, in bytes.
        offsets: of each text's tokens among all.
        exclude: train only tokens that lie wholly in a span, instead of all that overlap one.
    """
    bounds_t = np.zeros(len(lengths) + 1, dtype=np.int64)
    ends_t = np.cumsum(lengths, out=bounds_t[1:])
    torn = np.diff(bounds_t[offsets]) != stream.sizes
    count = len(stream.sizes)
    none = np.zeros(count, dtype=np.int64)
    if torn.any():
        return Placed(np.zeros(0, dtype=np.uint8), none, torn, torn)
    # Each span's first token is the one that its start lies in, and its last the one that its end lies in; where a
    # token ends right there it is the same token from within and from outside.
    within_first = np.searchsorted(ends_t, stream.starts, side="right")
    inner_first = within_first + (bounds_t[within_first] != stream.starts)
    inner_last = np.searchsorted(ends_t, stream.ends, side="right")
    within_last = inner_last + (bounds_t[inner_last] != stream.ends)
    first, last = (inner_first, inner_last) if exclude else (within_first, within_last)
    mask = _mask(first, np.maximum(first, last), len(ends_t))
    straddles = none
    for crossed in (within_first != inner_first, within_last != inner_last):
        straddles = straddles + np.bincount(stream.rows[crossed], minlength=count)
    touching = stream.starts[1:] == stream.ends[:-1]
    touching &= stream.rows[1:] == stream.rows[:-1]
    seams = np.bincount(stream.rows[1:][touching], minlength=count) > 0
    return Placed(mask, straddles, torn, seams)


def _mask(first: Any, last: Any, count: int) -> Any:
    """1 for the tokens in any of the ranges, which are in order and may overlap, else 0."""
    last = np.maximum.accumulate(last)
    first = np.maximum(first, np.append(0, last[:-1]))
    bounds = np.empty(2 * len(first) + 2, dtype=np.int64)
    bounds[0], bounds[-1] = 0, count
    bounds[1:-1:2], bounds[2:-1:2] = first, np.maximum(first, last)
    inside = np.zeros(len(bounds) - 1, dtype=np.uint8)
    inside[1::2] = 1
    return np.repeat(inside, np.diff(bounds))
