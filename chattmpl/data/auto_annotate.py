"""Generation tags for a template that has none, placed without being asked, and announced."""

from __future__ import annotations

from collections.abc import Callable

from chattmpl.errors import TemplateError
from chattmpl.rewrite.annotate.annotator import annotate
from chattmpl.rewrite.annotate.refusal import CannotAnnotate, UnknownStopToken
from chattmpl.template.template import Template


def annotated(
    template: Template,
    note: Callable[[str], None],
    stop_tokens: tuple[str, ...] = (),
    stop_hint: str | None = None,
) -> Template:
    """A template that says what the model samples: as it is, or annotated, with what was proven.

    Args:
        template: any template.
        note: is told that tags were placed, and what holds of them.
        stop_tokens: what ends the assistant's turns, where that does not look like a control token.
        stop_hint: hint of the error where no stop token is recognized; by default it names the command-line option.

    Raises:
        TemplateError: there are none, and none can be placed; it tells why, and the way out.
    """
    if template.program.has_generation:
        return template
    try:
        made = annotate(template, stop_tokens=stop_tokens)
    except CannotAnnotate as refusal:
        hint = stop_hint if stop_hint and isinstance(refusal, UnknownStopToken) else refusal.hint
        raise TemplateError(
            f"{template.name} has no generation tags, so that nothing would be trained, and none can be placed: "
            f"{refusal.message}",
            place=refusal.place,
            hint=f"{hint or 'write them by hand, or choose a family'}; chattmpl annotate tells all of it",
        ) from None
    note(announcement(template, made))
    return made


def announcement(template: Template, made: Template) -> str:
    """What a person is told about a template that was annotated."""
    proof = made.proof
    laws = ", ".join(f"{law} {times} times" for law, times in sorted(proof.held.items()))
    said = [
        f"{template.name} has no generation tags: it was annotated by itself",
        f"{proof.texts} texts are as before" + (f", and the laws held ({laws})" if laws else ""),
        f"{' or '.join(map(repr, proof.stops))} ends what is trained",
    ]
    said += [f"{each.law} cannot hold where {each.why}" for each in proof.exceptions]
    return "; ".join(said)
