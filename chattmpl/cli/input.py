"""Conversations of the file that a command is given, which may be stdin."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from chattmpl.conversation.files import load_conversations, parse_text
from chattmpl.errors import ConversationError

if TYPE_CHECKING:
    from chattmpl.conversation.models import Conversation
    from chattmpl.conversation.shapes import Shape

STDIN = "<stdin>"


def conversations(file: str, shape: Shape | None = None) -> Iterator[Conversation]:
    """The conversations of a file; ``-`` is stdin, one JSON value or one a line.

    Raises:
        ConversationError: see `chattmpl.conversation.files.load_conversations`.
    """
    if file != "-":
        yield from load_conversations(file, shape=shape)
        return
    text = _stdin()
    yield from parse_text(text, name=STDIN, lines=_has_lines(text), shape=shape)


def _stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise ConversationError(
            f"{STDIN}: byte 0x{byte:02x} at offset {error.start} is not UTF-8", hint="convert it to UTF-8 first"
        ) from None


def _has_lines(text: str) -> bool:
    """Whether the first line is a JSON value of its own, and more follow."""
    first, _, rest = text.strip().partition("\n")
    if not rest:
        return False
    try:
        json.loads(first)
    except ValueError:
        return False
    return True
