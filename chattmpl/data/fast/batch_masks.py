"""Markers and token masks of a whole batch, handled by numpy without a loop over rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chattmpl.data.fast.markers import CLOSE, OPEN, SEPARATOR

_OPEN, _CLOSE, _SEPARATOR = ord(OPEN), ord(CLOSE), ord(SEPARATOR)


@dataclass(frozen=True)
class TextStream:
    """Texts in one stream of bytes, with their markers removed and located.

    Attributes:
        data: the UTF-8 bytes without markers, with a separator between texts.
        sizes: number of bytes of each text.
        starts, ends: the generated spans, as byte offsets in the texts joined without separators.
        rows: index of the text that each span is in.
        text_ends: end of each text in the bytes with markers.
        bad: for each text, true if its markers are unpaired, it contains control characters, or it is empty.
    """

    data: bytes
    sizes: Any
    starts: Any
    ends: Any
    rows: Any
    text_ends: Any
    bad: Any


def parse_markers(whole: bytes, count: int) -> TextStream:
    """Remove and locate the markers of a number of texts, in UTF-8 and with a separator between them."""
    array = np.frombuffer(whole, dtype=np.uint8)
    # Bytes below 32 are white space, markers, or control characters, which tokenizers treat differently.
    low = np.flatnonzero(array < 32)
    kinds = array[low]
    known = (kinds == 10) | (kinds == 13) | (kinds == 9)
    places, kinds = low[~known], kinds[~known]
    separators = kinds == _SEPARATOR
    rows = np.cumsum(separators) - separators
    clean = places - np.arange(len(places))
    bounds = np.concatenate(([0], clean[separators], [len(whole) - len(places)]))
    sizes = np.diff(bounds)
    if len(sizes) != count:  # a text contains a separator
        none = np.zeros(0, dtype=np.int64)
        return TextStream(b"", none, none, none, none, none, np.ones(count, dtype=bool))
    bad = sizes <= 0
    bad[rows[(kinds > _SEPARATOR) | (kinds == 0)]] = True
    following = np.append(kinds[1:], _SEPARATOR)
    before = np.append(_SEPARATOR, kinds[:-1])
    opens, closes = kinds == _OPEN, kinds == _CLOSE
    bad[rows[(opens & (following != _CLOSE)) | (closes & (before != _OPEN))]] = True
    starts, ends = clean[opens], clean[closes]
    spans, text_ends = rows[opens], np.append(places[separators], len(whole))
    if bad.any() or len(starts) != len(ends):
        return TextStream(b"", sizes, starts[:0], ends[:0], spans[:0], text_ends, bad)
    full = ends > starts
    data = whole.replace(OPEN.encode(), b"").replace(CLOSE.encode(), b"")
    return TextStream(data, sizes, starts[full], ends[full], spans[full], text_ends, bad)


def split_at_spans(stream: TextStream) -> tuple[bytes, Any]:
    """Split texts at the edges of their generated spans.

    Returns:
        The pieces, none of them empty and with a separator between them, and for each text the number of pieces up to
        its end.
    """
    bounds = np.cumsum(stream.sizes)
    edges = np.unique(np.concatenate([stream.starts, stream.ends, bounds]))
    edges = edges[edges > 0]
    ends = np.searchsorted(edges, bounds, side="right")
    data = np.frombuffer(stream.data, dtype=np.uint8)
    inside = ~np.isin(edges, bounds)
    rows = np.searchsorted(bounds, edges[inside], side="right")
    return np.insert(data, edges[inside] + rows, _SEPARATOR).tobytes(), ends


@dataclass(frozen=True)
class TokenMasks:
    """The masks of many texts.

    Attributes:
        mask: 1 for each token that is trained, else 0.
        straddles: for each text, the number of edges of generated spans inside a token.
        misaligned: for each text, true if the lengths of its tokens do not add up to its bytes.
        adjacent: for each text, true if one generated span directly follows another.
    """

    mask: Any
    straddles: Any
    misaligned: Any
    adjacent: Any


def mask_tokens(stream: TextStream, lengths: Any, offsets: Any, *, exclude: bool) -> TokenMasks:
    """Compute the masks of the tokens.

    Args:
        stream: the texts.
        lengths: bytes of each token.
        offsets: start of each text's tokens, and the end of the last.
        exclude: train only tokens that are wholly inside a span, instead of all that overlap one.
    """
    bounds_t = np.zeros(len(lengths) + 1, dtype=np.int64)
    ends_t = np.cumsum(lengths, out=bounds_t[1:])
    misaligned = np.diff(bounds_t[offsets]) != stream.sizes
    count = len(stream.sizes)
    none = np.zeros(count, dtype=np.int64)
    if misaligned.any():
        return TokenMasks(np.zeros(0, dtype=np.uint8), none, misaligned, misaligned)
    # A span begins in the token that contains its start and ends in the one that contains its end; where a token
    # ends exactly there, the inner and the outer bound are the same token.
    outer_first = np.searchsorted(ends_t, stream.starts, side="right")
    inner_first = outer_first + (bounds_t[outer_first] != stream.starts)
    inner_last = np.searchsorted(ends_t, stream.ends, side="right")
    outer_last = inner_last + (bounds_t[inner_last] != stream.ends)
    first, last = (inner_first, inner_last) if exclude else (outer_first, outer_last)
    mask = _fill(first, np.maximum(first, last), len(ends_t))
    straddles = none
    for crossed in (outer_first != inner_first, outer_last != inner_last):
        straddles = straddles + np.bincount(stream.rows[crossed], minlength=count)
    touching = stream.starts[1:] == stream.ends[:-1]
    touching &= stream.rows[1:] == stream.rows[:-1]
    adjacent = np.bincount(stream.rows[1:][touching], minlength=count) > 0
    return TokenMasks(mask, straddles, misaligned, adjacent)


def _fill(first: Any, last: Any, count: int) -> Any:
    """Return 1 for the tokens in any of the ranges, which are in order and may overlap, else 0."""
    last = np.maximum.accumulate(last)
    first = np.maximum(first, np.append(0, last[:-1]))
    bounds = np.empty(2 * len(first) + 2, dtype=np.int64)
    bounds[0], bounds[-1] = 0, count
    bounds[1:-1:2], bounds[2:-1:2] = first, np.maximum(first, last)
    inside = np.zeros(len(bounds) - 1, dtype=np.uint8)
    inside[1::2] = 1
    return np.repeat(inside, np.diff(bounds))
