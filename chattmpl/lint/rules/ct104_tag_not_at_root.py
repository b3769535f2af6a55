from chattmpl.lint.rule import Findings, LintContext, Rule

_COLLECTING = frozenset({"macro", "call", "filter", "set"})


class TagNotAtRoot(Rule):
    """A generation tag is inside a macro, call, filter or set block.

    Reports generation tags inside `{% macro %}`, `{% call %}`, `{% filter %}` and `{% set %}…{% endset %}`.

    ## Why is this bad?

    transformers computes positions from the length of the text that the root of the template has written so far. The
    text of a macro or a captured block is written later, so the mask covers other characters: often the header
    instead of the answer.
    """

    example = "{% macro turn(m) %}{% generation %}{{ m.content }}{% endgeneration %}{% endmacro %}\n{{ turn(message) }}"
    use_instead = (
        "{% macro body(m) %}{{ m.content }}{% endmacro %}\n{% generation %}{{ body(message) }}{% endgeneration %}"
    )
    severity = "error"
    message = "a generation tag inside the {% {outer} %} of line {line} marks the wrong characters"
    hint = "move the tag to where the text is written: around the {{ … }} outside of it"

    def check(self, subject: LintContext) -> Findings:
        for block in subject.generation:
            outer = next((outer for outer in block.blocks if outer.name in _COLLECTING), None)
            if outer is not None:
                line, _ = subject.source.position(outer.start)
                yield self.finding(subject.place(block.opening), outer=outer.name, line=line)
