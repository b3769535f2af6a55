"""CT313."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule


class ArgumentsEncodedTwice(Rule):
    r"""Arguments of a tool call that are JSON already are encoded once more.

    ## What it does

    Renders tool calls whose arguments are an object, and a string of JSON as OpenAI's API gives them, and reports
    escaped quotes; for such strings alone it is for information.

    ## Why is this bad?

    The call becomes `"arguments": "{\\"tusk\\": …}"`, a string in place of an object. The model learns it, and parsers
    hand a string to the tool.

    ## Example

    ```jinja
    {{ call.function.arguments | tojson }}
    ```

    ## Use instead

    ```jinja
    {{ call.function.arguments if call.function.arguments is string else call.function.arguments | tojson }}
    ```
    """

    code = "CT313"
    name = "arguments-encoded-twice"
    severity = "info"
    explains = ("CT317",)
    probes = True

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        for name, severity in (("calls", "warning"), ("text_arguments", "info")):
            rendering = subject.probe.render(name)
            start = rendering.text.find(r"{\"tusk\"") if rendering is not None else -1
            if rendering is None or start < 0:
                continue
            what = "arguments" if name == "calls" else "arguments that are a string of JSON"
            yield self.finding(
                subject.blame(rendering, start),
                f"{what} are encoded once more, with their quotes escaped",
                "write strings as they are: {{ arguments if arguments is string else arguments | tojson }}",
                severity=severity,  # type: ignore[arg-type]
                counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
            )
            return
