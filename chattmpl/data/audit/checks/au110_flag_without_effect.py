from chattmpl.data.audit.check import NoteCheck, NoteKind


class FlagWithoutEffect(NoteCheck):
    """A flag asks to train a message that is not the assistant's.

    Reports rows in which a flag such as `train: true`, or an entry of a column such as `loss_mask`, marks a message of
    the user, the system or a tool. The key is the flag.

    ## Why is this bad?

    Only generated spans are trained, and these belong to the assistant. The row is trained as if the flag did not
    exist.

    ## What to do

    Remove the flag. If the message was sampled from a model, give it the role `assistant`.
    """

    severity = "warning"
    message = "{key} marks a message that is not the assistant's"
    hint = "remove the flag; only the assistant's messages are trained"
    notes = (NoteKind.FLAG_WITHOUT_EFFECT,)
