"""CT311."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chattmpl.lint.diagnostic import Diagnostic
from chattmpl.lint.rule import Rule
from chattmpl.lint.stops import shown
from chattmpl.lint.subject import Subject

_PYTHON = re.compile(r"\{'(?:type|name|tusk|function|id)': ")


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
    law = "portable"
    probes = True

    def check(self, subject: Subject) -> Iterator[Diagnostic]:
        """The findings in one template."""
        for name in ("tools", "calls"):
            rendering = subject.probe.render(name)
            match = _PYTHON.search(rendering.text) if rendering is not None else None
            if rendering is not None and match is not None:
                yield self.finding(
                    subject.blame(rendering, match.start()),
                    f"this is printed as Python prints a dict, {shown(rendering.text[match.start() :], 40)}",
                    "write … | tojson",
                    counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
                )
