"""CT115."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule
from chattmpl.lint.stops import MASKED
from chattmpl.template.special_tokens import CONTROL

_TURN_ENDS = frozenset(
    {"<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "<|eot|>", "<turn|>", "<|END_OF_TURN_TOKEN|>"}
)
_ENDS = frozenset({"</s>", "<|endoftext|>", "<|end_of_text|>", "<eos>", "<｜end▁of▁sentence｜>"})
"""What ends a turn, and what ends a document."""


class StopRepeated(Rule):
    """A turn is closed twice with the same token.

    ## What it does

    Reports assistant turns that end with the same control token two times, one directly behind the other.

    Two different tokens count as well where the first ends a turn and the second a document.

    ## Why is this bad?

    Sampling ends with the first. The second is never sampled, is trained if it is in the generated span, and stands in
    the history of a conversation where no other engine writes it.

    ## Example

    ```jinja
    {% generation %}{{ message.content }}<|im_end|>{% endgeneration %}<|im_end|>
    ```

    ## Use instead

    ```jinja
    {% generation %}{{ message.content }}<|im_end|>{% endgeneration %}
    ```
    """

    code = "CT115"
    name = "stop-repeated"
    severity = "warning"
    explains = ("CT205", "CT110")
    law = "stop"
    probes = True
    per_mode = True

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        eos = subject.template.tokens.get("eos_token", "")
        for turn in subject.probe.turns(*MASKED):
            if turn.content is None:
                continue
            found = list(CONTROL.finditer(turn.whole.text, turn.content[1]))
            for one, other in pairwise(found):
                between = turn.whole.text[one.end() : other.start()]
                # One token that ends a turn, and directly behind it one that ends a document.
                two = not between and other[0] in {eos, *_ENDS} and one[0] in _TURN_ENDS and turn.covers(other.end())
                if two or (one[0] == other[0] and not between.strip()):
                    yield self.finding(
                        subject.blame(turn.whole, other.start()),
                        f"the turn is closed with {one[0]} twice"
                        if one[0] == other[0]
                        else f"the turn is closed twice, with {one[0]} and {other[0]}: only the first is sampled",
                        "write it once, at the end of the generated span",
                        counterexample=turn.counterexample(),
                    )
