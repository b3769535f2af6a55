import re

from chattmpl.lint.rule import Findings, LintContext, Rule

_OPENING = re.compile(r"<([A-Za-z_]\w*)>")


class SectionUnclosed(Rule):
    """A section of an answer or a tool result opens but does not close.

    Renders reasoning, tool calls and results, and reports a tag such as `<tool_call>` that opens more often than it
    closes after the question, if the template contains its closing tag.

    ## Why is this bad?

    Parsers do not find the end of the section, so the text after it, sometimes the answer itself, is read as part of a
    call or of the reasoning. A model that was trained on it never writes the end.
    """

    example = r"<tool_call>\n{{ call.function | tojson }}\n{{- '<|im_end|>' }}"
    use_instead = r"<tool_call>\n{{ call.function | tojson }}\n</tool_call>{{- '<|im_end|>' }}"
    severity = "warning"
    message = "{opening} opens a section that {closing} does not close"
    hint = "write {closing} at its end"
    law = "roundtrip"
    per_mode = True

    def check(self, subject: LintContext) -> Findings:
        own = subject.source.text
        for name in ("calls", "reasoning", "parallel"):
            rendering = subject.probe.render(name)
            start = -1 if rendering is None else rendering.text.find("Question quince")
            if rendering is None or start < 0:
                continue
            text = rendering.text[start:]
            for match in _OPENING.finditer(text):
                closing = f"</{match[1]}>"
                if closing in own and text.count(match[0]) > text.count(closing):
                    yield self.finding_in(subject, rendering, start + match.start(), opening=match[0], closing=closing)
                    return
