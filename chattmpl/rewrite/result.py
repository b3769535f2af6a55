"""Results of annotate and retain: a new template and its proof."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Generic, Self, TypeVar

from chattmpl.rewrite.proof import ProofNoteKind, ProofT
from chattmpl.template.special_tokens import PLACEHOLDERS
from chattmpl.template.template import Template

TemplateT = TypeVar("TemplateT", bound=Template)


@dataclass(frozen=True)
class Rewrite(Generic[TemplateT, ProofT]):
    """A rewritten template.

    Attributes:
        template: the new template; one that needed no change has its source as it was given.
        proof: the checks, and their results.
    """

    template: TemplateT
    proof: ProofT

    @property
    def text(self) -> str:
        """The text to write: the source, or plain Jinja where the compiler lowered a policy."""
        return (
            self.template.export("train") if self.proof.has_note(ProofNoteKind.COMPILED) else self.template.given.text
        )

    @classmethod
    def of(cls, template: TemplateT, source: str, proof: ProofT) -> Self:
        """Return the rewrite of a template to another source, which gets the line endings of the given one."""
        given = template.given.text
        if source == template.source:
            source = given
        elif "\r\n" in given:
            source = source.replace("\n", "\r\n")
        made = with_source(template, source)
        return cls(type(template)(made.resolved, made.retention, made.budget), proof)


def with_source(template: Template, source: str, *, placeholders: bool = False) -> Template:
    """Return a template of another source under the same name, tokens and policy.

    Args:
        template: the template.
        source: the new source.
        placeholders: supply unknown special tokens with placeholders.
    """
    tokens = {**PLACEHOLDERS, **template.tokens} if placeholders else template.tokens
    resolved = replace(template.resolved, source=template.given.with_text(source), tokens=tokens)
    return Template(resolved, template.retention, template.budget)


__all__ = ["Rewrite", "TemplateT", "with_source"]
