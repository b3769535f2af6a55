from chattmpl.lint.rule import Findings, LintContext, Rule


class ArgumentsEncodedTwice(Rule):
    r"""The arguments of a tool call are encoded as JSON twice.

    Renders tool calls whose arguments are an object, or a JSON string as in OpenAI's API, and reports escaped quotes.
    This is a note if only strings are affected.

    ## Why is this bad?

    The call becomes `"arguments": "{\\"tusk\\": …}"`, a string instead of an object. The model learns it, and parsers
    pass a string to the tool.
    """

    example = "{{ call.function.arguments | tojson }}"
    use_instead = (
        "{{ call.function.arguments if call.function.arguments is string else call.function.arguments | tojson }}"
    )
    severity = "info"
    message = "{what} are encoded a second time, with their quotes escaped"
    hint = "write strings unchanged: {{ arguments if arguments is string else arguments | tojson }}"
    explains = ("CT317",)

    def check(self, subject: LintContext) -> Findings:
        for name, severity in (("calls", "warning"), ("text_arguments", "info")):
            rendering = subject.probe.render(name)
            start = rendering.text.find(r"{\"tusk\"") if rendering is not None else -1
            if rendering is None or start < 0:
                continue
            what = "arguments" if name == "calls" else "arguments that are a JSON string"
            yield self.finding_in(subject, rendering, start, what=what, severity=severity)
            return
