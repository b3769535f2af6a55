"""Packing of several documents into one row of at most N tokens, by best fit decreasing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence


def best_fit(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Assign documents to rows; return the indices of the documents of each row.

    The longest document comes first. Each goes into the row with the least space that suffices; of several such rows,
    into the one that has had that space for longest. Rows are ordered by their first document, and documents by index.

    Args:
        lengths: number of tokens of each document, 1 to ``size``.
        size: maximum number of tokens of a row.

    Raises:
        ValueError: a document is longer than a row, or empty.
    """
    for length in lengths:
        if not 0 < length <= size:
            raise ValueError(f"a document of {length} tokens does not fit into rows of {size}")
    rows: list[list[int]] = []
    with_space: dict[int, deque[int]] = {}
    spaces = 0  # bit n is set if a row has space for n tokens
    for document in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        length = lengths[document]
        wide = spaces >> length
        if wide:
            space = length + (wide & -wide).bit_length() - 1
            waiting = with_space[space]
            row = waiting.popleft()
            if not waiting:
                spaces ^= 1 << space
        else:
            space, row = size, len(rows)
            rows.append([])
        rows[row].append(document)
        left = space - length
        if left:
            with_space.setdefault(left, deque()).append(row)
            spaces |= 1 << left
    return sorted(sorted(row) for row in rows)


def windows(count: int, size: int) -> Iterator[range]:
    """Return the indices of ``count`` documents in windows of ``size``."""
    return (range(first, min(first + size, count)) for first in range(0, count, size))


def rows_needed(lengths: Sequence[int], size: int, window: int) -> int:
    """Return the number of rows if each window of documents is packed by itself, as in ``datasets.map``."""
    return sum(len(best_fit([lengths[index] for index in some], size)) for some in windows(len(lengths), window))
