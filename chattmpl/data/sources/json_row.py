"""One JSON value of a file of many: as strict as `JsonText`, and as fast as the standard library where all is well."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from chattmpl.conversation.json_text import JsonText


class _OddError(ValueError):
    """Something that the strict reader has to look at."""


def _odd(text: str) -> NoReturn:
    raise _OddError(text)


_loads = json.JSONDecoder(parse_constant=_odd).decode
_dumps = json.JSONEncoder(allow_nan=False, check_circular=False).encode
_spaced = re.compile(r'"\s+:').search


def parse(text: str, name: str, line: int) -> Any:
    """The value of a JSON text.

    Args:
        text: the JSON.
        name: the file, for errors.
        line: the line at which it starts, from 1.

    Raises:
        ConversationError: see `JsonText.value`.
    """
    try:
        value = _loads(text)
        written = _dumps(value)
    except (ValueError, RecursionError):  # broken, or with a number that is infinite
        return JsonText(text, name, line).value()
    half = "\\u" in text and ("\\ud" in text or "\\uD" in text)
    if half or (written != text and _may_repeat_keys(text, written)):
        return JsonText(text, name, line).value()
    return value


def _may_repeat_keys(text: str, written: str) -> bool:
    """Whether a key may stand twice in one object of a text.

    Each key is followed by a colon, and inside a string a quotation mark has a backslash before it: fewer such colons
    in what was written anew mean that a key was lost. Space before a colon, and keys that end in a backslash, would be
    counted wrongly.

    Args:
        text: what was read.
        written: the value that it gave, written anew.
    """
    return _colons(text) != _colons(written) or '\\\\":' in text or _spaced(text) is not None


def _colons(text: str) -> int:
    return text.count('":') - text.count('\\":')
