from chattmpl.lint.rule import Findings, LintContext, Rule

_WORDS = ("quince", "apricot", "Follow fig", "almond")
_EARLIER = 2
"""Messages before the second question."""
_WHAT = ("the first of two questions", "the first of two answers", "the second question", "the second answer")


class TextDropped(Rule):
    """A question or an answer is dropped.

    Renders two questions and two answers, and reports the first of them that the template does not write.

    ## Why is this bad?

    Text that is not rendered is neither read nor trained, and nothing reports its loss.
    """

    example = "{% for m in messages[:-1] %}{{ m.content }}{% endfor %}"
    use_instead = "{% for m in messages %}{{ m.content }}{% endfor %}"
    severity = "error"
    message = "{what} is silently dropped"
    hint = "render the content of every message, or refuse what cannot be rendered with raise_exception"
    explains = (
        "CT107",
        "CT112",
        "CT113",
        "CT203",
        "CT204",
        "CT205",
        "CT209",
        "CT303",
        "CT304",
        "CT306",
        "CT312",
        "CT316",
    )
    law = "lossless"
    per_mode = True

    def check(self, subject: LintContext) -> Findings:
        rendering = subject.probe.render("turns")
        if rendering is None:
            return
        for index, (word, what) in enumerate(zip(_WORDS, _WHAT, strict=True)):
            lost = any(path.startswith(f"messages[{index}].content") for path in rendering.lost)
            if lost and word not in rendering.text:
                role = "assistant" if index % 2 else "user"
                branch, loop = rf"['\"]{role}['\"]", r"for \w+ in \w*messages"
                yield self.finding(
                    # If the earlier message is written, the branch is not to blame.
                    subject.first(*((branch, loop) if index < _EARLIER else (loop, branch))),
                    what=what,
                    rendering=rendering,
                )
                return
