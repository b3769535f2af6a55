"""Results of annotate and retain: a new template and its proof, kept in an on-disk cache."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, Literal, Self, TypeVar

import jinja2

from chattmpl import cache
from chattmpl.budget import allow
from chattmpl.rewrite.proof import ProofNoteKind, ProofT
from chattmpl.rewrite.refusal import CannotRewrite
from chattmpl.source import Source
from chattmpl.template.special_tokens import with_placeholders
from chattmpl.template.template import Template
from chattmpl.template.writer import unified_diff

_STEPS = 20_000_000
"""Steps of all renders of a search and its proof."""

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


def rewrite(
    template: TemplateT,
    kind: Literal["annotated", "retained"],
    request: tuple[object, ...],
    find: Callable[[], tuple[str, ProofT]],
) -> Rewrite[TemplateT, ProofT]:
    """Rewrite a template, or return the cached result. A refusal is cached too, unless a render lacked time or memory.

    Entries of the cache are pickled; see `chattmpl.cache` for whose entries are read.

    Args:
        template: the template.
        kind: the effect of the rewrite; part of the cache key, and the label of the new source in the diff.
        request: all other values that the result depends on.
        find: returns the new source and its proof.

    Raises:
        CannotRewrite: if ``find`` raises it, now or when the entry was stored.
        BudgetError: if the renders take too many steps together.
    """
    name = template.program.source.name
    identity = (template.source, name, sorted(template.tokens.items()), template.name)
    key = (kind, cache.hash_of_code(), jinja2.__version__, *map(repr, (*identity, template.retention, *request)))
    stored = cache.load(*key)
    if stored is not None:
        result: tuple[str, ProofT] | CannotRewrite = pickle.loads(stored)
    else:
        with allow(_STEPS) as allowance:
            try:
                source, proof = find()
                proof.diff = unified_diff(template.source, source, name, f"{name} ({kind})")
                result = source, proof
            except CannotRewrite as error:
                result = error
            # With nothing left, the templates before and after a change would seem to refuse the same conversations.
            allowance.check()
        if allowance.lasting:
            cache.store(pickle.dumps(result), *key)
    if isinstance(result, CannotRewrite):
        raise result
    return Rewrite.of(template, *result)


def each_variant(
    template: TemplateT, operation: Callable[[TemplateT], Rewrite[TemplateT, ProofT]]
) -> Rewrite[TemplateT, ProofT]:
    """Apply an operation to a template, and to the one for conversations with tools; return the result of the first."""
    result = operation(template.alone)
    if template.tool_use is None:
        return result
    return replace(result, template=result.template.with_tool_use(operation(template.tool_use).template))


def with_source(template: Template, source: str, *, placeholders: bool = False) -> Template:
    """Return a template of another source under the same name, tokens and policy.

    With ``placeholders``, these stand for special tokens that are not known.
    """
    tokens = template.resolved.tokens
    if placeholders:
        tokens = with_placeholders(tokens, template.program.variables)
    resolved = replace(template.resolved, source=Source(source, template.given.name), tokens=tokens)
    return Template(resolved, template.retention, template.budget)
