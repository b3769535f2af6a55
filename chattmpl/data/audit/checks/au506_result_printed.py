from chattmpl.data.audit.check import NoteCheck, NoteKind


class ResultPrinted(NoteCheck):
    """The template prints the result of a tool as a Python value.

    Reports rows in which the content of a tool message is an object, a list or a number, if the template prints it as
    Jinja does, as in `{'t': 3}`.

    ## Why is this bad?

    Engines that are not Jinja print other text: @huggingface/jinja prints JSON, others differ in quotes and in `None`.
    There the prompt is not the one that was trained.
    """

    severity = "warning"
    message = "a tool result that is an object is printed as Python, which other engines write differently"
    hint = "store the result as a string, such as its JSON"
    notes = (NoteKind.OBJECT_RESULT,)
