"""The terms of a source that can decide about a trace: conditions, their parts, switches, and what cuts traces out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from jinja2 import Environment

from chattmpl.syntax.lexer import tokens
from chattmpl.syntax.tree import Tag, parse

Token = tuple[int, str, str]
Kind = Literal["condition", "literal", "cut", "content"]

_CLOSING = {"(": ")", "[": "]", "{": "}"}
_CONSTANTS = {"true": "false", "True": "False", "false": "true", "False": "True"}
_DECIDES = frozenset({"and", "or", "not", "in", "is", "if", "==", "!=", "<", ">", "<=", ">="})
_CUTS = re.compile(r"\.(?:r?split|partition|rpartition)\(\s*[^()]*think[^()]*\)")


@dataclass(frozen=True)
class Term:
    """A part of an expression.

    Attributes:
        start, end: its range in the source, in characters, without white space around it.
        kind: a condition or a part of one; a constant true or false; a value that a trace was cut out of; the content
            of a message, out of which none is cut.
        joined: by ``and``, ``or`` or ``+`` to its neighbours; empty if it is the whole expression.
        before, after: where the neighbour on the left ends, and that on the right begins.
        base: of a cut, what it is cut from ends here.
        loop: the loop over messages that it stands in; None if it stands in none, or in a macro.
        inner: whether it stands in a loop inside of that one.
        depth: how many conditions it is a part of.
        writes: whether anything is written in the loop that it stands in.
        tested: whether nothing but its truth matters.
    """

    start: int
    end: int
    kind: Kind = "condition"
    joined: str = ""
    before: int | None = None
    after: int | None = None
    base: int | None = None
    loop: Tag | None = None
    inner: bool = False
    depth: int = 0
    writes: bool = True
    tested: bool = False

    def negated(self, text: str) -> bool:
        """Whether ``not`` stands before it."""
        return re.search(r"\bnot\s*\(?\s*$", text[: self.start]) is not None


def message_lists(text: str, environment: Environment) -> set[str]:
    """The variables that hold messages, as far as the assignments tell."""
    found = {"messages"}
    tags = parse(text).tags
    for _ in range(3):
        for tag in tags:
            name, equals, value = tag.body.partition("=") if tag.name == "set" else ("", "", "")
            if equals and re.search(
                rf"(?<![\w.'\"])(?:{'|'.join(map(re.escape, found))})(?!\w|\[\d+\]|\|\s*length)", value
            ):
                found.add(name.strip())
    return {name for name in found if name.isidentifier()}


def message_loops(text: str, environment: Environment) -> list[Tag]:
    """The tags of the loops over messages."""
    lists = re.compile(rf"(?<![\w.])(?:{'|'.join(map(re.escape, sorted(message_lists(text, environment))))})(?!\w)")
    tags = parse(text).tags
    return [tag for tag in tags if tag.name == "for" and lists.search(tag.body.partition(" in ")[2])]


def terms(text: str, environment: Environment, *, contents: bool = False) -> list[Term]:
    """All terms, outer ones before those inside of them; with ``contents`` also where contents are read."""
    loops = set(message_loops(text, environment))
    tags = {tag.start: tag for tag in parse(text).tags}
    writing = _writing(text, environment)
    found: list[Term] = []
    around: list[Tag] = []
    inside: list[Token] = []
    tag: Tag | None = None
    reading = False
    for offset, kind, value in tokens(text):
        if kind in ("block_begin", "variable_begin"):
            tag, inside, reading = tags.get(offset) if kind == "block_begin" else None, [], True
        elif kind in ("block_end", "variable_end"):
            reading = False
            loop, inner = _place(around, loops)
            reader = _Reader(text, loop, inner, loop is None or loop in writing)
            reader.tag(tag, inside)
            if contents:
                reader.contents(tag, inside)
            found += reader.found
            if tag is not None:
                _follow(around, tag)
        elif reading and kind != "whitespace":
            inside.append((offset, kind, value))
    return found


def _writing(text: str, environment: Environment) -> set[Tag]:
    """The loops with an output inside."""
    tags = {tag.start: tag for tag in parse(text).tags}
    around: list[Tag] = []
    found: set[Tag] = set()
    for offset, kind, _ in tokens(text):
        if kind == "block_begin" and offset in tags:
            _follow(around, tags[offset])
        elif kind == "variable_begin":
            found.update(around)
    return found


def _follow(around: list[Tag], tag: Tag) -> None:
    if tag.name in ("for", "macro"):
        around.append(tag)
    elif tag.name in ("endfor", "endmacro") and around:
        around.pop()


def _place(around: list[Tag], loops: Iterable[Tag]) -> tuple[Tag | None, bool]:
    """The loop over messages, and whether another loop is inside of it."""
    if any(tag.name == "macro" for tag in around):
        return None, False
    own = [tag for tag in around if tag in loops]
    return (own[-1], around[-1] != own[-1]) if own else (None, False)


class _Reader:
    def __init__(self, text: str, loop: Tag | None, inner: bool, writes: bool) -> None:
        self._text = text
        self._loop = loop
        self._inner = inner
        self._writes = writes
        self.found: list[Term] = []

    def tag(self, tag: Tag | None, inside: list[Token]) -> None:
        """The terms of one tag, or of an output."""
        if tag is None:
            self._value(inside)
        elif tag.name in ("if", "elif"):
            self._condition(inside[1:], tested=True)
        elif tag.name == "set":
            equals = next((n for n, (_, kind, value) in enumerate(inside) if kind == "operator" and value == "="), None)
            if equals is not None:
                value = inside[equals + 1 :]
                if any(word in _DECIDES - {"if"} for _, _, word in value) and not _split(value, ("if",))[1]:
                    self._condition(value)
                else:
                    self._value(value)

    def contents(self, tag: Tag | None, inside: list[Token]) -> None:
        """Where the content of the message being rendered is written or assigned as it is."""
        name = re.match(r"\w+(?=\s+in\b)", self._loop.body) if self._loop is not None else None
        if name is None or (tag is not None and tag.name != "set"):
            return
        start = inside[0][0] if inside else 0
        for match in re.finditer(
            rf"(?<![\w.\]]){name[0]}(?:\.content\b|\[\s*(['\"])content\1\s*\])(?!\s*(?:[.\[(=!<>]|is\b|in\b))",
            self._text[: inside[-1][0] + len(inside[-1][2])] if inside else "",
        ):
            before = self._text[start : match.start()].rstrip()
            if match.start() >= start and not re.search(r"\b(?:in|if|and|or|not|elif|set)$", before):
                found = Term(match.start(), match.end(), kind="content", loop=self._loop, inner=self._inner)
                self.found.append(found)

    def _add(self, inside: list[Token], **more: object) -> None:
        start, end = inside[0][0], inside[-1][0] + len(inside[-1][2])
        self.found.append(Term(start, end, loop=self._loop, inner=self._inner, writes=self._writes, **more))  # type: ignore[arg-type]

    def _condition(
        self,
        inside: list[Token],
        joined: str = "",
        before: int | None = None,
        after: int | None = None,
        depth: int = 0,
        tested: bool = False,
    ) -> None:
        """A condition, and the parts of it."""
        if not inside:
            return
        if _split(inside, ("if",))[1]:
            self._value(inside)
            return
        single = len(inside) == 1 and inside[0][2] in _CONSTANTS
        kind = "literal" if single else "condition"
        self._add(inside, kind=kind, joined=joined, before=before, after=after, depth=depth, tested=tested)
        inside = _unwrapped(inside)
        for word in ("or", "and"):
            parts, _ = _split(inside, (word,))
            if len(parts) > 1:
                for number, part in enumerate(parts):
                    left = parts[number - 1][-1] if number else None
                    right = parts[number + 1][0][0] if number + 1 < len(parts) else None
                    self._condition(part, word, left[0] + len(left[2]) if left else None, right, depth + 1, tested)
                return
        if inside[0][2] == "not":
            self._condition(inside[1:], depth=depth + 1, tested=True)
        else:
            self._groups(inside)

    def _value(self, inside: list[Token]) -> None:
        """The conditions inside of an expression that is none."""
        parts, words = _split(inside, ("if", "else"))
        if words[:1] == ["if"] and len(parts) in (2, 3):
            self._condition(parts[1], tested=True)
            for part in (parts[0], *parts[2:]):
                self._value(part)
            return
        if len(inside) == 1 and inside[0][2] in _CONSTANTS and inside[0][1] == "name":
            self._add(inside, kind="literal")
            return
        self._cut(inside)
        self._groups(inside)

    def _cut(self, inside: list[Token]) -> None:
        """A value that ``</think>`` and what stands before it was cut from, which may be joined to others."""
        parts, words = _split(inside, ("+", "~"))
        for part in parts:
            if not part:
                continue
            start, end = part[0][0], part[-1][0] + len(part[-1][2])
            match = _CUTS.search(self._text, start, end)
            if match and "[-1]" in self._text[match.end() : match.end() + 4] + self._text[end - 4 : end]:
                self._add(part, kind="cut", base=match.start(), joined="+" if words else "")

    def _groups(self, inside: list[Token]) -> None:
        """What stands in brackets."""
        depth, start = 0, 0
        for index, (_, kind, value) in enumerate(inside):
            if kind != "operator":
                continue
            if value in _CLOSING:
                start = index + 1 if depth == 0 else start
                depth += 1
            elif value in _CLOSING.values():
                depth -= 1
                if depth == 0:
                    for part in _split(inside[start:index], (",",))[0]:
                        if part:
                            self._value(part)


def _split(inside: list[Token], words: tuple[str, ...]) -> tuple[list[list[Token]], list[str]]:
    """The tokens between these words, where no bracket is open, and the words."""
    parts: list[list[Token]] = [[]]
    found = []
    depth = 0
    for token in inside:
        _, kind, value = token
        depth += (kind == "operator" and value in _CLOSING) - (kind == "operator" and value in _CLOSING.values())
        if depth == 0 and kind in ("name", "operator") and value in words:
            found.append(value)
            parts.append([])
        else:
            parts[-1].append(token)
    return (parts, found) if all(parts) else ([inside], [])


def _unwrapped(inside: list[Token]) -> list[Token]:
    """The tokens without the brackets around all of them."""
    while len(inside) > 2 and inside[0][2] == "(" and _closes(inside) == len(inside) - 1:
        inside = inside[1:-1]
    return inside


def _closes(inside: list[Token]) -> int:
    """The index of the bracket that closes the first one."""
    depth = 0
    for index, (_, kind, value) in enumerate(inside):
        depth += (kind == "operator" and value in _CLOSING) - (kind == "operator" and value in _CLOSING.values())
        if depth == 0:
            return index
    return -1


__all__ = ["Term", "message_lists", "message_loops", "terms"]
