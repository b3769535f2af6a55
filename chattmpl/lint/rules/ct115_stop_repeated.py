from itertools import pairwise

from chattmpl.lint.rule import MASKED, Findings, LintContext, Rule
from chattmpl.template.special_tokens import CONTROL

_TURN_ENDS = frozenset(
    {"<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "<|eot|>", "<turn|>", "<|END_OF_TURN_TOKEN|>"}
)
_ENDS = frozenset({"</s>", "<|endoftext|>", "<|end_of_text|>", "<eos>", "<｜end▁of▁sentence｜>"})
"""Tokens that end a turn, and tokens that end a document."""


class StopRepeated(Rule):
    """A turn is closed twice.

    Reports assistant turns that end with the same control token twice in a row, or with a token that ends a turn and a
    token that ends a document.

    ## Why is this bad?

    Sampling ends with the first token. The second is never sampled, but trained if it is in the generated span, and it
    is part of the history in every later turn.
    """

    example = "{% generation %}{{ message.content }}<|im_end|>{% endgeneration %}<|im_end|>"
    use_instead = "{% generation %}{{ message.content }}<|im_end|>{% endgeneration %}"
    severity = "warning"
    message = {
        "same": "the turn is closed twice with {token}",
        "other": "the turn is closed twice, with {token} and {other}: only the first is sampled",
    }
    hint = "write it once, at the end of the generated span"
    explains = ("CT205", "CT110")
    law = "stop"
    per_mode = True

    def check(self, subject: LintContext) -> Findings:
        eos = subject.template.tokens.get("eos_token", "")
        for turn in subject.probe.turns(*MASKED):
            if turn.content is None:
                continue
            found = list(CONTROL.finditer(turn.whole.text, turn.content[1]))
            for one, other in pairwise(found):
                between = turn.whole.text[one.end() : other.start()]
                # A token that ends a turn, directly followed by one that ends a document.
                two = not between and other[0] in {eos, *_ENDS} and one[0] in _TURN_ENDS and turn.covers(other.end())
                if two or (one[0] == other[0] and not between.strip()):
                    yield self.finding_in(
                        subject,
                        turn,
                        other.start(),
                        "same" if one[0] == other[0] else "other",
                        token=one[0],
                        other=other[0],
                    )
