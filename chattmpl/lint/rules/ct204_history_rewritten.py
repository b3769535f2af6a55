"""CT204."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.frames import always_prompted
from chattmpl.lint.probe import common_length
from chattmpl.lint.rule import Rule
from chattmpl.lint.stops import shown


class HistoryRewritten(Rule):
    r"""A further message changes the text of earlier ones.

    ## What it does

    Renders conversations message by message, and reports where the text does not begin with what was rendered before.
    It is for information where only earlier reasoning goes, or where a retention policy says so.

    ## Why is this bad?

    In one training row the earlier turns are not as they were when they were sampled, so only the last one is trained
    as it will be used. When serving, the cache of earlier turns is void.

    ## Example

    ```jinja
    {% if loop.last %}<think>\n\n</think>\n\n{% endif %}{{ message.content }}
    ```

    ## Use instead

    ```jinja
    <think>\n\n</think>\n\n{{ message.content }}
    ```
    """

    code = "CT204"
    name = "history-rewritten"
    severity = "warning"
    law = "prefix"
    probes = True
    per_mode = True
    compares = "before"

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        if always_prompted(subject) is not None:
            return
        retained = subject.found.family is not None and subject.template.retention not in (None, "all")
        for name in ("turns", "calls", "reasoning_turns", "spaces"):
            for count in (2,) if name == "spaces" else range(1, len(subject.probe.conversation(name)["messages"])):
                before, after = subject.probe.render(name, count), subject.probe.render(name, count + 1)
                if before is None or after is None or after.text.startswith(before.text):
                    continue
                common = common_length(before.text, after.text)
                harmless = retained or name == "reasoning_turns"
                yield self.finding(
                    subject.blame(before, common),
                    f"another message changes what was rendered before it: {shown(before.text[common:])} becomes "
                    f"{shown(after.text[common:])}",
                    "train on one row for each answer (unrolled), or render earlier turns as they were sampled",
                    severity="info" if harmless else None,
                    counterexample={
                        "conversation": after.conversation.dump(),
                        "before": before.text,
                        "text": after.text,
                    },
                )
                break
