"""AU304."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Note
from chattmpl.data.audit.row_view import View

_REASONING = re.compile(r"messages\[(\d+)\]\.(?:reasoning_content|reasoning|thinking)\b")


class ReasoningKeptLast(Kind):
    """Only the last turn keeps its reasoning.

    ## What it does

    Reports rows with answers to several questions of which only the last keeps its reasoning: because the retention
    policy drops the earlier traces (key `template`), or because the data hold no others (key `data`).

    ## Why is this bad?

    In the first case the earlier turns are trained as no prompt will ever render them. In the second the model
    learns that reasoning ends a conversation.

    ## What to do

    `chattmpl encode --unroll` makes a row of each turn, as at inference. `--retention all` keeps all traces, where
    serving does so too.
    """

    code = "AU304"
    name = "reasoning-kept-last"
    severity = "warning"
    says = "{key}"
    hint = (
        "chattmpl encode --unroll makes a row of each turn; --retention all keeps all traces, where serving does so too"
    )
    unit = "traces"

    def row(self, view: View) -> Iterator[Note]:
        """What is wrong with one row."""
        users = [index for index, message in enumerate(view.messages) if message.get("role") == "user"]
        answers = [index for index, _ in view.asked if users and index > users[0]]
        if not answers or answers[0] > users[-1] or max(view.thinking, default=-1) < users[-1]:
            return
        earlier = [index for index in view.thinking if index < users[-1]]
        if not earlier:
            yield Note("data", f"messages[{max(view.thinking)}]")
            return
        lost = {int(match[1]) for path, _ in view.losses if (match := _REASONING.match(path))}
        if lost.issuperset(earlier) and max(view.thinking) not in lost:
            yield Note("template", f"messages[{earlier[0]}]", len(earlier))

    def message(self, key: str, detail: str = "") -> str:
        """What is wrong."""
        if key == "data":
            return "of several answers only the last has reasoning"
        return "the template keeps the reasoning of the last of several answers only"
