from chattmpl.lint.rule import Findings, Fixes, LintContext, Quoted, Rule, TemplateDiagnostic
from chattmpl.lint.tag_edits import hoisted, moved
from chattmpl.probing.frames import stop_ranges


class TextAfterStopGenerated(Rule):
    """Text after the stop token is in a generated span.

    Reports generated spans that continue after the last control token of the turn, usually with a line break.

    ## Why is this bad?

    Sampling ends with the stop token, so the text after it is never sampled but still trained: a useless token in every
    turn. If it merges with the text of the next turn, the mask is wrong.
    """

    example = r"{% generation %}{{ message.content }}<|im_end|>\n{% endgeneration %}"
    use_instead = r"{% generation %}{{ message.content }}<|im_end|>{% endgeneration %}\n"
    severity = "warning"
    message = "{text} after the stop token is in the generated span"
    hint = "end the generation tag directly after the stop token"
    law = "stop"
    per_mode = True

    def check(self, subject: LintContext) -> Findings:
        for turn, (_, end) in subject.generated_turns():
            covered = [stop for _, stop in stop_ranges(turn) if stop <= end]
            if covered and covered[-1] < end:
                yield self.finding_in(subject, turn, covered[-1], text=Quoted(turn.whole.text[covered[-1] : end]))

    fix_spans = "shrink"

    def fix(self, subject: LintContext, finding: TemplateDiagnostic) -> Fixes:
        """End the tag earlier, or move the common end of all its branches out of it."""
        yield from moved(subject, finding, "end", "earlier")
        yield from hoisted(subject, finding)
