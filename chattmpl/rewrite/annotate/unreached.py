"""Parts of a template that no conversation reached, in or beside the assistant's turns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chattmpl.laws.law import Case
from chattmpl.rewrite.annotate.span_labels import content, parts_of
from chattmpl.rewrite.annotate.trace import Tracer
from chattmpl.rewrite.proof import Note, NoteKind
from chattmpl.syntax.tree import Block, Item, Output, Text
from chattmpl.template.template import Template

_NO_OUTPUT = "raise_exception"


def unreached_lines(template: Template, cases: list[Case]) -> list[Note]:
    """Return notes with the lines of such parts, and the label that was assumed for them.

    Args:
        template: the template with its new tags.
        cases: the cases that the tags were placed with.
    """
    tracer = Tracer(template, bold=False)
    seen: set[int] = set()
    for case in cases:
        trace = tracer.trace(case.conversation, case.kwargs)
        seen |= {written.part for one in (trace.outer, trace.inner) for written in one}
    source = template.program.source
    lines: dict[tuple[bool, int], None] = {}
    for item, generated in _parts(tracer.tree.body, inside=False, beside=False):
        parts = [part.start for part in parts_of(item.expression)] if isinstance(item, Output) else [item.start]
        text = item.text
        if seen.isdisjoint(parts) and text.strip() and _NO_OUTPUT not in text:
            lines[generated, source.position(item.start)[0]] = None
    notes = []
    for generated in (True, False):
        numbers = sorted(line for kind, line in lines if kind == generated)
        if numbers:
            which = f"line{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
            assumed = "generated" if generated else "not generated"
            text = f"no conversation reached {which}, assumed to be {assumed}: check by hand"
            notes.append(Note(NoteKind.UNREACHED, text))
    return notes


def _parts(body: Sequence[Item], *, inside: bool, beside: bool) -> Iterator[tuple[Text | Output, bool]]:
    """Yield texts and outputs inside generation tags, and those beside such a tag in the same branch."""
    beside = beside or any(isinstance(item, Block) and item.name == "generation" for item in body)
    for item in content(body):
        if isinstance(item, (Text, Output)):
            if inside or beside:
                yield item, inside
        elif isinstance(item, Block):
            within = inside or item.name == "generation"
            for inner in item.bodies:
                # At the root of a loop over all messages are the turns of other roles.
                yield from _parts(inner, inside=within, beside=beside and item.name == "if")
