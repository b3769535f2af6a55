"""Questions about a tokenizer that several rules ask."""

from __future__ import annotations

from typing import Any

from chattmpl.lint.context import LintContext
from chattmpl.probing.frames import stop_ranges
from chattmpl.template.template import Rendering


def token_id(subject: LintContext, content: str) -> int | None:
    """The id of a token that is spelt like this."""
    for index, token in subject.tokenizer.added.items():
        if token.content == content:
            return int(index)
    raw = _raw(subject)
    found = raw.token_to_id(content) if raw is not None else None
    return found if isinstance(found, int) else None


def bos_that_is_added(subject: LintContext) -> str | None:
    """The token that the tokenizer puts in front of a text by itself."""
    raw, directory = _raw(subject), subject.directory
    if raw is None:
        return None
    with_it, without = (raw.encode("a", add_special_tokens=added).tokens for added in (True, False))
    if len(with_it) > len(without) and with_it[:1] != without[:1]:
        return str(with_it[0])
    return subject.special_tokens.get("bos_token") if directory is not None and directory.adds_bos else None


def stop_token(subject: LintContext) -> tuple[Rendering, int, str] | None:
    """The token that ends an answer: the rendering that has it, where it begins, and its spelling."""
    for turn in subject.probe.turns("turn"):
        for start, end in stop_ranges(turn):
            return turn.whole, start, turn.whole.text[start:end]
    return None


def _raw(subject: LintContext) -> Any:
    """The tokenizer of the ``tokenizers`` library, if it is one."""
    raw = getattr(subject.tokenizer, "raw", None)
    return raw if hasattr(raw, "encode_batch_fast") else None
