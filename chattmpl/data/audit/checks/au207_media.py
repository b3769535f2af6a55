from chattmpl.data.audit.check import NoteCheck, NoteKind


class Media(NoteCheck):
    """An image, audio or video is not encoded.

    Reports rows with a column such as `images`, or with a content part that is not text. The key is the column, or the
    kind of part.

    ## Why is this bad?

    Only a processor can turn it into tokens. The template writes at most a placeholder, so the model learns to answer
    without the image.
    """

    severity = "warning"
    message = "{key} is not encoded, since there is no processor for it"
    hint = "remove such rows, or train with a processor"
    notes = (NoteKind.MEDIA,)
