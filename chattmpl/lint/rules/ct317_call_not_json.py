"""CT317."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule
from chattmpl.lint.stops import shown

_OBJECT = re.compile(r"\{\s*\"(?:name|function|tool_name|type|id)\"\s*:")
_TOOL = "find_walrus"


class CallNotJson(Rule):
    r"""A tool call that is written as JSON is no JSON.

    ## What it does

    Renders tool calls with several kinds of arguments, and reports those that begin as a JSON object does, with
    `{"name":`, and cannot be parsed as one.

    ## Why is this bad?

    The model learns to write what no parser reads: each of its calls is lost.

    ## Example

    ```jinja
    {{ '{"name": "' ~ call.function.name ~ '", "arguments": ' ~ call.function.arguments ~ '}' }}
    ```

    ## Use instead

    ```jinja
    {{ '{"name": "' ~ call.function.name ~ '", "arguments": ' ~ (call.function.arguments | tojson) ~ '}' }}
    ```
    """

    code = "CT317"
    name = "call-not-json"
    severity = "warning"
    law = "roundtrip"
    probes = True

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        for name in ("calls", "values"):
            rendering = subject.probe.render(name)
            if rendering is None:
                continue
            call = rendering.text.find(_TOOL, max(rendering.text.find("Question quince"), 0))
            openings = [match.start() for match in _OBJECT.finditer(rendering.text, 0, max(call, 0))]
            # Between the brace and the name of the tool nothing but keys: else it belongs to something else.
            if not openings or "}" in rendering.text[openings[-1] : call]:
                continue
            try:
                json.JSONDecoder().raw_decode(rendering.text, openings[-1])
            except ValueError:
                yield self.finding(
                    subject.blame(rendering, openings[-1]),
                    f"a tool call begins like JSON and is none: {shown(rendering.text[openings[-1] :], 80)}",
                    "write names and arguments with tojson, and close each brace",
                    counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
                )
                return
