from chattmpl.lint.rule import Findings, LintContext, Rule


class ParallelCallsDropped(Rule):
    """Only one of several tool calls in a message is rendered.

    Renders a message with two tool calls, and reports templates that write only one of them.

    ## Why is this bad?

    One call is silently lost but its result is not, so the model is trained to read results of calls that it never
    made.
    """

    example = "{{ message.tool_calls[0].function | tojson }}"
    use_instead = "{% for call in message.tool_calls %}{{ call.function | tojson }}{% endfor %}"
    severity = "error"
    message = "the {which} of two tool calls in one message is silently dropped"
    hint = "loop over message.tool_calls, or refuse more than one with raise_exception"
    law = "lossless"
    loses = ("messages[].tool_calls",)

    def check(self, subject: LintContext) -> Findings:
        lost = {
            which: subject.probe.losing("parallel", f"messages[1].tool_calls[{index}].function.arguments", word)
            for index, (which, word) in enumerate((("first", "lefttusk"), ("second", "righttusk")))
        }
        which, rendering = next(((which, found) for which, found in lost.items() if found), ("", None))
        if rendering is None or all(lost.values()):
            return
        yield self.finding(subject.first(r"tool_calls\s*\[\s*0|\btool_calls\b"), rendering=rendering, which=which)
