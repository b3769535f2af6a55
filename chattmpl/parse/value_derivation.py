"""Derivation of the notation of arguments: values of each JSON type are rendered, and what they became is compared."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from chattmpl.parse.values import KEY, JsonType, Members, Notation, Written, common_end, common_start, type_of


class Underivable(Exception):
    """A rendering that no form describes; the message says why."""


WORDS = ("vqa", "vqb", "vqc")
"""Plain strings."""

KEYS = (("akey", "bkey", "ckey"), ("dkey", "ekey", "fkey"))
"""Keys of arguments, and of objects in arguments. Some templates sort them."""

_SPECIAL = "vqx\"'\\\n<é&vqy"
"""A string that each notation writes in its own way."""

_SAMPLES: tuple[Any, ...] = (90417, 3.25, True, None, ["vqx", 90418], {"gkey": "vqy", "hkey": 90419})
"""A value of each other type."""


def whole_notation(region: str, given: Any) -> Notation | None:
    """Return the notation in which a value is written at once; None if it is none."""
    try:
        value = json.loads(region)
        if value == given:
            return "json"
        if isinstance(value, str) and json.loads(value) == given:
            return "encoded"
    except ValueError:
        pass
    return "python" if region == repr(given) else None


class WrittenMembers(NamedTuple):
    """The notation of a container, and the text after a plain string in it."""

    members: Members
    after: str


def members_of(write: Callable[[list[Any]], str | None], *, keyed: bool, depth: int = 0) -> WrittenMembers:
    """Derive the notation of a container from a function that writes one with the given values."""
    keys = KEYS[depth] if keyed else ("", "", "")
    words = _cut(write(list(WORDS)), WORDS, keys)
    if keyed:
        start, middle, end, before = words
        cut = common_start(middle, end)
        after, rest = middle[:cut], middle[cut:]
        opening = common_end(start, rest)
        opens, key_opens = start[: len(start) - opening], start[len(start) - opening :]
        separator, closes = rest[: len(rest) - opening], end[cut:]
    else:
        opens, separator, closes, _ = _cut(write([90417, 90418, 90419]), ("90417", "90418", "90419"), keys)
        key_opens = None
        before, after = words[0][len(opens) :], words[2][: len(words[2]) - len(closes)]
    first, _, third = (
        f"{key_opens or ''}{key}{before}{word}{after.replace(KEY, key)}" for key, word in zip(keys, WORDS, strict=True)
    )
    head = f"{opens}{first}{separator}{key_opens or ''}{keys[1]}"
    foot = f"{separator}{third}{closes}"

    def middle_of(value: Any) -> str | None:
        text = write([WORDS[0], value, WORDS[2]])
        if text is None or not (text.startswith(head) and text.endswith(foot)) or len(text) < len(head) + len(foot):
            return None  # Some templates leave out null.
        text = text[len(head) : len(text) - len(foot)]
        return text.replace(keys[1], KEY) if keyed else text

    types: dict[JsonType, tuple[Written, ...]] = {"string": _strings(middle_of(_SPECIAL), before, after)}
    nested: list[Members] = []
    for sample in _SAMPLES:
        name = type_of(sample)
        text = middle_of(sample)
        found = None if text is None else _written(text, sample)
        if text is not None and found is None and isinstance(sample, list | dict) and depth < 1:
            outer = types["integer"][0]

            def write_inside(values: list[Any], name: JsonType = name, outer: Written = outer) -> str | None:
                inside = middle_of(dict(zip(KEYS[1], values, strict=False)) if name == "object" else values)
                return None if inside is None else inside[len(outer.before) : len(inside) - len(outer.after)]

            nested.append(members_of(write_inside, keyed=name == "object", depth=depth + 1).members)
            found = Written(outer.before, "members", outer.after)
        elif text is not None and found is None and isinstance(sample, list | dict):
            found = Written(types["integer"][0].before, "members", types["integer"][0].after)
        if found is None and text == before + after:
            found = Written(before, "nothing", after)
        if found is not None:
            types[name] = (found,)
    none, empty = write([]), None
    if none is not None and none != opens + closes:
        # The text of arguments goes on to the end of the turn, that of a container inside them does not.
        empty = none if depth else (none.removesuffix(closes) if none.endswith(closes) else None)
    members = Members(opens, key_opens, types, separator, "" if depth == 0 else closes, empty, tuple(nested))
    return WrittenMembers(members, after)


def _cut(text: str | None, values: Sequence[str], keys: Sequence[str]) -> tuple[str, str, str, str]:
    """Return the text before the first key, between two members, after the last value, and between key and value."""
    if text is None:
        raise Underivable("calls with several arguments are not rendered")
    gaps: list[str] = []
    position = 0
    for mark in itertools.chain.from_iterable(zip(keys, values, strict=True)):
        found = text.find(mark, position)
        if found < 0:
            raise Underivable("the members of arguments are not written in their order")
        gaps.append(text[position:found])
        position = found + len(mark)
    first, second, third = keys
    if not third:  # An empty key is found where the text before it begins.
        return gaps[1], _same(gaps[3::2]), text[position:], ""
    middle = _same([gaps[2].replace(first, KEY), gaps[4].replace(second, KEY)])
    return gaps[0], middle, text[position:].replace(third, KEY), _same(gaps[1::2])


def _same(texts: list[str]) -> str:
    if len(set(texts)) > 1:
        raise Underivable("the members of arguments are not written alike")
    return texts[0]


def _strings(text: str | None, before: str, after: str) -> tuple[Written, ...]:
    """Return the notation of strings, from the text of one with special characters.

    ``before`` and ``after`` stand around a plain string.
    """
    plain = Written(before, "text", after)
    spellings: list[tuple[str, Notation]] = [
        (json.dumps(_SPECIAL, ensure_ascii=False), "json"),
        (json.dumps(_SPECIAL), "json"),
        (repr(_SPECIAL), "python"),
        (_SPECIAL, "text"),
    ]
    for spelling, notation in spellings:
        if text is not None and (found := text.find(spelling)) >= 0:
            written = Written(text[:found], notation, text[found + len(spelling) :])
            return (written,) if notation != "text" or written == plain else (written, plain)
    raise Underivable("strings in arguments are written in a notation that is not known")


def _written(text: str, value: Any) -> Written | None:
    """Return the notation of a value that is not a string; None if it is not written at once."""
    spellings: list[tuple[str, Notation]] = [
        (json.dumps(value, separators=separators), "json") for separators in ((", ", ": "), (",", ":"), (",", ": "))
    ]
    spellings.append((repr(value), "python"))
    for spelling, notation in spellings:
        if (found := text.find(spelling)) >= 0:
            return Written(text[:found], notation, text[found + len(spelling) :])
    return None
