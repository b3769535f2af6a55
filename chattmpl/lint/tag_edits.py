"""Edits that insert, remove or move generation tags, as candidates for fixes of the mask."""

import bisect
import re
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from typing import Literal

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import LintContext
from chattmpl.syntax.edits import Edit
from chattmpl.syntax.items import Block, Branch, Item, Output, Tag, Text
from chattmpl.syntax.layout import whole_lines
from chattmpl.syntax.nodes import Constant, Expression, Node
from chattmpl.syntax.tree import Tree

Moved = Literal["start", "end"]
Way = Literal["later", "earlier"]
_UNITS = 4
"""Maximum number of items by which a tag is moved."""

_NATURAL = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]|\s|[^\s<\[]+|.", re.DOTALL)
"""The pieces that a text is cut between: control tokens, words, and each character of white space."""


def neighbours(tree: Tree, node: Node) -> tuple[Item | None, Item | None]:
    """Return the items directly before and after a node, including the tags of blocks."""
    before = bisect.bisect_left(tree.flat, node.start, key=lambda item: item.start)
    after = bisect.bisect_left(tree.flat, node.end, key=lambda item: item.start)
    return tree.flat[before - 1] if before else None, tree.flat[after] if after < len(tree.flat) else None


def siblings(tag: Tag, step: Literal[1, -1]) -> Iterator[Item]:
    """Yield the items next to a tag of a block, the nearest first, up to the edge of the enclosing block."""
    node: Node = tag
    parent = tag.parent
    if isinstance(parent, Branch) and step == 1:
        yield from parent.body
        return
    if isinstance(parent, Block) and step == -1:
        yield from reversed(parent.branches[-1].body)
        return
    if isinstance(parent, Branch) and parent.tag is tag:
        parent = parent.parent
    if isinstance(parent, Block):
        node, parent = parent, parent.parent
    if isinstance(parent, (Branch, Tree)):
        items = [item for item in parent.body if (item.start - node.start) * step > 0]
        yield from items if step == 1 else reversed(items)


def removal(tree: Tree, node: Node) -> list[Edit]:
    """Return edits that remove a tag, a block or a comment, and white space that would be written without it."""
    source = tree.source
    before, after = neighbours(tree, node)
    trimmed = (before is not None and not isinstance(before, Text) and source[before.end - 3] == "-") or (
        after is not None and not isinstance(after, Text) and source[after.start + 2 : after.start + 3] == "-"
    )
    if not trimmed:
        return [Edit(before.end if before else 0, after.start if after else len(source), "")]
    return [whole_lines(source, node.start, node.end) or node.delete()]


def _natural_cuts(text: str) -> list[int]:
    """Return the offsets at which a text is cut, except its two ends."""
    return [match.start() for match in _NATURAL.finditer(text)][1:]


def _constant(expression: Expression | None) -> Constant | None:
    """Return a string constant that can be cut: one without quotes inside of it."""
    if not isinstance(expression, Constant) or not expression.string:
        return None
    literal = expression.text
    return None if literal[0] in literal[1:-1] else expression


def _indentation(source: str, offset: int) -> str | None:
    """Return the white space before an offset, if nothing else is written before it on its line."""
    before = source[source.rfind("\n", 0, offset) + 1 : offset]
    return before if not before.strip() else None


def _insertions(tree: Tree, node: Item, tag: str, margin: str | None) -> Iterator[list[Edit]]:
    """Yield ways to put a tag that trims on both sides before an item and, unless it is a block, into it, from its
    start on.

    The margin is the indentation of the line on which the tag is written.
    """
    source, text = tree.source, node.text
    before, _ = neighbours(tree, node)
    left = before.text if isinstance(before, Text) else ""
    if isinstance(node, Text):
        yield in_text(node.start, left, text, tag)
        yield from (in_text(node.start + cut, text[:cut], text[cut:], tag) for cut in _natural_cuts(text))
        return
    indent = _indentation(source, node.start)
    if left and before is not None:
        yield in_text(before.end, left, "", tag)
    else:
        yield [node.insert_before(tag if indent is None else f"{tag}\n{indent}")]
    if not isinstance(node, Output) or node.expression is None:
        return
    above, below = ("", "") if indent is None or margin is None else (f"\n{margin}", f"\n{indent}")
    middle = f" }}}}{above}{tag}{above if tag.startswith('{%- end') else below}{{{{- "
    operands = node.expression.joined
    for index, operand in enumerate(operands):
        if index:
            yield [Edit(operands[index - 1].end, operand.start, middle)]
        constant = _constant(operand)
        for length in _natural_cuts(constant.string or "") if constant is not None else ():
            cut = constant.cut(length) if constant is not None else None
            if cut is not None:
                yield [Edit(cut, cut, f"{source[operand.start]}{middle}{source[operand.start]}")]


def in_text(start: int, left: str, right: str, tag: str, end: int | None = None) -> list[Edit]:
    """Return edits that put a tag between two texts; white space that it would trim is written as a constant.

    With an end, it replaces the range from the start.
    """
    space_left, space_right = left[len(left.rstrip()) :], right[: len(right) - len(right.lstrip())]
    written = [f"{{{{ {space!r} }}}}" if space else "" for space in (space_left, space_right)]
    after = (start if end is None else end) + len(space_right)
    return [Edit(start - len(space_left), after, f"{written[0]}{tag}{written[1]}")]


def _without_overlaps(edits: Iterable[Edit]) -> list[Edit] | None:
    """Return the edits in order, or None if two of them overlap."""
    ordered = sorted(edits, key=lambda edit: (edit.start, edit.end))
    return None if any(one.end > other.start for one, other in pairwise(ordered)) else ordered


# -- the mask


def moved(subject: LintContext, finding: TemplateDiagnostic, which: Moved, way: Way) -> Iterator[list[Edit]]:
    """Yield edits that move the start or end of a generation tag to fix a finding, those of the nearest tag first."""
    tree = subject.tree
    for block in _nearest(subject, finding):
        tag = block.opening if which == "start" else block.closing
        taken_out = removal(tree, tag)
        for put_in in _places(tree, tag, way):
            edits = _without_overlaps([*taken_out, *put_in])
            if edits is not None:
                yield edits


def _nearest(subject: LintContext, finding: TemplateDiagnostic) -> list[Block]:
    offset = finding.place.start
    return sorted(subject.generation, key=lambda block: max(block.start - offset, offset - block.end, 0))[:3]


def _places(tree: Tree, tag: Tag, way: Way) -> Iterator[list[Edit]]:
    """Yield the positions for a tag, the nearest first."""
    margin = _indentation(tree.source, tag.start)
    written = f"{{%- {tag.name} -%}}"
    for item in islice(siblings(tag, 1 if way == "later" else -1), _UNITS):
        options = _insertions(tree, item, written, margin)
        if way == "earlier":
            yield from reversed(list(options))
            continue
        # Before the first item is where the tag was; after an item is before the next one.
        yield from islice(options, 1, None)
        _, following = neighbours(tree, item)
        if following is not None:
            yield next(_insertions(tree, following, written, margin))


def hoisted(subject: LintContext, finding: TemplateDiagnostic) -> Iterator[list[Edit]]:
    """Yield edits that move the common end of all branches at the end of a generation tag out of the tag."""
    for block in _nearest(subject, finding):
        constants = _last_constants(next(siblings(block.closing, -1), None))
        if not constants:
            continue
        first = constants[0].string or ""
        for cut in reversed(_natural_cuts(first)):
            suffix = first[cut:]
            places = [
                constant.cut(len(value) - len(suffix))
                for constant in constants
                if (value := constant.string or "").endswith(suffix) and value != suffix
            ]
            if len(places) < len(constants) or None in places:
                continue
            shorter = [
                Edit(at, constant.end - 1, "") for at, constant in zip(places, constants, strict=True) if at is not None
            ]
            margin = _indentation(subject.source.text, block.closing.start)
            line = "" if margin is None else f"\n{margin}"
            for sign in ("", "-"):
                yield [*shorter, block.closing.insert_after(f"{line}{{{{- {suffix!r} {sign}}}}}")]


def _last_constants(item: Item | None) -> list[Constant] | None:
    """Return the string constants that the branches of a condition end with; None if one does not."""
    if not isinstance(item, Block) or item.name != "if" or item.otherwise is None:
        return None
    found: list[Constant] = []
    for body in item.bodies:
        last = body[-1] if body else None
        inner = _last_constants(last)
        if isinstance(last, Output) and last.expression is not None:
            constant = _constant(last.expression.joined[-1])
            inner = [constant] if constant is not None else None
        if not inner:
            return None
        found += inner
    return found
