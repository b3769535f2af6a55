"""What changed from one rendering to another: stretches of text, and stretches that are generated in only one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

from chattmpl.source import Place
from chattmpl.template.spans import Span
from chattmpl.template.template import Rendering

Kind = Literal["text", "mask"]

_WORDS = re.compile(r"<[^<>\s]+>|\w+|\s|[^\w\s]")
_MOST_WORDS = 4_000
"""Longer texts are not compared word by word, but as a whole from the first difference to the last."""


@dataclass(frozen=True)
class Hunk:
    """One change in one case.

    Attributes:
        kind: ``text``, or ``mask`` where the text is the same and other characters are generated.
        before, after: the two renderings.
        old, new: the half-open character ranges in them.
    """

    kind: Kind
    before: Rendering
    after: Rendering
    old: tuple[int, int]
    new: tuple[int, int]

    @property
    def gained(self) -> bool:
        """Of a change of the mask, whether the characters are generated now, and were not before."""
        return self.kind == "mask" and _span_at(self.after, self.new[0]).generated

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells one cause from another: the lines of both templates, and what stands first in the change."""
        other = self.before if self.gained else self.after
        if self.kind == "mask" and not other.generated:
            return self.kind, self.gained  # one of the templates generates nothing at all
        sides = ((self.before, self.old), (self.after, self.new))
        return (self.kind, self.gained, *(self._side(rendering, span) for rendering, span in sides))

    @staticmethod
    def _side(rendering: Rendering, span: tuple[int, int]) -> tuple[Any, ...] | None:
        if span[0] == span[1]:
            return None
        first = _span_at(rendering, span[0])
        if first.field is not None:
            return first.line, re.split(r"[.\[]", first.field)[0]
        words = _WORDS.findall(rendering.text[span[0] : min(span[1], first.end)])
        return first.line, next((word for word in words if not word.isspace()), "")

    def place(self, side: Literal["before", "after"]) -> Place | None:
        """The template line that wrote the characters of one side, or that stands behind which they were put."""
        rendering, span = (self.before, self.old) if side == "before" else (self.after, self.new)
        if not rendering.spans:
            return None
        line = _span_at(rendering, span[0] if span[0] < span[1] else max(span[0] - 1, 0)).line
        return None if line is None else Place.of_line(rendering.template.program.source, line)


def hunks(before: Rendering, after: Rendering) -> Iterator[Hunk]:
    """The changes from one rendering to the other, in order of the text."""
    for kept, old, new in _blocks(before.text, after.text):
        if not kept:
            yield Hunk("text", before, after, *_slid(before, after, old, new))
            continue
        yield from _masks(before, after, old, new)


def _blocks(old: str, new: str) -> Iterator[tuple[bool, tuple[int, int], tuple[int, int]]]:
    """Stretches that are kept or changed, as ranges of both texts."""
    if old == new:
        yield True, (0, len(old)), (0, len(new))
        return
    start = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    start = max(old.rfind(sign, 0, start) for sign in " \n>") + 1  # whole words
    words = [_WORDS.findall(old, start), _WORDS.findall(new, start)]
    if start:
        yield True, (0, start), (0, start)
    if max(map(len, words)) > _MOST_WORDS:
        yield False, (start, len(old)), (start, len(new))
        return
    offsets = [_offsets(start, part) for part in words]
    for tag, a, b, c, d in SequenceMatcher(None, words[0], words[1], autojunk=False).get_opcodes():
        yield tag == "equal", (offsets[0][a], offsets[0][b]), (offsets[1][c], offsets[1][d])


def _slid(
    before: Rendering, after: Rendering, old: tuple[int, int], new: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """A pure insertion or deletion, where it can stand at several places, at the first that begins a span."""
    if (old[0] == old[1]) == (new[0] == new[1]):
        return old, new
    rendering, (start, end) = (after, new) if old[0] == old[1] else (before, old)
    text, edges = rendering.text, {span.start for span in rendering.spans}
    back = 0
    while start - back > 0 and text[start - back - 1] == text[end - back - 1]:
        back += 1
    on = 0
    while end + on < len(text) and text[start + on] == text[end + on]:
        on += 1
    shifts = [shift for shift in range(-back, on + 1) if start + shift in edges]
    # Whitespace is what is most often found at both ends, and it says nothing.
    shifts.sort(key=lambda shift: text[start + shift : start + shift + 1].isspace())
    shift = shifts[0] if shifts else 0
    return (old[0] + shift, old[1] + shift), (new[0] + shift, new[1] + shift)


def _offsets(start: int, words: list[str]) -> list[int]:
    found = [start]
    for word in words:
        found.append(found[-1] + len(word))
    return found


def _masks(before: Rendering, after: Rendering, old: tuple[int, int], new: tuple[int, int]) -> Iterator[Hunk]:
    """Stretches of a text that both have and that are generated in one of them."""
    one, other = _flags(before, *old), _flags(after, *new)
    position = 0
    while position < len(one):
        start = position
        changed = one[start] != other[start]
        while position < len(one) and (one[position] != other[position]) == changed and one[position] == one[start]:
            position += 1
        if changed:
            ranges = ((offset + start, offset + position) for offset in (old[0], new[0]))
            yield Hunk("mask", before, after, *ranges)


def _flags(rendering: Rendering, start: int, end: int) -> bytes:
    flags = bytearray(len(rendering.text))
    for one, other in rendering.generated:
        flags[one:other] = b"\1" * (other - one)
    return bytes(flags[start:end])


def _span_at(rendering: Rendering, offset: int) -> Span:
    return next((span for span in rendering.spans if span.start <= offset < span.end), rendering.spans[-1])
