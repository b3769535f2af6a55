"""Edits that keep layout and white space, each checked to mean the same to Jinja.

The white space that a tag removes depends on its signs, on ``trim_blocks`` and ``lstrip_blocks``, and on the text next
to it. Candidates are therefore tried, most readable first, until one means the same to Jinja as the original source.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate, product

from chattmpl.syntax.edits import Edit, apply_edits
from chattmpl.syntax.items import Block, Comment, Tag
from chattmpl.syntax.lexer import tokens
from chattmpl.syntax.nodes import Node
from chattmpl.syntax.tree import DELIMITERS

Range = tuple[int, int]


def meaning(
    text: str, *, only: Range | None = None, without: Sequence[Range] = (), copy: Range | None = None
) -> list[tuple[str, str]]:
    """Return the tokens that Jinja reads, without white space in tags and comments, and with neighbouring data joined.

    Args:
        text: a source.
        only: the range to look at.
        without: ranges to leave out, except for text in them, which would be rendered.
        copy: a range to leave out, text included.
    """
    found: list[tuple[str, str]] = []
    for offset, kind, value in tokens(text):
        if kind == "whitespace" or kind.startswith("comment"):
            continue
        # A delimiter takes white space with it, and so may reach out of a range.
        length = 1 if kind in DELIMITERS else len(value)
        left_out = [*(() if kind == "data" else without), *(() if copy is None else (copy,))]
        for start, end in _outside(offset, offset + length, only, left_out):
            shown = kind if kind in DELIMITERS else value[start - offset : end - offset]
            if kind == "data" and found and found[-1][0] == "data":
                found[-1] = ("data", found[-1][1] + shown)
            elif shown or kind != "data":
                found.append((kind, shown))
    return found


def _outside(start: int, end: int, only: Range | None, without: Collection[Range]) -> list[Range]:
    """Return the remaining parts of the range of a token."""
    if only is not None:
        start, end = max(start, only[0]), min(end, only[1])
        if start >= end:
            return []
    left = [(start, end)]
    for begin, stop in without:
        left = [piece for a, b in left for piece in ((a, min(b, begin)), (max(a, stop), b)) if piece[0] < piece[1]]
    return left


def remove(node: Tag | Comment) -> Edit:
    """Return the edit that removes a tag or a comment and changes no other rendered text."""
    source = node.source
    wanted = meaning(source, without=[(node.start, node.end)])
    return next(edit for edit in _removals(node) if meaning(apply_edits(source, [edit]).text) == wanted)


def unwrap(block: Block, kept: int) -> list[Edit] | None:
    """Return the edits that leave only the contents of one branch of a block; None if white space would change."""
    source = block.source
    tags = [branch.tag for branch in block.branches] + [block.closing]
    ranges = [(block.start, tags[kept].end), (tags[kept + 1].start, block.end)]
    holes = [(tags[kept].start, tags[kept].end), (block.closing.start, block.end)]
    dropped = [(block.start, tags[kept].start), (tags[kept + 1].start, block.closing.start)]
    copies = [each for each in dropped if each[0] < each[1]]
    if len(copies) > 1:
        return None
    wanted = meaning(source, without=holes, copy=copies[0] if copies else None)
    for first, last in product(*([whole_lines(source, *each), Edit(*each, "")] for each in ranges)):
        if first is None or last is None:
            continue
        for lines in (_shifted_left(source, block.start, first.end, last.start), []):
            made = [first, *lines, last]
            if meaning(apply_edits(source, made).text) == wanted:
                return made
    return None


def _shifted_left(source: str, outer: int, start: int, end: int) -> list[Edit]:
    """Return the edits that give the lines of a range the indent of the line of an offset."""
    indent = outer - source.rfind("\n", 0, outer) - 1
    lines = source[start:end].splitlines(keepends=True)
    own = [len(line) - len(line.lstrip(" ")) for line in lines if line.strip()]
    extra = min(own, default=0) - indent
    offsets = accumulate(map(len, lines), initial=start)
    kept = [(at, line) for at, line in zip(offsets, lines, strict=False) if line.strip()]
    return [Edit(at, at + extra, "") for at, _ in kept] if extra > 0 else []


def cut_out(node: Node) -> list[Edit] | None:
    """Return the edit that removes a node with all it contains; None if other white space would change."""
    source = node.source
    wanted = meaning(source, copy=(node.start, node.end))
    for edit in (whole_lines(source, node.start, node.end), node.delete()):
        if edit is not None and meaning(apply_edits(source, [edit]).text) == wanted:
            return [edit]
    return None


def whole_lines(source: str, start: int, end: int) -> Edit | None:
    """Return the edit that removes a range with its lines; None if there is something else on these."""
    first, last = source.rfind("\n", 0, start) + 1, source.find("\n", end)
    alone = last >= 0 and not source[first:start].strip() and not source[end:last].strip()
    return Edit(first, last + 1, "") if alone else None


def _removals(node: Node) -> Iterator[Edit]:
    """Yield ways to remove a tag, the most readable first; the last one always works."""
    text, start, end = node.source, node.start, node.end
    left, right = (sign if sign in "-+" else "" for sign in (text[start + 2], text[end - 3]))
    line_start = text.rfind("\n", 0, start) + 1
    indented = not text[line_start:start].strip()
    if (lines := whole_lines(text, start, end)) is not None:
        yield lines
    yield Edit(start, end, "")
    before = len(text[:start].rstrip()) if left == "-" else line_start if not left and indented else start
    after = end + (len(text[end:]) - len(text[end:].lstrip()) if right == "-" else 0)
    if not right and text.startswith("\n", end):
        after = end + 1
    yield Edit(before, after, "")
    # The space keeps the signs of both ends apart.
    yield Edit(start, end, f"{{#{left} {right}#}}")
