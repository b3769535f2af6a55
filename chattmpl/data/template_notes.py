"""Notes on a template that does not fit training, or not the tokenizer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple, TypeVar

from chattmpl import cache
from chattmpl.budget import allow
from chattmpl.data.fast.markers import Unsupported
from chattmpl.data.fast.tokens import TokenizerHandle
from chattmpl.template.family import family_for_tokens
from chattmpl.template.template import Template

_Fact = TypeVar("_Fact")

_CODE = ("budget", "compiler", "conversation", "encode", "probing", "provenance", "syntax", "template")
"""The modules that facts about templates depend on."""

_STEPS = 10_000_000
"""Enough for all renders, each of which is bounded as well."""


class TemplateWarning(UserWarning):
    """The template does not fit training, or not the tokenizer; see `TemplateNote`."""


class TemplateNoteKind(StrEnum):
    """The kind of a note."""

    NO_GENERATION = "no-generation"
    """The template has no generation tags."""
    MISSING_TOKENS = "missing-tokens"
    """The template writes control tokens that the tokenizer lacks, as the lint rule CT601 finds them."""


class TemplateNote(NamedTuple):
    """A note on a template.

    Attributes:
        kind: the kind.
        template: the name of the template.
        tokens: the control tokens that the tokenizer lacks.
        family: a family whose control tokens the tokenizer has.
    """

    kind: TemplateNoteKind
    template: str
    tokens: tuple[str, ...] = ()
    family: str | None = None

    def message(self) -> str:
        """Return the note in words."""
        if self.kind is TemplateNoteKind.NO_GENERATION:
            return f"{self.template} has no generation tags, so no token is trained; chattmpl annotate adds them"
        one = len(self.tokens) == 1
        fits = f", such as the family {self.family}" if self.family else ""
        return (
            f"CT601: {', '.join(self.tokens)} {'is not a token' if one else 'are not tokens'} of the tokenizer: "
            f"{'it is' if one else 'each is'} split into several; choose the template of the tokenizer's model{fits}, "
            "or add the tokens to the tokenizer and train their embeddings"
        )


def template_notes(template: Template, tokenizer: TokenizerHandle, *, trains: bool = True) -> Iterator[TemplateNote]:
    """Yield the notes on a template and a tokenizer.

    Args:
        template: the template.
        tokenizer: the tokenizer.
        trains: whether labels or masks are needed.
    """
    for each in template.variants:
        if trains and not each.program.has_generation:
            yield TemplateNote(TemplateNoteKind.NO_GENERATION, each.name)
    missing = lacking_tokens(template, tokenizer)
    if missing:
        family = family_for_tokens({token.content for token in tokenizer.loaded.added.values()})
        yield TemplateNote(TemplateNoteKind.MISSING_TOKENS, template.name, missing, family)


def lacking_tokens(template: Template, tokenizer: TokenizerHandle) -> tuple[str, ...]:
    """Return the control tokens that a template, or the one for tools, writes and a tokenizer lacks."""

    def find() -> tuple[str, ...]:
        from chattmpl.probing import facts_of
        from chattmpl.probing.control_tokens import missing_tokens

        found = (missing_tokens(facts_of(each).prober, tokenizer.loaded) for each in template.variants)
        return tuple(dict.fromkeys(token.content for tokens in found for token in tokens))

    digest = None
    if cache.is_enabled():
        with contextlib.suppress(Unsupported):
            digest = tokenizer.digest
    return recall_fact(find, template, "lacking tokens", digest)


def recall_fact(find: Callable[[], _Fact], template: Template, *inputs: str | None) -> _Fact:
    """Return a fact about a template that renders show, now or in an earlier process, since they take time.

    Args:
        find: finds it, by renders.
        template: the template.
        *inputs: its other inputs; it is not stored if one of them is None.
    """
    key: list[str] = []
    if cache.is_enabled() and None not in inputs:
        variants = [(each.source, each.retention, each.tokens) for each in template.variants]
        key = ["fact", cache.hash_of_code(*_CODE), repr(variants), *filter(None, inputs)]
    if key and (stored := cache.load(*key)) is not None:
        return stored  # type: ignore[no-any-return]
    with allow(_STEPS) as allowance:
        found = find()
    if key and allowance.lasting:
        cache.store(found, *key)
    return found
