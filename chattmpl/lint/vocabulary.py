"""Facts about a tokenizer that several rules use."""

from typing import Any

from chattmpl.lint.context import LintContext


def token_id(subject: LintContext, content: str) -> int | None:
    """Return the id of a token with this content; None if there is none."""
    for index, token in subject.tokenizer.added.items():
        if token.content == content:
            return int(index)
    raw = _raw(subject)
    found = raw.token_to_id(content) if raw is not None else None
    return found if isinstance(found, int) else None


def bos_that_is_added(subject: LintContext) -> str | None:
    """Return the BOS token that the tokenizer adds to texts; None if it adds none."""
    raw, directory = _raw(subject), subject.directory
    if raw is None:
        return None
    with_it, without = (raw.encode("a", add_special_tokens=added).tokens for added in (True, False))
    if len(with_it) > len(without) and with_it[:1] != without[:1]:
        return str(with_it[0])
    return subject.special_tokens.get("bos_token") if directory is not None and directory.adds_bos else None


def _raw(subject: LintContext) -> Any:
    """Return the underlying tokenizer of the ``tokenizers`` library, if there is one."""
    raw = getattr(subject.tokenizer, "raw", None)
    return raw if hasattr(raw, "encode_batch_fast") else None
