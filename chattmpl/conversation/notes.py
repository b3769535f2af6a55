"""Notes on how a record was read: spellings that were understood, and parts that no template sees."""

from enum import StrEnum
from typing import NamedTuple

from chattmpl.printable import count


class NoteKind(StrEnum):
    """The kind of a note."""

    READ_AS = "read-as"
    """``name`` was read as ``target``."""
    UNREAD_COLUMN = "unread-column"
    """The column ``name`` has text or objects, and is not read."""
    UNREAD_KEY = "unread-key"
    """The key ``name`` of a message has text or objects, and is read only by templates that name it."""
    UNREAD_FLAG = "unread-flag"
    """``name`` marks what is trained, by a number for each token or inside another field, where it is not read."""
    FIELD = "field"
    """Messages of the role ``target`` have the field ``name``, which not every template renders; without a role, the
    conversation has it."""
    NAMED_TEMPLATE = "named-template"
    """Conversations with tools are rendered with the template ``name``, one of several."""
    PART = "part"
    """A content part of the type ``name`` is neither text nor media; ``target`` says whether it has a ``text``."""
    METADATA = "metadata"
    """The column ``name`` describes the row, as an id or a score does, and is not read: of interest only to a template
    that has a kwarg of this name."""
    MEDIA = "media"
    """``name`` is an image, audio or video, which only a processor can read."""
    NOT_TRAINED = "not-trained"
    """``name`` says that the row is not trained."""
    FLAG_WITHOUT_EFFECT = "flag-without-effect"
    """``name`` asks to train a message that is not the assistant's."""
    TEXT_ARGUMENTS = "text-arguments"
    """The arguments of a tool call are a string of JSON."""
    TEXT_PARTS = "text-parts"
    """A content is a list with text parts."""
    OBJECT_RESULT = "object-result"
    """A tool result is an object, a list or a number."""
    DROPPED_NULLS = "dropped-nulls"
    """Nulls in ``name`` are dropped as padding, which they may not be: arguments of calls, or schemas of tools."""
    EARLIER_ANSWERS = "earlier-answers"
    """There are trained answers before the last one; ``name`` lists what they have: answers, calls, reasoning."""


_WORDS = {
    NoteKind.READ_AS: "{name!r} is read as {target} in {rows}",
    NoteKind.UNREAD_COLUMN: "the column {name!r} is not read; it has text or objects in {rows}",
    NoteKind.UNREAD_KEY: "the key {name!r} of messages is not rendered; it has text or objects in {rows}",
    NoteKind.UNREAD_FLAG: "{name!r} marks what is trained, but is not read, in {rows}; write train: true or "
    "train: false on each assistant message",
    NoteKind.FIELD: "the template does not render {name!r}{of_target}, in {rows}",
    NoteKind.NAMED_TEMPLATE: "the template {name!r} renders {rows} with tools, as in transformers; --variant names one "
    "template for all",
    NoteKind.PART: "content parts of type {name!r} are not rendered, in {rows}; store their text in text parts",
    NoteKind.METADATA: "the column {name!r} is not passed to the template, which has a kwarg of this name, in {rows}; "
    "put it into chat_template_kwargs",
    NoteKind.MEDIA: "{name!r} is not encoded, since there is no processor for it, in {rows}; at most a placeholder is",
    NoteKind.NOT_TRAINED: "{name!r} excludes {rows} from training",
    NoteKind.FLAG_WITHOUT_EFFECT: "{name!r} marks a message that is not the assistant's in {rows}; only the "
    "assistant's are trained",
    NoteKind.TEXT_ARGUMENTS: "arguments of tool calls are strings of JSON in {rows}, and the template encodes them "
    "again; decode them with --arguments decode",
    NoteKind.TEXT_PARTS: "contents are lists of parts in {rows}, and the template prints them as Python lists; store "
    "the text as a string",
    NoteKind.OBJECT_RESULT: "tool results are objects in {rows}, and the template prints them as Python, which other "
    "engines write differently; store them as strings of JSON",
    NoteKind.DROPPED_NULLS: "nulls in {name} are dropped as padding of Arrow or Parquet in {rows}; store messages and "
    "tools as strings of JSON to keep them",
    NoteKind.EARLIER_ANSWERS: "earlier answers are trained as the template writes them in history, not as the "
    "model samples them, in {rows}; use rows auto, or keep all reasoning (retention all)",
}


class ReadingNote(NamedTuple):
    """A note on how a record was read.

    Attributes:
        name: the column, or the key of a message.
        target: the field as which it was read.
    """

    kind: NoteKind
    name: str
    target: str = ""

    def message(self, rows: int | None = None) -> str:
        """Return the note in words, for a number of rows if it is known."""
        counted = "some rows" if rows is None else count(rows, "row")
        of_target = f" of {self.target} messages" if self.target else ""
        return _WORDS[self.kind].format(name=self.name, target=self.target, of_target=of_target, rows=counted)
