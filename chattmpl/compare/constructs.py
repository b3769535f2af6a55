"""Constructs in a template, and each in another way to write it: what the known differences of engines are about.

The other way is one that all engines read alike, or one that shows Jinja2 what the engine takes the construct for. If
the two agree once it stands there, the construct was the cause.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chattmpl.compare.code import Code, Piece
from chattmpl.syntax.edits import Edit


@dataclass(frozen=True)
class Site:
    """A construct: its character range, and the edits that write it in another way (none, if there is no other way)."""

    start: int
    end: int
    edits: tuple[Edit, ...] = ()


def site(code: Code, first: int, last: int, *edits: Edit) -> Site:
    """The construct from one word to another."""
    return Site(*code.range(first, last), tuple(edits))


def _instead(code: Code, first: int, last: int, write: str) -> Site:
    """A construct with what to write in its place, where ``{0}`` is its own text."""
    start, end = code.range(first, last)
    return Site(start, end, (Edit(start, end, write.replace("{0}", code.text[start:end])),))


def _methods(code: Code, *names: str) -> Iterator[tuple[int, int]]:
    """Calls of methods, as the words of the name and of the closing bracket."""
    for index, word in enumerate(code.words):
        if word.is_name and (not names or word.value in names) and code.value(index - 1) == ".":
            opening = index + 1
            if code.value(opening) == "(":
                yield index, code.matching.get(opening, opening)


def _filters(code: Code, *names: str) -> Iterator[tuple[int, int, int]]:
    """Uses of filters: the first word of what is filtered, the word of the name, and the last word of the arguments."""
    for index, word in enumerate(code.words):
        if word.is_name and word.value in names and code.value(index - 1) == "|":
            called = code.value(index + 1) == "("
            yield code.begin(index - 2), index, code.matching.get(index + 1, index) if called else index


def _tests(code: Code, name: str) -> Iterator[tuple[int, int, bool]]:
    """Uses of a test: the first and the last word of all, and whether it is negated."""
    for index, word in enumerate(code.words):
        negated = code.value(index - 1) == "not"
        if word.kind == "name" and word.value == name and code.value(index - 1 - negated) == "is":
            yield code.begin(index - 2 - negated), index, negated


# -- what shows in the text


def strips(code: Code, _: str) -> Iterator[Site]:
    """Calls of ``strip`` and its like with an argument; otherwise: without."""
    for name, closing in _methods(code, "strip", "lstrip", "rstrip"):
        if closing > name + 2:
            inside = Edit(code.words[name + 1].end, code.words[closing].start, "")
            yield site(code, name, closing, inside)


def as_strings(code: Code, _: str) -> Iterator[Site]:
    """Uses of ``string``; otherwise: JSON for what is no string."""
    for first, name, last in _filters(code, "string"):
        start, end = code.range(first, name - 2)
        inner, all_end = code.text[start:end], code.words[last].end
        edit = Edit(start, all_end, f"({inner} if {inner} is string else {inner} | tojson)")
        yield Site(code.words[name].start, all_end, (edit,))


def outputs(code: Code, _: str) -> Iterator[Site]:
    """What is written or set; otherwise: JSON for what is no string."""
    for piece in code.pieces:
        for first, last in code.operands(piece):
            if code.words[first].kind not in ("string", "integer", "float"):
                yield _instead(code, first, last, "(({0}) if ({0}) is string else ({0}) | tojson)")


def safe(code: Code, _: str) -> Iterator[Site]:
    """Uses of ``safe``; otherwise: without."""
    return _without(code, "safe")


def escapes(code: Code, _: str) -> Iterator[Site]:
    """Uses of ``escape``; otherwise: without."""
    return _without(code, "e", "escape", "forceescape")


def _without(code: Code, *names: str) -> Iterator[Site]:
    for _first, name, last in _filters(code, *names):
        yield site(code, name, last, Edit(code.words[name - 1].start, code.words[last].end, ""))


def sequences(code: Code, _: str) -> Iterator[Site]:
    """Uses of the test ``sequence``; otherwise: strings named."""
    return _spelt_out(code, "sequence", "or {0} is string")


def iterables(code: Code, _: str) -> Iterator[Site]:
    """Uses of the test ``iterable``; otherwise: none excluded."""
    return _spelt_out(code, "iterable", "and {0} is not none")


def _spelt_out(code: Code, test: str, rest: str) -> Iterator[Site]:
    for first, last, negated in _tests(code, test):
        start, end = code.range(first, last - 2 - negated)
        subject = code.text[start:end]
        write = f"({subject} is {test} {rest.replace('{0}', subject)})"
        yield _instead(code, first, last, f"(not {write})" if negated else write)


def trims(code: Code, _: str) -> Iterator[Site]:
    """What strips white space."""
    for _first, name, last in _filters(code, "trim"):
        yield site(code, name, last)
    for name, closing in _methods(code, "strip", "lstrip", "rstrip"):
        yield site(code, name, closing)


def json(code: Code, _: str) -> Iterator[Site]:
    """What writes numbers and objects."""
    for _first, name, last in _filters(code, "tojson", "string"):
        yield site(code, name, last)
    for piece in code.pieces:
        if not piece.name and piece.last > piece.first:
            yield site(code, piece.first, piece.last - 1)


def lengths(code: Code, _: str) -> Iterator[Site]:
    """Uses of ``length``."""
    for _first, name, last in _filters(code, "length", "count"):
        yield site(code, name, last)


def _end_of_line(text: str, offset: int) -> bool:
    return text[offset : offset + 1] == "\n"


def untrimmed(code: Code, _: str) -> Iterator[Site]:
    """Tags whose white space only trim_blocks and lstrip_blocks take away."""
    for start, end in sorted([*((piece.start, piece.end) for piece in code.pieces if piece.name), *code.comments]):
        edits = []
        line = code.text.rfind("\n", 0, start) + 1
        if code.text[start + 2] not in "-+" and line < start and not code.text[line:start].strip():
            edits.append(Edit(line, start, ""))
        if code.text[end - 3] not in "-+" and _end_of_line(code.text, end):
            # The sign keeps Jinja2 from taking the next newline for the one that it trims.
            edits += [Edit(end - 2, end - 2, "+"), Edit(end, end + 1, "")]
        if edits:
            yield Site(start, end, tuple(edits))


# -- what the engine fails on


def generation(code: Code, _: str) -> Iterator[Site]:
    """Generation tags; otherwise: a condition that is true."""
    for piece in code.pieces:
        if piece.name in ("generation", "endgeneration"):
            word = code.words[piece.first]
            edit = Edit(word.start, word.end, "if true" if piece.name == "generation" else "endif")
            yield Site(piece.start, piece.end, (edit,))


def plus_signs(code: Code, _: str) -> Iterator[Site]:
    """Tags that begin with a ``+``; otherwise: without."""
    for piece in code.pieces:
        if code.text[piece.start + 2] == "+":
            yield Site(piece.start, piece.end, (Edit(piece.start + 2, piece.start + 3, ""),))


_PLAIN = {"with": ("if true", "endif")}


def tags(code: Code, name: str) -> Iterator[Site]:
    """Tags of a name; otherwise, for ``with``: a condition that is true."""
    for piece in code.pieces:
        if piece.name == name or piece.name == f"end{name}":
            plain = _PLAIN.get(name)
            last = piece.last - 1 if piece.name == name else piece.first
            start, end = (code.range(piece.first, max(last, piece.first))) if piece.last > piece.first else (0, 0)
            edit = (Edit(start, end, plain[piece.name != name]),) if plain and last == piece.first else ()
            yield Site(piece.start, piece.end, edit)


def loops(code: Code, _: str) -> Iterator[Site]:
    """What loops go over; otherwise: nothing, where it is no list."""
    for piece in code.pieces:
        found = _iterated(code, piece)
        if found is not None:
            yield _instead(code, *found, "({0} if {0} is defined and {0} is not string and {0} is not none else [])")


def _iterated(code: Code, piece: Piece) -> tuple[int, int] | None:
    if piece.name != "for":
        return None
    begin = next((index + 1 for index in range(piece.first, piece.last) if code.value(index) == "in"), None)
    if begin is None or begin >= piece.last:
        return None
    return begin, min(code.finish(begin), piece.last - 1)


_OF_TEXT = frozenset({"trim", "upper", "lower", "capitalize", "title", "replace", "indent", "string", "safe"})


def filtered(code: Code, name: str) -> Iterator[Site]:
    """Uses of a filter; otherwise: on nothing, where the value is of another type."""
    for first, index, last in _filters(code, name):
        start, end = code.range(first, index - 2)
        subject, rest = code.text[start:end], code.text[code.words[index - 1].start : code.words[last].end]
        guarded = f"({subject} if {subject} is string else '')" if name in _OF_TEXT else f"({subject} or [])"
        edit = Edit(start, code.words[last].end, f"({guarded} {rest})")
        yield Site(code.words[index].start, code.words[last].end, (edit,))


def length(code: Code, _: str) -> Iterator[Site]:
    """Uses of ``length``; otherwise: that of nothing, where there is no value."""
    yield from filtered(code, "length")
    yield from filtered(code, "count")


def operators(code: Code, operator: str) -> Iterator[Site]:
    """Uses of an operator."""
    for index, word in enumerate(code.words):
        if word.kind == "operator" and word.value == operator and 0 < index < len(code.words) - 1:
            yield site(code, code.begin(index - 1), code.finish(index + 1))


def membership(code: Code, _: str) -> Iterator[Site]:
    """Uses of ``in``; otherwise: nothing in place of what is undefined."""
    for piece in code.pieces:
        for index in range(piece.first + 1, piece.last - 1):
            if code.value(index) != "in" or piece.name == "for":
                continue
            left = code.begin(index - 2 if code.value(index - 1) == "not" else index - 1)
            left_end = index - 2 if code.value(index - 1) == "not" else index - 1
            right, right_end = index + 1, code.finish(index + 1)
            edits = []
            for one, other, empty in ((left, left_end, "''"), (right, right_end, "[]")):
                start, end = code.range(one, other)
                edits.append(Edit(start, end, f"({code.text[start:end]} or {empty})"))
            yield site(code, left, right_end, *edits)


def calls(code: Code, _: str) -> Iterator[Site]:
    """Calls of methods; otherwise, for ``format`` of a constant: its parts, joined."""
    for name, closing in _methods(code):
        edits: tuple[Edit, ...] = ()
        before = code.words[name - 2] if name > 1 else None
        if before is not None and before.kind == "string" and code.value(name) == "format":
            edits = _formatted(code, name, closing)
        yield site(code, name, closing, *edits)


def _formatted(code: Code, name: int, closing: int) -> tuple[Edit, ...]:
    """``'a{}b'.format(x)`` as ``('a' ~ x ~ 'b')``."""
    constant = code.words[name - 2]
    quote, parts = constant.value[0], constant.value[1:-1].split("{}")
    if len(parts) != 2 or closing <= name + 2 or any(sign in "".join(parts) for sign in "{}"):
        return ()
    argument = code.text[code.words[name + 1].end : code.words[closing].start]
    joined = f"({quote}{parts[0]}{quote} ~ ({argument}) ~ {quote}{parts[1]}{quote})"
    return (Edit(constant.start, code.words[closing].end, joined),)


def number_keys(code: Code, _: str) -> Iterator[Site]:
    """Keys of objects that are numbers; otherwise: strings."""
    for index, word in enumerate(code.words):
        if word.kind == "integer" and code.value(index - 1) in ("{", ",") and code.value(index + 1) == ":":
            yield site(code, index, index, Edit(word.start, word.end, f"'{word.value}'"))
