from chattmpl.lint.rule import Findings, LintContext, Rule


class LayoutInText(Rule):
    """The indentation of the template is written into the text.

    Reports white space between two tags that contains an indentation and is not trimmed. This is a warning inside a
    generation tag, and a note elsewhere.

    ## Why is this bad?

    Jinja trims the indentation before `{%`, but not before `{{`. The model reads, or is trained to write, the spaces
    before a text, and a change of the template's layout changes every rendering.
    """

    example = "{%- generation %}\n    {{ message.content }}\n{%- endgeneration %}"
    use_instead = "{%- generation %}\n    {{- message.content }}\n{%- endgeneration %}"
    severity = "info"
    message = {
        "trained": "the indentation of the template is trained",
        "written": "the indentation of the template is written into the text",
    }
    hint = "trim it: {{- … }}"

    def check(self, subject: LintContext) -> Findings:
        for offset, kind, value in subject.tokens:
            if kind != "data" or value.strip() or "  " not in value:
                continue
            trained = any(block.opening.end <= offset < block.closing.start for block in subject.generation)
            yield self.finding(
                subject.at(offset + len(value) - 1),
                "trained" if trained else "written",
                severity="warning" if trained else None,
            )
