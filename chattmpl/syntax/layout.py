"""Edits that keep layout and white space, each checked to mean the same to Jinja.

The white space that a tag removes depends on its signs, on ``trim_blocks`` and ``lstrip_blocks``, and on the text next
to it. Candidates are therefore tried, most readable first, until one means the same to Jinja as the original source.
"""

from collections.abc import Collection, Iterator, Sequence

from chattmpl.syntax.edits import Edit, apply_edits
from chattmpl.syntax.items import Comment, Tag
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


def _removals(node: Node) -> Iterator[Edit]:
    """Yield ways to remove a tag, the most readable first; the last one always works."""
    text, start, end = node.source, node.start, node.end
    left, right = (sign if sign in "-+" else "" for sign in (text[start + 2], text[end - 3]))
    line_start = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", end)
    indented = not text[line_start:start].strip()
    if indented and line_end >= 0 and not text[end:line_end].strip():
        yield Edit(line_start, line_end + 1, "")
    yield Edit(start, end, "")
    before = len(text[:start].rstrip()) if left == "-" else line_start if not left and indented else start
    after = end + (len(text[end:]) - len(text[end:].lstrip()) if right == "-" else 0)
    if not right and text.startswith("\n", end):
        after = end + 1
    yield Edit(before, after, "")
    # The space keeps the signs of both ends apart.
    yield Edit(start, end, f"{{#{left} {right}#}}")
