"""Notes on a template that does not fit training, or not the tokenizer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from chattmpl import cache
from chattmpl.data.fast.markers import Unsupported
from chattmpl.data.fast.tokens import TokenizerHandle
from chattmpl.data.row_facts import TagDifference, row_facts
from chattmpl.options import MaskSource
from chattmpl.printable import excerpt
from chattmpl.template.family import family_for_tokens
from chattmpl.template.stored_facts import recall_fact
from chattmpl.template.template import Template


class TemplateWarning(UserWarning):
    """The template does not fit training, or not the tokenizer; see `TemplateNote`."""


class TemplateNoteKind(StrEnum):
    """The kind of a note."""

    NO_GENERATION = "no-generation"
    """The template has no generation tags, and only these were to be used."""
    TAGS_NOT_USED = "tags-not-used"
    """Its generation tags do not mark exactly what is sampled."""
    STOP_APPENDED = "stop-appended"
    """It ends the last turn without the token that the model samples to end it."""
    CONTINUED = "continued"
    """Its history does not continue its generation prompt, so an answer is written after that otherwise."""
    MISSING_TOKENS = "missing-tokens"
    """The template writes control tokens that the tokenizer lacks, as the lint rule CT601 finds them."""


class TemplateNote(NamedTuple):
    """A note on a template.

    Attributes:
        kind: the kind.
        template: the name of the template.
        tokens: the control tokens that the tokenizer lacks.
        family: a family whose control tokens the tokenizer has.
        difference: the first difference between the tags and what is sampled.
        texts: the end of an answer in history and in a row.
    """

    kind: TemplateNoteKind
    template: str
    tokens: tuple[str, ...] = ()
    family: str | None = None
    difference: TagDifference | None = None
    texts: tuple[str, ...] = ()

    def message(self) -> str:
        """Return the note in words."""
        if self.kind is TemplateNoteKind.NO_GENERATION:
            return f"{self.template} has no generation tags, so no token is trained; chattmpl annotate adds them"
        if self.kind is TemplateNoteKind.TAGS_NOT_USED:
            differs = self.difference.message() if self.difference else ""
            return (
                f"the generation tags of {self.template} are not used, since {differs}; rows train what the "
                "model samples after each prompt, and mask_from='tags' obeys the tags"
            )
        if self.kind is TemplateNoteKind.STOP_APPENDED:
            return (
                f"{self.template} ends the last turn without a stop token, so {' or '.join(self.tokens)} is appended "
                "to each row that ends with an answer"
            )
        if self.kind is TemplateNoteKind.CONTINUED:
            history, row = (excerpt(text, 60) for text in self.texts)
            return (
                f"{self.template} does not continue its generation prompt in history: rows have {row} where it writes "
                f"{history}"
            )
        one = len(self.tokens) == 1
        fits = f", such as the family {self.family}" if self.family else ""
        return (
            f"CT601: {', '.join(self.tokens)} {'is not a token' if one else 'are not tokens'} of the tokenizer: "
            f"{'it is' if one else 'each is'} split into several; choose the template of the tokenizer's model{fits}, "
            "or add the tokens to the tokenizer and train their embeddings"
        )


def template_notes(
    template: Template, tokenizer: TokenizerHandle, *, trains: bool = True, mask_from: MaskSource = "tags"
) -> Iterator[TemplateNote]:
    """Yield the notes on a template and a tokenizer.

    Args:
        template: the template.
        tokenizer: the tokenizer.
        trains: whether labels or masks are needed.
        mask_from: see `chattmpl.data.encoder.Encoder`.
    """
    for each in template.variants if trains else ():
        if mask_from == "tags":
            if not each.program.has_generation:
                yield TemplateNote(TemplateNoteKind.NO_GENERATION, each.name)
            continue
        facts = row_facts(each)
        if facts.tags.tagged and not facts.tags.valid:
            yield TemplateNote(TemplateNoteKind.TAGS_NOT_USED, each.name, difference=facts.tags.difference)
        if facts.continued:
            yield TemplateNote(TemplateNoteKind.CONTINUED, each.name, texts=facts.continued)
        appended = dict.fromkeys(end.stop for ends in facts.endings.values() for end in ends if end.append)
        if appended:
            yield TemplateNote(TemplateNoteKind.STOP_APPENDED, each.name, tuple(appended))
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
