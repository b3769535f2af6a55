"""Labels of the parts of a source: all, none or some of the text of a part should be generated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise, permutations

from chattmpl.rewrite.annotate.evidence import Evidence, Observation
from chattmpl.rewrite.annotate.guards import Guard, guard_for
from chattmpl.syntax.items import Block, Comment, Item, Output, Raw, Tag, Text
from chattmpl.syntax.nodes import Constant, Expression
from chattmpl.syntax.tree import Tree


@dataclass(frozen=True)
class Part:
    """An operand of an output, a whole output, or a text between tags.

    Attributes:
        start, end: character range in the source, without white space around it.
        node: the expression or the text; None for several operands together.
    """

    start: int
    end: int
    node: Expression | Text | None = None

    @classmethod
    def of(cls, node: Expression | Text) -> Part:
        """Make the part of a node."""
        return cls(node.start, node.end, node)

    @property
    def constant(self) -> str | None:
        """The text that the part always writes: that between tags, or a string constant."""
        if isinstance(self.node, Text):
            return self.node.text
        return self.node.string if self.node is not None else None

    @property
    def enclosed(self) -> bool:
        """Whether it is in parentheses with other parts."""
        return isinstance(self.node, Expression) and self.node.enclosed

    def literal(self, start: int, end: int | None) -> str:
        """Return a stretch of a string constant as a constant; ``end`` is None for its end."""
        assert isinstance(self.node, Constant)
        literal = self.node.text
        begin = self.node.cut(start) if start else self.node.start + 1
        stop = self.node.end - 1 if end is None or end == len(self.constant or "") else self.node.cut(end)
        assert begin is not None
        assert stop is not None
        return f"{literal[0]}{literal[begin - self.node.start : stop - self.node.start]}{literal[0]}"


def parts_of(expression: Expression | None) -> tuple[Part, ...]:
    """Return the operands of ``+`` and ``~`` in an expression, without parentheses; else the whole expression."""
    return tuple(map(Part.of, expression.operands)) if expression is not None else ()


def content(body: Sequence[Item]) -> Iterator[Text | Output | Tag | Block]:
    """Yield the items of a body without comments, and raw blocks as their text."""
    for item in body:
        if isinstance(item, Raw):
            yield from (part for part in item.parts if isinstance(part, Text))
        elif not isinstance(item, Comment):
            yield item


@dataclass(frozen=True)
class SpanLabel:
    """The share of a part that should be generated.

    Attributes:
        what: ``all`` of it, ``none``, ``guarded`` where it depends on a condition, ``unseen`` if it wrote nothing,
            ``unclear`` if some of it should be generated and it cannot be cut.
        guard: the condition.
    """

    what: str
    guard: Guard | None = None


ALL, NONE, UNSEEN, UNCLEAR = SpanLabel("all"), SpanLabel("none"), SpanLabel("unseen"), SpanLabel("unclear")


@dataclass(frozen=True)
class LabeledPart:
    """A part or, if it is a constant, a stretch of its value, with its label.

    Attributes:
        start, end: the stretch, in characters of the value; None for a part that is no constant.
    """

    part: Part
    label: SpanLabel
    start: int | None = None
    end: int | None = None


def label_part(evidence: Evidence, part: Part) -> list[LabeledPart]:
    """Label the stretches of a part; neighbours with one label are joined."""
    every = _stretches(part, evidence.all_of(part.start))
    if every != [LabeledPart(part, UNSEEN)] and all(piece.label != UNCLEAR for piece in every):
        return every
    pieces = _stretches(part, evidence.of(part.start))
    if evidence.guessed(part.start) and any(piece.label == UNCLEAR for piece in pieces):
        seen = evidence.of(part.start)
        some = any(one.inside for one in seen) and not any(one.foreign for one in seen)
        return [LabeledPart(part, ALL if some else NONE)]
    return pieces


def _stretches(part: Part, seen: list[Observation]) -> list[LabeledPart]:
    if part.constant is None or not seen:
        length = max((one.length for one in seen), default=0)
        return [LabeledPart(part, _label(seen, 0, None) if length else UNSEEN)]
    length = len(part.constant)
    seen = [one for one in seen if one.length == length]
    edges = sorted({0, length, *(edge for one in seen for pair in one.inside for edge in pair)})
    pieces: list[LabeledPart] = []
    for start, end in pairwise(edges):
        label = _label(seen, start, end)
        if pieces and pieces[-1].label == label:
            pieces[-1] = LabeledPart(part, label, pieces[-1].start, end)
        else:
            pieces.append(LabeledPart(part, label, start, end))
    return pieces or [LabeledPart(part, UNSEEN)]


def labeled_parts(evidence: Evidence, item: Text | Output) -> list[LabeledPart]:
    """Label all parts of an item."""
    if isinstance(item, Text):
        return label_part(evidence, Part.of(item))
    parts = parts_of(item.expression)
    whole = evidence.of(parts[0].start) if parts else []
    others = [one for part in parts[1:] for one in evidence.of(part.start)]
    if len(parts) > 1 and whole and not others:
        # It adds values that are no strings, and was not split.
        return [LabeledPart(Part(parts[0].start, parts[-1].end), _label(whole, 0, None))]
    known = [not evidence.guessed(part.start) for part in parts]
    return [
        piece
        for part, sure in zip(parts, known, strict=True)
        # What is only guessed follows its neighbours.
        for piece in (label_part(evidence, part) if sure or not any(known) else [LabeledPart(part, UNSEEN)])
    ]


OutputCase = tuple[Guard | None, list[LabeledPart]]
"""A condition and the parts of an output with their labels where it holds; None for all remaining conditions."""

_MOST_CASES = 4


def output_cases(evidence: Evidence, item: Output) -> list[OutputCase]:
    """Return the cases in which different parts of an output are generated; none if no conditions distinguish them."""
    parts = parts_of(item.expression)
    seen: dict[frozenset[str], list[list[Observation]]] = {}
    for index, part in enumerate(parts):
        for one in evidence.all_of(part.start):
            seen.setdefault(one.facts - {"first"}, [[] for _ in parts])[index].append(one)
    found: list[tuple[str, list[frozenset[str]]]] = []
    marks = {facts: "".join(map(_marks, parts, observed)) for facts, observed in seen.items()}
    for facts, text in sorted(marks.items(), key=lambda each: each[1].count("?")):
        fitting = [index for index, (other, _) in enumerate(found) if _joined(text, other) is not None]
        if not fitting:
            found.append((text, [facts]))
        elif len(fitting) == 1:
            # Otherwise what it wrote fits several cases, whatever the conditions.
            other, same = found[fitting[0]]
            found[fitting[0]] = (_joined(text, other) or "", [*same, facts])
    if not 1 < len(found) <= _MOST_CASES or any("!" in text for text, _ in found):
        return []
    ways = [way for order in permutations(found) if (way := _conditions(order)) is not None]
    best = min(ways, key=lambda way: sum(guard.cost for guard, _ in way if guard is not None), default=[])
    return [(guard, _marked(parts, text)) for guard, text in best]


def _joined(one: str, other: str) -> str | None:
    """Return letters that fit two texts of `_marks`; None if these contradict each other."""
    if any(a != b and "?" not in (a, b) for a, b in zip(one, other, strict=True)):
        return None
    return "".join(b if a == "?" else a for a, b in zip(one, other, strict=True))


def _conditions(order: Sequence[tuple[str, list[frozenset[str]]]]) -> list[tuple[Guard | None, str]] | None:
    """Return the condition of each case after those before it; None if one cannot be distinguished from the rest."""
    made: list[tuple[Guard | None, str]] = []
    for index, (text, same) in enumerate(order[:-1]):
        rest = [(facts, False) for _, others in order[index + 1 :] for facts in others]
        guard = guard_for([*((facts, True) for facts in same), *rest])
        if guard is None:
            return None
        made.append((guard, text))
    return [*made, (None, order[-1][0])]


def _marks(part: Part, seen: list[Observation]) -> str:
    """Return one letter for each character of a constant, or one for any other part: G is generated, ? is unknown."""
    length = 1 if part.constant is None else len(part.constant)
    letters = {ALL: "G", NONE: ".", UNSEEN: "?"}
    return "".join(
        letters.get(piece.label, "!") * (length if piece.start is None else (piece.end or 0) - piece.start)
        for piece in _stretches(part, seen)
    )


def _marked(parts: Sequence[Part], marks: str) -> list[LabeledPart]:
    """Return the parts of an output cut where their letters change."""
    labels = {"G": ALL, ".": NONE, "?": UNSEEN}
    pieces, at = [], 0
    for part in parts:
        if part.constant is None:
            pieces.append(LabeledPart(part, labels[marks[at]]))
            at += 1
            continue
        start = 0
        for letter, group in groupby(marks[at : at + len(part.constant)]):
            end = start + len(list(group))
            pieces.append(LabeledPart(part, labels[letter], start, end))
            start = end
        at += start
    return pieces


def unclear_parts(tree: Tree, evidence: Evidence) -> Iterator[tuple[Output, Part]]:
    """Yield the parts of outputs that write sampled and other text, and cannot be cut."""
    for item in tree.items:
        if isinstance(item, Output):
            for piece in labeled_parts(evidence, item):
                if piece.label == UNCLEAR:
                    yield item, piece.part


def _label(seen: list[Observation], start: int, end: int | None) -> SpanLabel:
    held = {(one.facts, one.holds(start, one.length if end is None else end)) for one in seen}
    if not held:
        return UNSEEN
    if any(inside is None for _, inside in held):
        return UNCLEAR
    if len({inside for _, inside in held}) == 1:
        return ALL if held.pop()[1] else NONE
    guard = guard_for([(facts, bool(inside)) for facts, inside in held])
    return UNCLEAR if guard is None else SpanLabel("guarded", guard)


def labels_of(evidence: Evidence, item: Item) -> set[SpanLabel]:
    """Return the labels of everything inside of an item."""
    return {piece.label for piece in _all(evidence, item)} - {UNSEEN}


def _all(evidence: Evidence, item: Item) -> Iterator[LabeledPart]:
    if isinstance(item, (Text, Output)):
        yield from labeled_parts(evidence, item)
    elif isinstance(item, Block):
        opening = item.opening
        inside = (part for part in evidence.parts() if opening.start <= part < opening.end)
        captured = [one for part in inside for one in evidence.of(part)]
        if captured:
            yield LabeledPart(Part(opening.start, opening.end), _label(captured, 0, None))
        for body in item.bodies:
            for inner in content(body):
                yield from _all(evidence, inner)
