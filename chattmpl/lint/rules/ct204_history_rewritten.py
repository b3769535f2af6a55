from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule
from chattmpl.source import common_length


class HistoryRewritten(Rule):
    """A later message changes the text of earlier ones.

    Renders conversations message by message, and reports where the text does not begin with the previous rendering.
    This is a note if only earlier reasoning disappears, or if a retention policy requires it.

    ## Why is this bad?

    In one training row the earlier turns differ from what was sampled, so only the last turn is trained as it will be
    used. In serving, the cache of the earlier turns is invalid.
    """

    example = r"{% if loop.last %}<think>\n\n</think>\n\n{% endif %}{{ message.content }}"
    use_instead = r"<think>\n\n</think>\n\n{{ message.content }}"
    severity = "warning"
    message = "another message changes the text before it: {before} becomes {after}"
    hint = "train on one row per answer (unrolled), or render earlier turns as they were sampled"
    law = "prefix"
    per_mode = True
    compares = "before"

    def check(self, subject: LintContext) -> Findings:
        if subject.facts.unrequested_prompt is not None:
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
                    before=Quoted(before.text[common:]),
                    after=Quoted(after.text[common:]),
                    severity="info" if harmless else None,
                    counterexample={
                        "conversation": after.conversation.dump(),
                        "before": before.text,
                        "text": after.text,
                    },
                )
                break
