"""The tags of a template and the expressions in them, with offsets: where a construct stands, and what feeds it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from chattmpl.syntax.lexer import tokens

_OPENING = {"(": ")", "[": "]", "{": "}"}
_WORDS = frozenset({"and", "or", "not", "in", "is", "if", "else", "elif", "for", "set", "recursive", "do"})
_BLOCKS = frozenset({"for", "if", "macro", "call", "filter", "with", "block", "generation", "set", "raw"})
_BEGINS = ("block_begin", "variable_begin", "raw_begin")
_ENDS = ("block_end", "variable_end", "raw_end")
_FARTHEST = 9


@dataclass(frozen=True)
class Word:
    """A token inside of a tag: its character range, its kind and its text."""

    start: int
    end: int
    kind: str
    value: str

    @property
    def is_name(self) -> bool:
        """Whether it names something, and is no word of the language."""
        return self.kind == "name" and self.value not in _WORDS


@dataclass(frozen=True)
class Piece:
    """One tag, ``{% … %}`` or ``{{ … }}``: its range, and that of its words; ``name`` is empty for an output."""

    start: int
    end: int
    first: int
    last: int
    name: str


class Code:
    """What stands in the tags of a source.

    Attributes:
        text: the source, with LF newlines.
        words: all tokens inside of tags.
        pieces: the tags in order.
        comments: their character ranges.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.words: list[Word] = []
        self.pieces: list[Piece] = []
        self.comments: list[tuple[int, int]] = []
        self._read()
        self.matching = dict(self._matching())

    def _read(self) -> None:
        start = first = 0
        for offset, kind, value in tokens(self.text):
            if kind in _BEGINS:
                start, first = offset + len(value) - len(value.lstrip()), len(self.words)
                if kind == "raw_begin":
                    self.pieces.append(Piece(start, start + len(value.strip()), first, first, "raw"))
            elif kind == "comment_begin":
                start = offset + len(value) - len(value.lstrip())
            elif kind == "comment_end":
                self.comments.append((start, offset + len(value.rstrip())))
            elif kind in _ENDS:
                if kind != "raw_end":
                    end = offset + len(value.rstrip())
                    name = self.words[first].value if kind == "block_end" and first < len(self.words) else ""
                    self.pieces.append(Piece(start, end, first, len(self.words), name))
            elif kind not in ("whitespace", "data") and not kind.startswith("comment"):
                self.words.append(Word(offset, offset + len(value), kind, value))

    def _matching(self) -> Iterator[tuple[int, int]]:
        stack: list[int] = []
        for index, word in enumerate(self.words):
            if word.kind != "operator":
                continue
            if word.value in _OPENING:
                stack.append(index)
            elif word.value in _OPENING.values() and stack:
                opening = stack.pop()
                yield opening, index
                yield index, opening

    def value(self, index: int) -> str:
        """The text of a word; empty beyond the last."""
        return self.words[index].value if 0 <= index < len(self.words) else ""

    def piece_at(self, offset: int) -> Piece | None:
        """The tag around an offset, or else the last one before it."""
        before = None
        for piece in self.pieces:
            if piece.start > offset:
                break
            before = piece
        return before

    def piece_of(self, index: int) -> Piece:
        """The tag that a word stands in."""
        return next(piece for piece in self.pieces if piece.first <= index < piece.last)

    # -- expressions

    def begin(self, index: int) -> int:
        """The first word of the operand that ends with a word: of ``a.b[0]|trim`` for ``trim``, the ``a``."""
        while index > 0:
            word = self.words[index]
            if word.kind == "operator" and word.value in _OPENING.values():
                index = self.matching.get(index, index)
                before = self.words[index - 1]
                if self.words[index].value != "{" and (before.is_name or before.value in (")", "]")):
                    index -= 1
                    continue
                return index
            if self.value(index - 1) in (".", "|"):
                index -= 2
                continue
            return index
        return index

    def finish(self, index: int) -> int:
        """The last word of the operand that begins with a word."""
        if self.value(index) in _OPENING:
            index = self.matching.get(index, index)
        while True:
            following = self.value(index + 1)
            if following in (".", "|"):
                index += 2
            elif following in ("(", "["):
                index = self.matching.get(index + 1, index + 1)
            else:
                return index

    def range(self, first: int, last: int) -> tuple[int, int]:
        """The characters from one word to another."""
        return self.words[first].start, self.words[last].end

    def operands(self, piece: Piece) -> Iterator[tuple[int, int]]:
        """The parts of what a tag writes or sets, as ranges of words: the whole, and what ``~`` and ``+`` join."""
        first, last = piece.first, piece.last - 1
        if piece.name == "set":
            equals = [index for index in range(first, last) if self.value(index) == "="]
            if not equals:
                return
            first = equals[0] + 1
        elif piece.name:
            return
        yield first, last
        start = index = first
        while index <= last:
            if self.value(index) in _OPENING:
                index = self.matching.get(index, index)
            elif self.value(index) in ("~", "+"):
                if index > start:
                    yield start, index - 1
                start = index + 1
            index += 1
        if first < start <= last:
            yield start, last

    # -- what feeds what

    @cached_property
    def parents(self) -> dict[int, tuple[Piece, ...]]:
        """The tags of the blocks that are open where a tag stands, by its offset."""
        stack: list[Piece] = []
        found: dict[int, tuple[Piece, ...]] = {}
        for piece in self.pieces:
            if piece.name.startswith("end") and stack:
                stack.pop()
            found[piece.start] = tuple(stack)
            if piece.name in _BLOCKS and not (piece.name == "set" and self._assigns(piece)):
                stack.append(piece)
        return found

    def _assigns(self, piece: Piece) -> bool:
        return any(self.value(index) == "=" for index in range(piece.first, piece.last))

    def _sets(self, piece: Piece) -> frozenset[str]:
        """The variables, and attributes of namespaces, that a tag gives a value."""
        if piece.name not in ("set", "for", "macro"):
            return frozenset()
        names = set()
        for index in range(piece.first + 1, piece.last):
            if self.value(index) in ("=", "in"):
                break
            if self.words[index].is_name:
                names.add(self.value(index))
        return frozenset(names)

    def _reads(self, piece: Piece) -> frozenset[str]:
        return frozenset(word.value for word in self.words[piece.first : piece.last] if word.is_name)

    def distances(self, piece: Piece) -> dict[int, int]:
        """How far each tag is from one, by its offset: 0 itself, 1 what sets its variables, and so on."""
        found = {piece.start: 0}
        wanted, macro = set(self._reads(piece)), None
        for outer in self.parents.get(piece.start, ()):
            macro = self.value(outer.first + 1) if outer.name == "macro" else macro
        for distance in range(1, 5):
            added: set[str] = set()
            for other in self.pieces:
                feeds = self._sets(other) & wanted or (macro and macro in self._reads(other))
                inside = any(
                    p.name in ("macro", "set") and self._sets(p) & wanted for p in self.parents[other.start]
                )  # of a macro that it calls, or of a block that is set
                if (feeds or inside) and other.start not in found:
                    found[other.start] = distance
                    added |= self._reads(other)
            wanted |= added
        for outer in self.parents.get(piece.start, ()):
            found.setdefault(outer.start, 5)
        return found

    def distance(self, distances: dict[int, int], offset: int) -> int:
        """How far the tag around an offset is; what does not feed it is farthest."""
        piece = self.piece_at(offset)
        return _FARTHEST if piece is None else distances.get(piece.start, _FARTHEST)
