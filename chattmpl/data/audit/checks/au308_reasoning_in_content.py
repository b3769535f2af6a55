"""AU308."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Note
from chattmpl.data.audit.row_view import View
from chattmpl.data.reasoning_mode import text_of

_BLOCK = re.compile(r"<think>\s*\S.*?</think>", re.DOTALL)


class ReasoningInContent(Kind):
    """Reasoning stands in the content.

    ## What it does

    Reports rows in which the content of an assistant message has text between `<think>` and `</think>`.

    ## Why is this bad?

    Retention, modes and masks know the field `reasoning_content` only: what stands in the content is kept in
    history, and in a template that writes a think block of its own there are two.

    ## What to do

    Move the text to `reasoning_content`.
    """

    code = "AU308"
    name = "reasoning-in-content"
    severity = "warning"
    says = "reasoning stands in the content of a message"
    hint = "move it to reasoning_content"
    unit = "messages"
    needs_row = False

    def row(self, view: View) -> Iterator[Note]:
        """What is wrong with one row."""
        wrong = [
            index for index in sorted(view.thinking) if _BLOCK.search(text_of(view.messages[index].get("content")))
        ]
        if wrong:
            yield Note("", f"messages[{wrong[0]}]", len(wrong))
