"""CT110."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule
from chattmpl.lint.stops import generated_turns, shown, stops
from chattmpl.lint.tag_edits import hoisted, moved
from chattmpl.syntax.edits import Edit


class TextAfterStopGenerated(Rule):
    r"""Text behind the stop token is generated.

    ## What it does

    Reports generated spans that go on behind the last control token of the turn, with a line break as a rule.

    ## Why is this bad?

    Sampling ends with the stop token, so what follows is never sampled. It is trained all the same: one token a turn
    is learnt that has no use, and where it merges with the next turn's text the mask is wrong.

    ## Example

    ```jinja
    {% generation %}{{ message.content }}<|im_end|>\n{% endgeneration %}
    ```

    ## Use instead

    ```jinja
    {% generation %}{{ message.content }}<|im_end|>{% endgeneration %}\n
    ```
    """

    code = "CT110"
    name = "text-after-stop-generated"
    severity = "warning"
    law = "stop"
    probes = True
    per_mode = True

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        for turn, (_, end) in generated_turns(subject):
            covered = [stop for _, stop in stops(subject, turn) if stop <= end]
            if covered and covered[-1] < end:
                yield self.finding(
                    subject.blame(turn.whole, covered[-1]),
                    f"{shown(turn.whole.text[covered[-1] : end])} behind the stop token is generated",
                    "end the generation tag directly behind the stop token",
                    counterexample=turn.counterexample(),
                )

    fix_spans = "shrink"

    def fix(self, subject: Subject, finding: TemplateDiagnostic) -> Iterator[Sequence[Edit]]:
        """End the tag earlier, or take what all branches in it end with out of it."""
        yield from moved(subject, finding, "end", "earlier")
        yield from hoisted(subject, finding)
