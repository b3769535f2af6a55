"""Tags of a template, the blocks around each, and the flow of values between them."""

from collections.abc import Iterator
from functools import cached_property
from typing import TypeAlias

from chattmpl.syntax.items import Block, Output, Raw, Tag
from chattmpl.syntax.nodes import Attribute, Name
from chattmpl.syntax.tree import Tree, parse

Piece: TypeAlias = Tag | Output
"""``{% … %}`` or ``{{ … }}``."""

_WORDS = frozenset({"and", "or", "not", "in", "is", "if", "else", "elif", "for", "set", "recursive", "do"})
_FARTHEST = 9


class Code:
    """The tags and outputs of a template, and the flow of values between them.

    Attributes:
        text: the source, with LF newlines.
        tree: its syntax tree.
        pieces: the tags and outputs in order; for a raw block, its opening tag.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree: Tree = parse(text)
        self.pieces: list[Piece] = list(self._pieces())

    def _pieces(self) -> Iterator[Piece]:
        for item in self.tree.flat:
            if isinstance(item, (Tag, Output)):
                yield item
            elif isinstance(item, Raw) and isinstance(item.parts[0], Tag):
                yield item.parts[0]

    def piece_at(self, offset: int) -> Piece | None:
        """Return the tag at an offset, or else the last one before it."""
        before = None
        for piece in self.pieces:
            if piece.start > offset:
                break
            before = piece
        return before

    @cached_property
    def parents(self) -> dict[int, tuple[Tag, ...]]:
        """The opening tags of the blocks around each tag, outermost first, by the tag's offset."""
        found = {}
        for piece in self.pieces:
            blocks = [node for node in piece.parents if isinstance(node, Block)]
            own = [block.opening for block in blocks if piece not in (block.opening, block.closing)]
            found[piece.start] = tuple(reversed(own))
        return found

    def distances(self, piece: Piece) -> dict[int, int]:
        """Return each tag's distance to a given one, by offset: 0 for itself, 1 for tags that set its variables."""
        found = {piece.start: 0}
        wanted, macro = set(_reads(piece)), None
        for outer in self.parents.get(piece.start, ()):
            macro = next(iter(outer.targets), macro) if outer.name == "macro" else macro
        for distance in range(1, 5):
            added: set[str] = set()
            for other in self.pieces:
                feeds = _sets(other) & wanted or (macro and macro in _reads(other))
                inside = any(
                    outer.name in ("macro", "set") and _sets(outer) & wanted for outer in self.parents[other.start]
                )  # in a macro that the tag calls, or in a ``set`` block
                if (feeds or inside) and other.start not in found:
                    found[other.start] = distance
                    added |= _reads(other)
            wanted |= added
        for outer in self.parents.get(piece.start, ()):
            found.setdefault(outer.start, 5)
        return found

    def distance(self, distances: dict[int, int], offset: int) -> int:
        """Return the distance of the tag at an offset; the maximum if it does not affect the other tag."""
        piece = self.piece_at(offset)
        return _FARTHEST if piece is None else distances.get(piece.start, _FARTHEST)


def _sets(piece: Piece) -> frozenset[str]:
    """Return the variables and the attributes of namespaces that a tag assigns."""
    if not isinstance(piece, Tag) or piece.name not in ("set", "for", "macro"):
        return frozenset()
    targets = [*piece.clauses.get("target", ()), *piece.parameters]
    nodes = [node for target in targets for node in target.walk()]
    return frozenset(node.name for node in nodes if isinstance(node, (Name, Attribute)))


def _reads(piece: Piece) -> frozenset[str]:
    return frozenset(word for _, kind, word in piece.tokens if kind == "name" and word not in _WORDS)
