"""Automatic annotation of templates without generation tags."""

from __future__ import annotations

from collections.abc import Callable

from chattmpl.errors import TemplateError
from chattmpl.rewrite.annotate.annotator import annotate
from chattmpl.rewrite.annotate.verifier import AnnotationProof
from chattmpl.rewrite.refusal import CannotAnnotate, Refusal
from chattmpl.template.template import Template


def ensure_annotated(
    template: Template,
    note: Callable[[str], None],
    stop_tokens: tuple[str, ...] = (),
    stop_hint: str | None = None,
) -> tuple[Template, tuple[str, ...]]:
    """Annotate a template unless it has generation tags.

    Args:
        template: any template.
        note: receives a sentence about the proof, if the template was annotated.
        stop_tokens: the tokens that end the assistant's turns, where they do not look like control tokens.
        stop_hint: hint of the error where no stop token is recognized; by default it names the command-line option.

    Returns:
        The template with tags, and the stop tokens of the proof, if there is one.

    Raises:
        TemplateError: if the template has no tags, and none can be placed.
    """
    if template.program.has_generation:
        return template, ()
    try:
        result = annotate(template, stop_tokens=stop_tokens)
    except CannotAnnotate as refusal:
        hint = stop_hint if stop_hint and refusal.refusal is Refusal.NO_STOP_TOKEN else refusal.hint
        raise TemplateError(
            f"{template.name} has no generation tags, so nothing would be trained, and none can be placed: "
            f"{refusal.message}",
            place=refusal.place,
            hint=f"{hint or 'write them by hand, or choose a family'}; for details run chattmpl annotate",
        ) from None
    note(describe_proof(template, result.proof))
    return result.template, result.proof.stops


def describe_proof(template: Template, proof: AnnotationProof) -> str:
    """Return a sentence about the proof of a template that was annotated."""
    laws = ", ".join(f"{law} {times} times" for law, times in sorted(proof.held.items()))
    parts = [
        f"{template.name} has no generation tags: it was annotated automatically",
        f"{proof.texts} texts are unchanged" + (f", and the laws held ({laws})" if laws else ""),
        f"the stop token is {' or '.join(map(repr, proof.stops))}",
    ]
    parts += [f"{exemption.law} cannot hold: {exemption.why}" for exemption in proof.exceptions]
    return "; ".join(parts)
