"""What two texts show of why they differ, from the offset of the first difference on."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"-?\d[\d.eE+-]*")


def _number_around(text: str, at: int) -> str:
    return next((m.group() for m in _NUMBER.finditer(text, max(0, at - 30)) if m.start() <= at <= m.end()), "")


def numbers_differ(expected: str, got: str, at: int) -> bool:
    """Whether the same number is written in two ways."""
    one, other = _number_around(expected, at), _number_around(got, at)
    try:
        return one != other and abs(float(one) - float(other)) <= 1e-9 * abs(float(one))
    except ValueError:
        return False


def order_differs(expected: str, got: str, at: int) -> bool:
    """Whether the same lines hold the same characters in another order."""
    one, other = ((text[max(text.rfind("\n", 0, at), 0) :].partition("\n\n"))[0] for text in (expected, got))
    return len(expected) == len(got) and sorted(one) == sorted(other)


def space_differs(expected: str, got: str, at: int) -> bool:
    """Whether only white space differs, or what only some take for it."""
    return "".join(expected.split()) == "".join(got.split()) or _odd(expected, at) or _odd(got, at)


def _odd(text: str, at: int) -> bool:
    return text[at : at + 1] in tuple("\u001c\u001d\u001e\u001f\u0085\ufeff")


def escaped(expected: str, got: str, at: int) -> bool:
    """Whether one text has an escape of HTML or JSON where the other has none."""
    return any(re.match(r"&(?:#\d+|\w+);|\\u00", text[at : at + 6]) is not None for text in (expected, got))
