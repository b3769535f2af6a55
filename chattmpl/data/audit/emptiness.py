"""Texts that say nothing."""

from __future__ import annotations

from typing import Any

from chattmpl.data.reasoning_mode import text_of

_WORDS = ("none", "null", "nan")


def empty(content: Any) -> str | None:
    """In what way a content says nothing; None if it says something."""
    if content is None:
        return "None"
    text = text_of(content)
    if text.strip().lower() in _WORDS:
        return "the word " + text.strip()
    if text.strip():
        return None
    if not isinstance(content, str) and content:
        return None if any(isinstance(part, dict) and part.get("type") != "text" for part in content) else "empty"
    return "only white space" if text else "empty"
