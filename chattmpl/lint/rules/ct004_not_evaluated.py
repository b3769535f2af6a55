from chattmpl.errors import ChatTmplError
from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule, Severity, TemplateDiagnostic
from chattmpl.probing.corpus import TITLES


class RuleNotEvaluated(Rule):
    """The template raises an exception on a conversation that rules render.

    Rules render small conversations. If the template raises an exception on one, the rules cannot be evaluated with
    it. This is a warning if the conversation is just a question and an answer.

    ## Why is this bad?

    A rule that was not evaluated may hide a defect. A refusal by `raise_exception` may be intended; an undefined
    variable is not.
    """

    example = "{% for message in messages %}{{ message.content + message.suffix }}{% endfor %}"
    use_instead = "{% for message in messages %}{{ message.content + (message.suffix or '') }}{% endfor %}"
    severity = "info"
    message = {
        "raised": "not evaluated with {titles}: {problem}",
        "crashed": "{code} was not evaluated because of a bug in chattmpl: {problem}",
    }
    hint = {
        "raised": "expected if the template is meant to reject this input; otherwise allow for it in the template",
        "crashed": "please report it, with the template",
    }

    def check(self, subject: LintContext) -> Findings:
        """Yield nothing: `failed` makes the findings, when all conversations were rendered."""
        yield from ()

    def failed(self, subject: LintContext) -> Findings:
        """Yield one finding for each cause of a conversation that the template did not render."""
        causes: dict[tuple[object, ...], list[str]] = {}
        errors: dict[tuple[object, ...], ChatTmplError] = {}
        # In the order of the conversations, whichever rule was the first to ask for one.
        for name in filter(subject.probe.failures.get, TITLES):
            error = subject.probe.failures[name]
            key: tuple[object, ...] = ((error.place or subject.top()).start, *error.cause)
            causes.setdefault(key, []).append(name)
            errors[key] = error
        for key, names in causes.items():
            titles = ", ".join(TITLES[name] for name in names)
            place = errors[key].place or subject.top()
            severity: Severity = "warning" if "turn" in names else "info"
            words = {"titles": titles, "problem": errors[key].message}
            kind, reason, complaint = errors[key].cause
            yield self.finding(
                place,
                "raised",
                severity=severity,
                words=words,
                conversations=names,
                error=kind,
                reason=reason,
                complaint=Quoted(complaint, 200),
            )

    def crashed(self, subject: LintContext, code: str, error: Exception) -> TemplateDiagnostic:
        """Return the finding for a rule that raised."""
        what = " ".join(str(error).split())[:200]
        words = {"problem": f"{type(error).__name__}: {what}"}
        return self.finding(subject.top(), "crashed", words=words, code=code)
