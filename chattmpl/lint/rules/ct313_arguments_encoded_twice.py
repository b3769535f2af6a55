"""CT313."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.lint.diagnostic import Diagnostic
from chattmpl.lint.rule import Rule
from chattmpl.lint.subject import Subject


class ArgumentsEncodedTwice(Rule):
    r"""Arguments of a tool call that are JSON already are encoded once more.

    ## What it does

    Renders a tool call whose arguments are a string of JSON, as OpenAI's API gives them, and reports escaped quotes.

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
    probes = True

    def check(self, subject: Subject) -> Iterator[Diagnostic]:
        """The findings in one template."""
        rendering = subject.probe.render("text_arguments")
        start = rendering.text.find(r"{\"tusk\"") if rendering is not None else -1
        if rendering is not None and start >= 0:
            yield self.finding(
                subject.blame(rendering, start),
                "arguments that are a string of JSON are encoded once more, with their quotes escaped",
                "write strings as they are: {{ arguments if arguments is string else arguments | tojson }}",
                counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
            )
