"""CT311."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule
from chattmpl.lint.stops import shown

_PYTHON = re.compile(
    r"\{'(?:type|name|tusk|function|id|role|content|arguments)': |\['onyx', |['\"]wild['\"]: True|(?<!=)\bTrue\b"
)


class PrintedAsPython(Rule):
    """Tools or arguments are printed as Python prints a dict, not as JSON.

    ## What it does

    Renders tools and tool calls, and reports `{'name': …}` with single quotes, `True`, `False`.

    ## Why is this bad?

    Only Python prints so. Other engines print the same dict as JSON or not at all, parsers of tool calls expect JSON,
    and a model that was trained on it writes what no parser reads.

    ## Example

    ```jinja
    {{ tools }}
    ```

    ## Use instead

    ```jinja
    {{ tools | tojson }}
    ```
    """

    code = "CT311"
    name = "printed-as-python"
    severity = "warning"
    explains = ("CT317",)
    law = "portable"
    probes = True

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        own = any("True" in text for text in subject.literals)
        for name in ("tools", "calls", "values"):
            rendering = subject.probe.render(name)
            match = _PYTHON.search(rendering.text) if rendering is not None else None
            if match is not None and match[0] == "True" and own:
                continue
            if rendering is not None and "find_walrus(" in rendering.text and name != "tools":
                # Calls that are written as Python are meant to be Python.
                continue
            if rendering is not None and match is not None:
                yield self.finding(
                    subject.blame(rendering, match.start()),
                    f"this is printed as Python prints it, {shown(rendering.text[match.start() :], 40)}",
                    "write … | tojson",
                    counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
                )
