"""Why no tags are written."""

from __future__ import annotations

import re
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.errors import TemplateError
from chattmpl.laws.outcome import Counterexample
from chattmpl.rewrite.annotate.layout import Block, Item, walk
from chattmpl.source import Place, Source


class CannotAnnotate(TemplateError):
    """There is no lawful placement of generation tags, or none was found that could be proven.

    Attributes:
        law: the law that cannot hold; None if it is none.
        counterexample: what shows it: the conversation, and both texts where two are compared.
    """

    def __init__(
        self,
        message: str,
        *,
        law: str | None = None,
        place: Place | None = None,
        hint: str | None = None,
        counterexample: Counterexample | None = None,
        conversation: Conversation | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> None:
        if counterexample is None and conversation is not None:
            counterexample = Counterexample(law or "text", message, conversation, kwargs or {}, place=place, hint=hint)
        place = place or (counterexample.place if counterexample is not None else None)
        super().__init__(message, place=place, hint=hint)
        self.law = law
        self.counterexample = counterexample


class UnknownStopToken(CannotAnnotate):
    """A template in which no stop token is recognized after an answer; the caller can name one."""


def uncuttable(item: Item, source: Source, items: list[Item]) -> CannotAnnotate:
    """What an item writes is generated in part, and it cannot be taken apart: by whom it is written."""
    text = source.text[item.start : item.end].strip("{%-+ }")
    macros = {one.opening.body.partition("(")[0].strip() for one in _blocks(items) if one.opening.name == "macro"}
    place = Place(source, item.start, item.end)
    called = next((name for name in re.findall(r"(\w+)\s*\(", text) if name in macros), None)
    collected = re.fullmatch(r"(\w+)\.\w+", text)
    if called is not None:
        return CannotAnnotate(
            f"the macro {called!r} writes what is generated and what is not, and transformers sees no tags in macros",
            place=place,
            hint="write it out where it is called, or pass what it joins to the output one by one",
        )
    if collected is not None and re.search(rf"\b{collected[1]}\s*=\s*namespace\b", source.text):
        return CannotAnnotate(
            f"the whole text is collected in {text!r} and written at once, so no tag can stand around a part of it",
            place=place,
            hint="write each text where it is collected",
        )
    return CannotAnnotate(
        "what this writes is generated in part, and cannot be cut",
        place=place,
        hint="write what is generated in an output of its own",
    )


def _blocks(items: list[Item]) -> list[Block]:
    return [item for item in walk(items) if isinstance(item, Block)]
