"""CT203."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule
from chattmpl.lint.stops import MASKED, shown


class PromptNotAPrefix(Rule):
    """The prompt is not what stands before the answer in the training text.

    ## What it does

    Renders each prompt and the text with its answer, and reports where the text does not begin with the prompt. It is
    a warning in templates without generation tags, which are not made for training.

    ## Why is this bad?

    The model is trained after one text and asked after another. What the prompt ends with, such as an opened
    `<think>`, is missing in training, or what precedes the answer in training is missing at inference.

    ## Example

    ```jinja
    {% if m.role == 'assistant' %}<|assistant|>{{ m.content }}{% endif %}
    {% if add_generation_prompt %}<|assistant|><think>{% endif %}
    ```

    ## Use instead

    ```jinja
    {% if m.role == 'assistant' %}<|assistant|><think>{{ m.reasoning_content }}</think>{{ m.content }}{% endif %}
    {% if add_generation_prompt %}<|assistant|><think>{% endif %}
    ```
    """

    code = "CT203"
    name = "prompt-not-a-prefix"
    severity = "error"
    explains = ("CT204:line", "CT305:line")
    law = "sampled"
    probes = True
    per_mode = True
    compares = "prompt"

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        for turn in subject.probe.turns(*MASKED):
            if turn.is_continuation:
                continue
            behind = turn.prompt.text[turn.common :]
            yield self.finding(
                subject.blame(turn.prompt, turn.common),
                "the prompt is not a prefix of the training text: "
                f"it goes on with {shown(behind)}, the training text with "
                f"{shown(turn.whole.text[turn.common :])}",
                "render the same before an answer as the generation prompt does",
                severity=None if subject.generation else "warning",
                counterexample=turn.counterexample(),
            )
