"""From markers in the bytes of many texts to masks over their tokens, by numpy and without a loop over rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chattmpl.extra.fast.lowering import CLOSE, OPEN, SEPARATOR

_OPEN, _CLOSE, _SEPARATOR = ord(OPEN), ord(CLOSE), ord(SEPARATOR)
_MARKERS = (OPEN + CLOSE).encode()


@dataclass(frozen=True)
class Stream:
    """Texts in a row, their markers taken out and known by place.

    Attributes:
        data: the UTF-8 bytes without markers, with a separator between the texts.
        sizes: the number of bytes of each text.
        starts, ends: the generated spans, in bytes of the texts put one behind the other without separators.
        rows: the text that each span stands in.
        bad: for each text, whether its markers are not in pairs, or it holds control characters or nothing at all.
    """

    data: bytes
    sizes: Any
    starts: Any
    ends: Any
    rows: Any
    bad: Any


def read_markers(texts: list[str]) -> Stream:
    """The texts as one stream of bytes.

    Raises:
        UnicodeEncodeError: if one of them holds half a surrogate pair.
    """
    whole = SEPARATOR.join(texts).encode()
    array = np.frombuffer(whole, dtype=np.uint8)
    # bytes below 32 are white space, markers, or control characters, in which engines differ
    low = np.flatnonzero(array < 32)
    kinds = array[low]
    known = (kinds == 10) | (kinds == 13) | (kinds == 9)
    places, kinds = low[~known], kinds[~known]
    separators = kinds == _SEPARATOR
    rows = np.cumsum(separators) - separators
    removed = np.arange(len(places))
    clean = places - removed
    bad = np.zeros(len(texts), dtype=bool)
    bad[rows[(kinds > _SEPARATOR) | (kinds == 0)]] = True
    bounds = np.concatenate(([0], clean[separators], [len(whole) - len(places)]))
    sizes = np.diff(bounds)
    bad[sizes <= 0] = True
    following = np.append(kinds[1:], _SEPARATOR)
    before = np.append(_SEPARATOR, kinds[:-1])
    opens, closes = kinds == _OPEN, kinds == _CLOSE
    bad[rows[(opens & (following != _CLOSE)) | (closes & (before != _OPEN))]] = True
    starts, ends = clean[opens], clean[closes]
    spans = rows[opens]
    if bad.any() or len(starts) != len(ends):
        return Stream(b"", sizes, starts[:0], ends[:0], spans[:0], bad)
    full = ends > starts
    return Stream(whole.translate(None, _MARKERS), sizes, starts[full], ends[full], spans[full], bad)


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
    ends_t = np.cumsum(lengths, dtype=np.int64)
    bounds_t = np.concatenate(([0], ends_t))[offsets]
    torn = np.diff(bounds_t) != stream.sizes
    count = len(stream.sizes)
    none = np.zeros(count, dtype=np.int64)
    if torn.any():
        return Placed(np.zeros(0, dtype=np.uint8), none, torn, torn)
    starts_t = ends_t[:-1]  # where each token but the first starts
    within_first = np.searchsorted(ends_t, stream.starts, side="right")
    within_last = np.searchsorted(starts_t, stream.ends, side="left") + 1
    inner_first = np.searchsorted(starts_t, stream.starts, side="left") + (stream.starts > 0)
    inner_last = np.searchsorted(ends_t, stream.ends, side="right")
    first, last = (inner_first, inner_last) if exclude else (within_first, within_last)
    last = np.maximum(first, last)
    steps = np.zeros(len(ends_t) + 1, dtype=np.int32)
    np.add.at(steps, first, 1)
    np.subtract.at(steps, last, 1)
    mask = (np.cumsum(steps[:-1]) > 0).astype(np.uint8)
    straddles = none
    for crossed in (within_first != inner_first, within_last != inner_last):
        straddles = straddles + np.bincount(stream.rows[crossed], minlength=count)
    touching = stream.starts[1:] == stream.ends[:-1]
    touching &= stream.rows[1:] == stream.rows[:-1]
    seams = np.bincount(stream.rows[1:][touching], minlength=count) > 0
    return Placed(mask, straddles, torn, seams)
