"""AU108."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Note
from chattmpl.data.audit.row_view import View
from chattmpl.data.reasoning_mode import text_of


class EmptyAnswer(Kind):
    """An answer is empty.

    ## What it does

    Reports rows with a message of the assistant that has neither content nor tool calls: None, an empty text, or
    white space. Reasoning alone is no answer. Messages with `train: false` do not count.

    ## Why is this bad?

    The model learns to stop at once.

    ## What to do

    Leave such turns out, or mark them `train: false`.
    """

    code = "AU108"
    name = "empty-answer"
    severity = "warning"
    says = "a message of the assistant is empty"
    hint = "leave such turns out, or mark them train: false"
    needs_row = False

    def row(self, view: View) -> Iterator[Note]:
        """What is wrong with one row."""
        if view.conversation is None:
            return
        for index, message in enumerate(view.messages):
            empty = not text_of(message.get("content")).strip() and not message.get("tool_calls")
            media = not isinstance(message.get("content"), str) and message.get("content")
            trained = view.conversation.messages[index].trained is not False
            if message.get("role") == "assistant" and empty and not media and trained:
                yield Note("", f"messages[{index}]")
