"""Edits of a text, with a map from offsets in the result to offsets in the source."""

import bisect
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Edit:
    """Replacement of a character range; an empty range inserts."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Edited:
    """Result of applying edits.

    Attributes:
        text: the new text.
        kept: the start, in the new text and in the source, of each part of the source that was kept and of each
            replacement.
    """

    text: str
    kept: tuple[tuple[int, int], ...]

    def source_offset(self, offset: int) -> int:
        """Return the source offset of a character of the new text; in a replacement, that of the replaced text."""
        index = bisect.bisect_right(self.kept, (offset, len(self.text) + offset + 1)) - 1
        new, old = self.kept[index]
        following = self.kept[index + 1][1] if index + 1 < len(self.kept) else None
        moved = old + offset - new
        return moved if following is None else min(moved, max(following, old))


def apply_edits(source: str, edits: Iterable[Edit]) -> Edited:
    """Apply edits, which must not overlap; insertions at the same offset keep their order."""
    pieces: list[str] = []
    kept: list[tuple[int, int]] = []
    length = position = 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        if edit.start < position:
            raise AssertionError(f"edits overlap at offset {edit.start}")
        for old, text in ((position, source[position : edit.start]), (edit.start, edit.text)):
            if text:
                kept.append((length, old))
                pieces.append(text)
                length += len(text)
        position = edit.end
    kept.append((length, position))
    pieces.append(source[position:])
    return Edited("".join(pieces), tuple(kept))
