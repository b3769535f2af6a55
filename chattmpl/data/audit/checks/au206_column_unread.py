from chattmpl.data.audit.check import NoteCheck, NoteKind


class ColumnUnread(NoteCheck):
    """A column with text or objects, or with flags, is not read.

    Reports rows with a column that is not part of their shape, under any of its names, and holds text or objects. Ids,
    sources, scores and other short values that describe a row are not reported. Reports flags too that are not read:
    a number for each token, such as `labels`, and flags inside other fields. The key is the column.

    ## Why is this bad?

    The author of the answers may have seen it, as a persona or a passage to answer from, but the model will not. Flags
    that are not read let the model learn what was excluded.

    ## What to do

    Rename it, for example to `system`, `tools` or `documents`; put its text into a message; write `train` on each
    assistant message; or remove the column.
    """

    severity = "warning"
    message = "{key} has text, objects or flags, but is not read"
    hint = "rename it (system, tools, documents), put its text into a message, write flags as train, or remove it"
    notes = (NoteKind.UNREAD_COLUMN, NoteKind.UNREAD_FLAG)
