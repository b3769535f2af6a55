"""CT208."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.frames import ROLE
from chattmpl.lint.rule import Rule
from chattmpl.lint.stops import shown


class PromptStopsShort(Rule):
    r"""The generation prompt ends before the header of an answer does.

    ## What it does

    Reports a generation prompt behind which, in the text of an answered question, white space or a part of the header
    follows before the answer. Where there are generation tags, CT113 says it.

    ## Why is this bad?

    At inference the model has to write the rest of the header itself. A missing line break is enough to make the first
    tokens differ from those of training.

    ## Example

    ```jinja
    <|assistant|>\n{{ message.content }}…{% if add_generation_prompt %}<|assistant|>{% endif %}
    ```

    ## Use instead

    ```jinja
    <|assistant|>\n{{ message.content }}…{% if add_generation_prompt %}<|assistant|>\n{% endif %}
    ```
    """

    code = "CT208"
    name = "prompt-stops-short"
    severity = "warning"
    law = "sampled"
    probes = True
    per_mode = True

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        if subject.generation or "add_generation_prompt" not in subject.variables:
            return
        for turn in subject.probe.turns("turn"):
            if turn.content is None or not turn.is_continuation or turn.before.text == turn.prompt.text:
                continue
            rest = turn.whole.text[len(turn.prompt.text) : turn.content[0]]
            if rest and (not rest.strip() or ROLE.search(rest)):
                yield self.finding(
                    subject.blame(turn.prompt, len(turn.prompt.text) - 1),
                    f"the generation prompt ends, and {shown(rest)} follows before an answer",
                    "end the generation prompt as the header of an answer ends",
                    counterexample=turn.counterexample(),
                )
