"""A reader of GBNF: all ways to read a text are followed at once, as llama.cpp does it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|(\[(?:[^\]\\]|\\.)*\])|([A-Za-z][A-Za-z0-9-]*)|([()|*?+]))')
_ESCAPE = re.compile(r"\\(?:x(..)|u(....)|U(........)|(.))", re.DOTALL)
_NAMED = {"n": "\n", "t": "\t", "r": "\r"}

Item = Any
"""A pair: ``chars`` with a function, ``rule`` with the name of a rule."""


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda m: chr(int(m[1] or m[2] or m[3], 16)) if m[4] is None else _NAMED.get(m[4], m[4]), text)


def _units(text: str) -> list[tuple[str, bool]]:
    """The characters of a class, and whether each was escaped."""
    found = []
    position = 0
    while position < len(text):
        match = _ESCAPE.match(text, position)
        found.append((_unescaped(match[0]), True) if match else (text[position], False))
        position = match.end() if match else position + 1
    return found


class _Class:
    def __init__(self, text: str) -> None:
        self.negated = text.startswith("^")
        units = _units(text[self.negated :])
        self.ranges: list[tuple[str, str]] = []
        while units:
            first = units.pop(0)[0]
            if len(units) > 1 and units[0] == ("-", False):
                self.ranges.append((first, units[1][0]))
                del units[:2]
            else:
                self.ranges.append((first, first))

    def __contains__(self, char: str) -> bool:
        return any(first <= char <= last for first, last in self.ranges) != self.negated


class Gbnf:
    """A grammar that says whether it accepts a text."""

    def __init__(self, text: str) -> None:
        self.rules: dict[str, list[tuple[Item, ...]]] = {}
        for line in text.splitlines():
            name, _, body = line.partition(" ::= ")
            assert re.fullmatch(r"[a-z0-9-]+", name), name
            assert name not in self.rules, name
            tokens, position = [], 0
            while body[position:].strip():
                match = _TOKEN.match(body, position)
                assert match is not None, body[position:]
                tokens.append(match)
                position = match.end()
            self.rules[name] = self._alternatives(tokens)
            assert not tokens, body
        used = {item for each in self.rules.values() for items in each for kind, item in items if kind == "rule"}
        assert used <= self.rules.keys(), used - self.rules.keys()
        self._closure = lru_cache(maxsize=None)(self._closed)

    def _alternatives(self, tokens: list[re.Match[str]]) -> list[tuple[Item, ...]]:
        found: list[list[Item]] = [[]]
        while tokens and tokens[0][4] != ")":
            literal, chars, name, sign = tokens.pop(0).groups()
            if sign == "|":
                found.append([])
                continue
            if literal:
                items: list[Item] = [("chars", _Class(f"\\U{ord(char):08x}")) for char in _unescaped(literal[1:-1])]
            elif chars:
                items = [("chars", _Class(chars[1:-1]))]
            elif name:
                items = [("rule", name)]
            else:
                assert sign == "(", sign
                items = [self._new(self._alternatives(tokens))]
                assert tokens.pop(0)[4] == ")"
            if tokens and tokens[0][4] in ("*", "?", "+"):
                sign = tokens.pop(0)[4]
                again = self._new([])
                more = [again] if sign != "?" else []
                self.rules[again[1]] = [(*items, *more), ()]
                items = [again] if sign != "+" else [*items, again]
            found[-1] += items
        return [tuple(items) for items in found]

    def _new(self, alternatives: list[tuple[Item, ...]]) -> Item:
        name = f"_{len(self.rules)}"
        self.rules[name] = alternatives
        return ("rule", name)

    def _closed(self, stack: Any) -> tuple[Any, ...]:
        """The stacks with a character on top that a stack leads to; the empty one is the end."""
        found: dict[Any, None] = {}
        seen, queue = {stack}, [stack]
        while queue:
            now = queue.pop()
            if now is None or now[0][0] == "chars":
                found[now] = None
                continue
            (_, name), rest = now
            for items in self.rules[name]:
                made = rest
                for item in reversed(items):
                    made = (item, made)
                if made not in seen:
                    seen.add(made)
                    queue.append(made)
        return tuple(found)

    def accepts(self, text: str) -> bool:
        """Return whether the whole text can be read."""
        stacks = set(self._closure((("rule", "root"), None)))
        for char in text:
            after = {stack[1] for stack in stacks if stack is not None and char in stack[0][1]}
            stacks = {closed for stack in after for closed in self._closure(stack)}
        return None in stacks
