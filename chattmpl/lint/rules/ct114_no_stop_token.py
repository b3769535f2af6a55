import re

from chattmpl.lint.context import PLAIN
from chattmpl.lint.rule import Findings, LintContext, Rule
from chattmpl.probing.frames import ends_in_next_turn
from chattmpl.probing.prober import content_range
from chattmpl.template.special_tokens import CONTROL

_INNER = re.compile(r"</(?!s>)|<\|?tool|<\|/|<｜tool")
"""Tokens that close a section inside a turn."""

_CLOSING = re.compile(r"</(?:assistant|model|turn|message)>")
_WHAT = {"calls": "a turn with a tool call", "reasoning": "an answer with reasoning"}


class NoStopToken(Rule):
    """An answer ends without a stop token.

    Reports templates with generation tags that write no control token after the text of an answer.

    ## Why is this bad?

    There is no token with which the model could learn to stop. If the header of the next turn is meant to end it, its
    first token has to be generated there, as `chattmpl annotate` does.
    """

    example = "{% generation %}{{ message.content }}{% endgeneration %}"
    use_instead = "{% generation %}{{ message.content }}{{ eos_token }}{% endgeneration %}"
    severity = "warning"
    message = "{turn} ends without a stop token: the model does not learn to stop"
    hint = "write {{ eos_token }}, or the family's stop token, at the end of the generated span"
    explains = ("CT205",)
    law = "stop"
    per_mode = True

    def check(self, subject: LintContext) -> Findings:
        if not subject.generation:
            return
        followed = subject.probe.render("turns")
        answer = content_range(followed, 1) if followed is not None else None
        stops = subject.facts.next_turn_stops
        if followed is not None and answer is not None and ends_in_next_turn(followed, answer[1], stops):
            return
        closers: set[str] = set()
        for turn in subject.probe.turns(*PLAIN):
            if turn.content is None or turn.generated is None:
                continue
            found = {token for token in CONTROL.findall(turn.tail) if not _INNER.match(token)}
            found |= set(_CLOSING.findall(turn.tail))
            if found:
                closers |= found
            # If plain answers have none either, one finding is enough.
            elif turn.name == "turn" or closers:
                yield self.finding_in(subject, turn, turn.content[1] - 1, turn=_WHAT.get(turn.name, "an answer"))
                return
