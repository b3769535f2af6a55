from chattmpl.data.audit.check import NoteCheck, NoteKind


class ColumnUnread(NoteCheck):
    """A column with text or objects is not read.

    Reports rows with a column that is not part of their shape, under any of its names, and holds text or objects. Ids,
    sources, scores and other short values that describe a row are not reported. The key is the column.

    ## Why is this bad?

    The author of the answers may have seen it, as a persona or a passage to answer from, but the model will not.

    ## What to do

    Rename it, for example to `system`, `tools` or `documents`; put its text into a message; or remove the column.
    """

    severity = "warning"
    message = "the column {key} has text or objects, but is not read"
    hint = "rename it (system, tools, documents), put its text into a message, or remove it"
    note = NoteKind.UNREAD_COLUMN
