"""CT201."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.frames import ROLE, always_prompted
from chattmpl.lint.rule import Rule
from chattmpl.lint.stops import shown
from chattmpl.template.special_tokens import CONTROL


class NoGenerationPrompt(Rule):
    r"""The template has headers, and no generation prompt.

    ## What it does

    Reports templates that never read `add_generation_prompt` though an answer begins with a header.

    ## Why is this bad?

    At inference the prompt ends with the user's turn. The model has to write its own header, for which it was not
    trained if the mask is right, and answers as the user otherwise.

    ## Example

    ```jinja
    {% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}
    ```

    ## Use instead

    ```jinja
    {% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}
    ```
    """

    code = "CT201"
    name = "no-generation-prompt"
    severity = "error"
    law = "sampled"
    probes = True
    per_mode = True

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        if "add_generation_prompt" in subject.variables or always_prompted(subject) is not None:
            return
        for turn in subject.probe.turns("turn"):
            start = turn.content[0] if turn.content else 0
            header = turn.whole.text[turn.common : start]
            token = CONTROL.search(header)
            framed = token is not None and token[0] in turn.before.text
            # Where the text always ends with the header, what follows is what the model samples.
            if framed or ROLE.search(header):
                yield self.finding(
                    subject.blame(turn.whole, turn.common),
                    f"no generation prompt: the template does not read add_generation_prompt, and answers begin with "
                    f"{shown(header)}",
                    "end with {% if add_generation_prompt %}, the header of an answer, {% endif %}",
                    counterexample=turn.counterexample(),
                )
