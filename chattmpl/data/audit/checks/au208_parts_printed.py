from chattmpl.data.audit.check import NoteCheck, NoteKind


class PartsPrinted(NoteCheck):
    """The template prints a list of text parts as a Python list.

    Reports rows in which a content is a list of parts such as `{"type": "text", "text": "Hi"}`, if the template prints
    such a list as `[{'type': 'text', 'text': 'Hi'}]`. transformers does so too.

    ## Why is this bad?

    The model learns the list instead of the text, and at inference most servers join the parts first.
    """

    severity = "error"
    message = "the template prints a list of text parts as a Python list"
    hint = "store the text as a string, or choose a template that reads parts"
    notes = (NoteKind.TEXT_PARTS,)
