import json
import re

from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule

_OBJECT = re.compile(r"\{\s*\"(?:name|function|tool_name|type|id)\"\s*:")
_TOOL = "find_walrus"


class CallNotJson(Rule):
    """A tool call is written as invalid JSON.

    Renders tool calls with several kinds of arguments, and reports those that begin like a JSON object, with
    `{"name":`, but cannot be parsed as one.

    ## Why is this bad?

    The model learns to write calls that no parser can read, so each of its calls is lost.
    """

    example = "{{ '{\"name\": \"' ~ call.function.name ~ '\", \"arguments\": ' ~ call.function.arguments ~ '}' }}"
    use_instead = (
        "{{ '{\"name\": \"' ~ call.function.name ~ '\", \"arguments\": ' ~ (call.function.arguments | tojson) ~ '}' }}"
    )
    severity = "warning"
    message = "a tool call begins like JSON but is not valid JSON: {text}"
    hint = "write names and arguments with tojson, and close each brace"
    law = "roundtrip"

    def check(self, subject: LintContext) -> Findings:
        for name in ("calls", "values"):
            rendering = subject.probe.render(name)
            if rendering is None:
                continue
            call = rendering.text.find(_TOOL, max(rendering.text.find("Question quince"), 0))
            openings = [match.start() for match in _OBJECT.finditer(rendering.text, 0, max(call, 0))]
            # Only keys may be between the brace and the tool's name; otherwise the brace belongs to something else.
            if not openings or "}" in rendering.text[openings[-1] : call]:
                continue
            try:
                json.JSONDecoder().raw_decode(rendering.text, openings[-1])
            except ValueError:
                yield self.finding_in(subject, rendering, openings[-1], text=Quoted(rendering.text[openings[-1] :], 80))
                return
