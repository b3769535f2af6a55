"""AU309."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Note
from chattmpl.data.audit.row_view import View
from chattmpl.data.reasoning_mode import text_of, trace_of

_TAG = re.compile(r"</?think>")


class ThinkUnbalanced(Kind):
    """Think tags do not pair.

    ## What it does

    Reports rows in which the content of an assistant message has an opening think tag without its closing one, or
    the other way round (key `content`), or whose reasoning field holds a think tag (key `reasoning`).

    ## Why is this bad?

    Servers split the model's output at these tags: an answer ends up as reasoning, or reasoning in the answer.

    ## What to do

    Move the reasoning to `reasoning_content` without tags, or mend what was cut.
    """

    code = "AU309"
    name = "think-unbalanced"
    severity = "warning"
    says = "think tags do not pair in the {key} of a message"
    hint = "move the reasoning to reasoning_content, without tags"
    needs_row = False

    def row(self, view: View) -> Iterator[Note]:
        """What is wrong with one row."""
        for index, _ in view.asked:
            content, trace = text_of(view.messages[index].get("content")), trace_of(view.messages[index])
            if [tag == "</think>" for tag in _TAG.findall(content)] != [False, True] * content.count("</think>"):
                yield Note("content", f"messages[{index}]")
            if _TAG.search(trace):
                yield Note("reasoning", f"messages[{index}]")
