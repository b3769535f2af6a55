from chattmpl.data.audit.check import NoteCheck, NoteKind


class ReadAs(NoteCheck):
    """A column, a key or a role is read under another name.

    Lists the spellings that were understood, such as the column `system_prompt` or the key `value` of a turn with a
    `role`. The key is the name as it is in the data.

    ## Why is this bad?

    It is not, if the meaning is right. Other tools may ignore these names.
    """

    severity = "info"
    message = "{key} is read under another name"
    hint = "check that it is meant in this way, or rename it"
    notes = (NoteKind.READ_AS,)
