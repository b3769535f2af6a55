import re

from chattmpl.lint.rule import Edit, Findings, Fixes, LintContext, Rule, TemplateDiagnostic
from chattmpl.lint.tag_edits import in_text


class TagSpelling(Rule):
    """A generation tag is spelled in a way that other software does not recognize.

    Reports generation tags with a plus sign (`{%+ generation %}`). This is an error if transformers recognizes no tag
    of the template.

    ## Why is this bad?

    transformers searches for the tag with a regular expression that allows `-` and spaces but not `+`. If it finds no
    tag, it refuses to compute masks, or warns and returns empty ones. @huggingface/jinja removes the tags with a
    similar expression, and fails on the remaining ones.
    """

    example = "{%+ generation %}{{ message.content }}{% endgeneration %}"
    use_instead = "{% generation %}{{ message.content }}{% endgeneration %}"
    severity = "warning"
    message = "trainers that search the template for generation tags do not recognize one with a plus sign"
    hint = "write {% {tag} %}; to keep a line break, put something other than a tag next to it"
    explains = ("CT113",)

    def check(self, subject: LintContext) -> Findings:
        found = any("+" not in (block.opening.left, block.opening.right) for block in subject.generation)
        for block in subject.generation:
            for tag in (block.opening, block.closing):
                if "+" in (tag.left, tag.right):
                    yield self.finding(subject.place(tag), severity="warning" if found else "error", tag=tag.name)

    def fix(self, subject: LintContext, finding: TemplateDiagnostic) -> Fixes:
        """Remove the plus signs, and write the white space that they kept as a constant."""
        text, start, end = subject.source.text, finding.place.start, finding.place.end
        plain = re.sub(r"\+(?=%\}$)|(?<=^\{%)\+", "", text[start:end])
        yield [Edit(start, end, plain)]
        left, right = text[:start] if text[start + 2] == "+" else "", text[end:] if text[end - 3] == "+" else ""
        yield in_text(start, left, right, plain, end)
