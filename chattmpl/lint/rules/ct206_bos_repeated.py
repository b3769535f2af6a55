import re

from chattmpl.lint.rule import Findings, LintContext, Rule

_LITERAL = (
    "<|begin_of_text|>",
    "<s>",
    "<BOS_TOKEN>",
    "<bos>",
    "<|startoftext|>",
    "<｜begin▁of▁sentence｜>",
    "<|begin▁of▁sentence|>",
)
"""BOS tokens of well-known vocabularies."""

_ANY = re.compile("|".join(map(re.escape, _LITERAL)))


class BosRepeated(Rule):
    """The BOS token is written more than once.

    Reports templates that write the BOS token more than once in a conversation of several turns.

    Also reports `{{ bos_token }}` next to the literal token.

    ## Why is this bad?

    A BOS token tells the model that a text begins here. In the middle of a conversation it makes many models ignore
    everything before it.
    """

    example = "{% for m in messages %}{{ bos_token }}{{ m.content }}{% endfor %}"
    use_instead = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"
    severity = "error"
    message = {
        "repeated": "the BOS token {token} is written {count} times in one conversation",
        "two": "the text begins with two BOS tokens, {token} and bos_token",
    }
    hint = {"repeated": "write it once, before the loop over the messages", "two": "write only {{ bos_token }}"}
    explains = ("CT203", "CT205", "CT211")
    law = "single-bos"
    per_mode = True

    def check(self, subject: LintContext) -> Findings:
        bos = subject.template.tokens.get("bos_token")
        if not bos or bos == subject.template.tokens.get("eos_token"):
            return
        if bos in subject.source.text or any(token in subject.source.text for token in _LITERAL):
            yield from self._literal(subject, bos)
            return
        for name in ("turns", "system"):
            rendering = subject.probe.render(name)
            if rendering is not None and rendering.text.count(bos) > 1:
                second = rendering.text.index(bos, rendering.text.index(bos) + 1)
                yield self.finding_in(
                    subject, rendering, second, "repeated", token=bos, count=rendering.text.count(bos)
                )
                return

    def _literal(self, subject: LintContext, bos: str) -> Findings:
        """Yield a finding if the literal token is next to the variable, or before more than one turn."""
        rendering = subject.probe.render("turns")
        written = list(_ANY.finditer(rendering.text)) if rendering else []
        start = rendering.text.find(bos) if rendering else -1
        beside = [token for token in _LITERAL if rendering and rendering.text.startswith(token, start + len(bos))]
        before = [token for token in _LITERAL if rendering and 0 < start == rendering.text.find(token) + len(token)]
        token = (beside or before or [""])[0]
        if rendering is not None and start >= 0 and token and token != bos:
            yield self.finding_in(subject, rendering, start + len(bos) if beside else start, "two", token=token)
        elif rendering is not None and len({match[0] for match in written}) == 1 and len(written) > 1:
            yield self.finding_in(
                subject, rendering, written[1].start(), "repeated", token=written[1][0], count=len(written)
            )
