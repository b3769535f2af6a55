import re

from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView
from chattmpl.data.reasoning_mode import text_of, trace_of

_TAG = re.compile(r"</?think>")


class ThinkUnbalanced(Check):
    """Think tags are unbalanced.

    Reports rows in which the content of an assistant message has an opening think tag without a closing one, or vice
    versa (key `content`), or whose reasoning field contains a think tag (key `reasoning`).

    ## Why is this bad?

    Servers split the model's output at these tags: an answer ends up in the reasoning, or reasoning in the answer.

    ## What to do

    Move the reasoning to `reasoning_content` without tags, or repair truncated text.
    """

    severity = "warning"
    message = "think tags are unbalanced in the {key} of a message"
    hint = "move the reasoning to reasoning_content, without tags"
    needs_row = False

    def check_row(self, view: RowView) -> RowFindings:
        for index, _ in view.asked:
            content, trace = text_of(view.messages[index].get("content")), trace_of(view.messages[index])
            if [tag == "</think>" for tag in _TAG.findall(content)] != [False, True] * content.count("</think>"):
                yield RowFinding("content", f"messages[{index}]")
            if _TAG.search(trace):
                yield RowFinding("reasoning", f"messages[{index}]")
