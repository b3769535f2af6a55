from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView
from chattmpl.data.reasoning_mode import text_of


class EmptyAnswer(Check):
    """An answer is empty.

    Reports rows with an assistant message that has neither content nor tool calls: None, an empty text, or white space.
    Reasoning alone is not an answer. Messages with `train: false` are ignored.

    ## Why is this bad?

    The model learns to stop immediately.
    """

    severity = "warning"
    message = "an assistant message is empty"
    hint = "remove such turns, or mark them train: false"
    needs_row = False

    def check_row(self, view: RowView) -> RowFindings:
        if view.conversation is None:
            return
        for index, message in enumerate(view.messages):
            empty = not text_of(message.get("content")).strip() and not message.get("tool_calls")
            media = not isinstance(message.get("content"), str) and message.get("content")
            trained = view.conversation.messages[index].trained is not False
            if message.get("role") == "assistant" and empty and not media and trained:
                yield RowFinding("", f"messages[{index}]")
