from chattmpl.data.audit.check import NoteCheck, NoteKind


class ArgumentsEncodedTwice(NoteCheck):
    r"""The template encodes arguments of a tool call as JSON twice.

    Reports rows in which the arguments of a tool call are a string of JSON, as in OpenAI's API, if the template applies
    `tojson` to them. transformers renders them in the same way.

    ## Why is this bad?

    The model learns `"arguments": "{\"hour\": 12}"`, a string instead of an object, and parsers pass that string to
    the tool.
    """

    severity = "error"
    message = "the template encodes the arguments of a tool call as JSON twice"
    hint = "decode them with --arguments decode, or store them as objects"
    notes = (NoteKind.TEXT_ARGUMENTS,)
