"""Notes on how rows were read: which of them concern a template, and their counts as JSON."""

from collections.abc import Iterator, Mapping
from typing import Any

from chattmpl.conversation.notes import NoteKind, ReadingNote
from chattmpl.probing import facts_of
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
            quoted = (f"'{note.name}'", f'"{note.name}"')
            return note.name not in template.program.syntax.names and not any(key in template.source for key in quoted)
        case NoteKind.TEXT_ARGUMENTS:
            fates = facts_of(template).tool_calls.arguments
            return fates is not None and fates["string"][0] == "encoded twice"
        case NoteKind.TEXT_PARTS:
            return facts_of(template).parts.printed
        case NoteKind.OBJECT_RESULT:
            return facts_of(template).tool_results.objects == "Python"
        case NoteKind.EARLIER_ANSWERS:
            return one_row and facts_of(template).rewrites_answers
    return True


def concerning(
    notes: Mapping[ReadingNote, int], template: Template, *, one_row: bool = True
) -> Iterator[tuple[ReadingNote, int]]:
    """Yield the notes that concern a template, with the number of rows, in the order of their kinds; see `concerns`."""
    for kind in NoteKind:
        of_kind = ((note, rows) for note, rows in notes.items() if note.kind is kind)
        yield from ((note, rows) for note, rows in of_kind if concerns(note, template, one_row=one_row))


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
