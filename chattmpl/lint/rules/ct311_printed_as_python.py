import re

from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule

_PYTHON = re.compile(
    r"\{'(?:type|name|tusk|function|id|role|content|arguments)': |\['onyx', |['\"]wild['\"]: True|(?<!=)\bTrue\b"
)


class PrintedAsPython(Rule):
    """Tools or arguments are printed as a Python dict, not as JSON.

    Renders tools and tool calls, and reports `{'name': …}` with single quotes, `True` and `False`.

    ## Why is this bad?

    Only Python prints dicts like this. Other engines print JSON or nothing, parsers of tool calls expect JSON, and a
    model that was trained on it writes calls that no parser reads.
    """

    example = "{{ tools }}"
    use_instead = "{{ tools | tojson }}"
    severity = "warning"
    message = "this is printed in Python's notation, not as JSON: {text}"
    hint = "write … | tojson"
    explains = ("CT317",)
    law = "portable"

    def check(self, subject: LintContext) -> Findings:
        own = any("True" in text for text in subject.program.literals)
        for name in ("tools", "calls", "values"):
            rendering = subject.probe.render(name)
            match = _PYTHON.search(rendering.text) if rendering is not None else None
            if match is not None and match[0] == "True" and own:
                continue
            if rendering is not None and "find_walrus(" in rendering.text and name != "tools":
                # Calls in Python syntax are meant to be Python.
                continue
            if rendering is not None and match is not None:
                yield self.finding_in(
                    subject, rendering, match.start(), text=Quoted(rendering.text[match.start() :], 40)
                )
