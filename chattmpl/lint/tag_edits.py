"""Generation tags put elsewhere: candidates for fixes of the mask, which are tried until one is proven."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Literal

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import LintContext
from chattmpl.lint.pieces import (
    Piece,
    block_end,
    constant,
    indentation,
    insertions,
    literal_cut,
    natural_cuts,
    operands,
    pieces,
    quoted,
    removal,
    siblings,
    without_overlaps,
)
from chattmpl.syntax.edits import Edit

Moved = Literal["start", "end"]
Way = Literal["later", "earlier"]
_UNITS = 4
"""So many units from where it was a tag is moved at most."""


def moved(
    subject: LintContext, finding: TemplateDiagnostic, which: Moved, way: Literal["later", "earlier"]
) -> Iterator[list[Edit]]:
    """Edits that move the start or the end of a generation tag, those of the tag next to the finding first.

    Args:
        subject: the template.
        finding: what is to be mended.
        which: of the two tags that of the start or that of the end.
        way: whether it is put later or earlier in the source.
    """
    given = pieces(subject)
    text = subject.source.text
    starts = [index for index, piece in enumerate(given) if piece.name == "generation"]
    starts.sort(key=lambda index: _distance(given, index, finding.place.start))
    for start in starts[:3]:
        end = block_end(given, start)
        if end is None:
            continue
        index = start if which == "start" else end
        tag = f"{{%- {given[index].name} -%}}"
        taken_out = removal(text, given, index)
        for put_in in _places(text, given, index, tag, way):
            edits = without_overlaps([*taken_out, *put_in])
            if edits is not None:
                yield list(edits)


def _distance(given: list[Piece], start: int, offset: int) -> int:
    end = block_end(given, start)
    last = given[end].end if end is not None else given[start].end
    return max(given[start].start - offset, offset - last, 0)


def _places(text: str, given: list[Piece], index: int, tag: str, way: Way) -> Iterator[list[Edit]]:
    """Where the tag can be put, the nearest first."""
    margin = indentation(text, given[index].start)
    for first, last in islice(siblings(given, index, 1 if way == "later" else -1), _UNITS):
        options = insertions(text, given, first, tag, margin)
        if first < last:
            options = islice(options, 1)  # not into a block
        if way == "earlier":
            yield from reversed(list(options))
            continue
        # Before the first unit is where the tag was; after a unit is before the next one.
        yield from islice(options, 1, None)
        if last + 1 < len(given):
            yield next(insertions(text, given, last + 1, tag, margin))


def hoisted(subject: LintContext, finding: TemplateDiagnostic) -> Iterator[list[Edit]]:
    """Edits that take what every branch at the end of a generation tag ends with out of the tag."""
    given, text = pieces(subject), subject.source.text
    starts = [index for index, piece in enumerate(given) if piece.name == "generation"]
    for start in sorted(starts, key=lambda index: _distance(given, index, finding.place.start))[:3]:
        end = block_end(given, start)
        unit = next(siblings(given, end, -1), None) if end is not None else None
        constants = None if unit is None or unit[0] == unit[1] else _last_constants(given, text, *unit)
        if end is None or not constants:
            continue
        values = [constant(text, *place) or "" for place in constants]
        for cut in reversed(natural_cuts(values[0])):
            suffix = values[0][cut:]
            places = [
                literal_cut(text, *place, len(value) - len(suffix))
                for place, value in zip(constants, values, strict=True)
                if value.endswith(suffix) and value != suffix
            ]
            if len(places) < len(constants) or None in places:
                continue
            shorter = [
                Edit(at, last - 1, "") for at, (_, last) in zip(places, constants, strict=True) if at is not None
            ]
            margin = indentation(text, given[end].start)
            line = "" if margin is None else f"\n{margin}"
            for sign in ("", "-"):
                yield [*shorter, Edit(given[end].end, given[end].end, f"{line}{{{{- {quoted(suffix)} {sign}}}}}")]


def _last_constants(given: list[Piece], text: str, first: int, last: int) -> list[tuple[int, int]] | None:
    """The ranges of the string constants that the branches of a condition end with; None if one does not."""
    if given[first].name != "if":
        return None
    found: list[tuple[int, int]] = []
    depth, otherwise = 0, False
    for index in range(first, last + 1):
        piece = given[index]
        depth += piece.opens - piece.closes
        at_edge = (depth == 1 and piece.name in ("else", "elif")) or index == last
        otherwise = otherwise or (depth == 1 and piece.name == "else")
        if not at_edge:
            continue
        unit = next(siblings(given, index, -1), None)
        if unit is None:
            return None
        if unit[0] < unit[1]:
            inner = _last_constants(given, text, *unit)
        else:
            ranges = operands(given[unit[0]])
            inner = ranges[-1:] if ranges and constant(text, *ranges[-1]) is not None else None
        if not inner:
            return None
        found += inner
    return found if otherwise else None
