from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule

_PRINTED = r"\{\{[^{}]*\bbos_token\b"


class BosNotFirst(Rule):
    """The BOS token is not at the start of the text.

    Renders conversations with and without a system message, and reports a `{{ bos_token }}` with other text before it.

    This is a warning if the template prints `bos_token`, but not in any conversation.

    ## Why is this bad?

    A BOS token tells the model that a text begins here. Many models ignore the text before it, and have never seen a
    text without it.
    """

    example = "{% for m in messages %}{% if loop.index == 0 %}{{ bos_token }}{% endif %}{{ m.content }}{% endfor %}"
    use_instead = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"
    severity = "error"
    message = {
        "unreached": "the template prints bos_token, but not in any conversation",
        "not-first": "the BOS token {token} is not first: {text} is before it",
    }
    hint = {
        "unreached": "write it first, in every conversation: {{ bos_token }}",
        "not-first": "write it first: {{ bos_token }}",
    }
    law = "single-bos"
    per_mode = True

    def check(self, subject: LintContext) -> Findings:
        bos, printed = subject.template.tokens.get("bos_token"), subject.first(_PRINTED)
        own = any(name.name == "bos_token" for name in subject.tree.assigned)
        # A variable that the template sets itself may be something else.
        if not bos or own or printed == subject.top() or bos == subject.template.tokens.get("eos_token"):
            return
        renderings = [subject.probe.render(name) for name in ("turn", "turns", "system", "calls")]
        if all(rendering is not None and bos not in rendering.text for rendering in renderings):
            yield self.finding(printed, "unreached", severity="warning")
        for rendering in renderings:
            before = "" if rendering is None else rendering.text[: max(rendering.text.find(bos), 0)]
            if rendering is not None and before.strip():
                yield self.finding_in(
                    subject, rendering, len(before) - len(before.lstrip()), "not-first", token=bos, text=Quoted(before)
                )
                return
