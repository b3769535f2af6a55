"""Notes on how rows were read: which of them concern a template, and their counts as JSON."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from chattmpl.conversation.notes import NoteKind, ReadingNote
from chattmpl.template.stored_facts import recall_fact
from chattmpl.template.template import Template

WARNINGS = frozenset(NoteKind) - {NoteKind.READ_AS}
"""The kinds of notes about something that the model will not see as it was written."""


def concerns(note: ReadingNote, template: Template, *, one_row: bool = True) -> bool:
    """Return true if a note says something about rows that a template renders.

    ``one_row`` says that all answers of a conversation are trained in one row.
    """
    match note.kind:
        case NoteKind.METADATA:
            return template.reads(note.name)
        case NoteKind.UNREAD_KEY:
            return not any(
                note.name in each.program.syntax.names or _names(each, note.name) for each in template.variants
            )
        case NoteKind.EARLIER_ANSWERS if not one_row:
            return False
        case kind if kind in _SHOWN_BY_RENDERS:
            return recall_fact(lambda: _is_written_otherwise(note, template), template, repr(note))
    return True


_SHOWN_BY_RENDERS = frozenset(
    {
        *(NoteKind.FIELD, NoteKind.PART, NoteKind.TEXT_ARGUMENTS, NoteKind.TEXT_PARTS),
        *(NoteKind.OBJECT_RESULT, NoteKind.EARLIER_ANSWERS),
    }
)


def _is_written_otherwise(note: ReadingNote, template: Template) -> bool:
    """Return true if the template drops what a note names, or writes it otherwise than it was meant."""
    from chattmpl.probing import facts_of

    match note.kind:
        case NoteKind.FIELD:
            return all(facts_of(each).drops(note.name, note.target) for each in template.variants)
        case NoteKind.PART:
            parts = facts_of(template).parts
            rendered = parts.printed or (parts.of_any_type and note.target == "text")
            return not rendered and not any(_names(each, note.name) for each in template.variants)
        case NoteKind.TEXT_ARGUMENTS:
            fates = facts_of(template).tool_calls.arguments
            return fates is not None and fates["string"][0] == "encoded twice"
        case NoteKind.TEXT_PARTS:
            return facts_of(template).parts.printed
        case NoteKind.OBJECT_RESULT:
            return facts_of(template).tool_results.objects == "Python"
        case NoteKind.EARLIER_ANSWERS:
            return not facts_of(template).rewritten_answers.isdisjoint(note.name.split(" and "))
    return True


def printed_notes(note: ReadingNote, template: Template, *, one_row: bool = True) -> Iterator[ReadingNote]:
    """Yield the notes to print for one on how rows were read; none if it does not concern the template."""
    if concerns(note, template, one_row=one_row):
        yield note if note.kind is not NoteKind.EARLIER_ANSWERS else ReadingNote(note.kind, "messages")
    if template.tool_use is not None and (note.kind, note.name) == (NoteKind.FIELD, "tools"):
        yield ReadingNote(NoteKind.NAMED_TEMPLATE, template.tool_use.resolved.variant or "tool_use")


def _names(template: Template, word: str) -> bool:
    """Return true if a template has a word as a string."""
    return f"'{word}'" in template.source or f'"{word}"' in template.source


def concerning(
    notes: Mapping[ReadingNote, int], template: Template, *, one_row: bool = True
) -> Iterator[tuple[ReadingNote, int]]:
    """Yield the notes that concern a template, with the number of rows, in the order of their kinds."""
    found: Counter[ReadingNote] = Counter()
    for note, rows in notes.items():
        for one in printed_notes(note, template, one_row=one_row):
            found[one] += rows
    yield from sorted(found.items(), key=lambda each: list(NoteKind).index(each[0].kind))


def as_counts(notes: Mapping[ReadingNote, int]) -> dict[str, Any]:
    """Return notes and their numbers of rows as counts, by kind, name and target."""
    counts: dict[str, Any] = {}
    for (kind, name, target), rows in notes.items():
        group = counts.setdefault(kind.value, {})
        if target:
            group.setdefault(name, {})[target] = rows
        else:
            group[name] = rows
    return counts


def from_counts(counts: Mapping[str, Any]) -> dict[ReadingNote, int]:
    """Return notes and their numbers of rows from counts."""
    notes: dict[ReadingNote, int] = {}
    for kind, group in counts.items():
        for name, rows in group.items():
            if isinstance(rows, dict):
                notes.update({ReadingNote(NoteKind(kind), name, target): rows[target] for target in rows})
            else:
                notes[ReadingNote(NoteKind(kind), name)] = rows
    return notes
