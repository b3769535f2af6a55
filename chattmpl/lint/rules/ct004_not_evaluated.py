"""CT004."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import Severity, TemplateDiagnostic
from chattmpl.errors import ChatTmplError
from chattmpl.lint.context import Subject
from chattmpl.lint.conversations import TITLES
from chattmpl.lint.rule import Rule


class NotEvaluated(Rule):
    """The template raises on a conversation that it was probed with.

    ## What it does

    Rules render small conversations. Where the template raises on one, what the rules would have found there is not
    known, and this says so. It is a warning where the conversation is a mere question and answer.

    ## Why is this bad?

    Not evaluated is not the same as fine. A refusal by `raise_exception` may be meant; an undefined variable is not.

    ## Example

    ```jinja
    {% for message in messages %}{{ message.content + message.suffix }}{% endfor %}
    ```

    ## Use instead

    ```jinja
    {% for message in messages %}{{ message.content + (message.suffix or '') }}{% endfor %}
    ```
    """

    code = "CT004"
    name = "not-evaluated"
    severity = "info"

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """Yield nothing: `failed` makes the findings, when all conversations were rendered."""
        yield from ()

    def failed(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
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
            message = f"not evaluated with {titles}: {errors[key].message}"
            hint = "what the rules would find there is not known; if the template is to refuse this, all is well"
            place = errors[key].place or subject.top()
            severity: Severity = "warning" if "turn" in names else "info"
            yield self.finding(place, message, hint, severity=severity, conversations=names)

    def crashed(self, subject: Subject, code: str, error: Exception) -> TemplateDiagnostic:
        """Return the finding for a rule that raised."""
        what = " ".join(str(error).split())[:200]
        message = f"{code} was not evaluated, by a bug in chattmpl: {type(error).__name__}: {what}"
        return self.finding(subject.top(), message, "please report it, with the template", code=code)
