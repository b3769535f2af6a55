import re

from chattmpl.lint.rule import Edit, Findings, Fixes, LintContext, Rule, TemplateDiagnostic

_COMMENTED = re.compile(r"\{#(-?)\s*\{%[-+]?\s*((?:end)?generation)\s*[-+]?%\}\s*(-?)#\}")
_TAG = re.compile(r"\{%[-+]?\s*generation\s*[-+]?%\}")


class TagsInComment(Rule):
    """The only generation tags are in a comment.

    Reports comments that contain a generation tag, in a template without real ones.

    ## Why is this bad?

    transformers and trl search the template's text for the tag. They find the one in the comment and assume that masks
    can be computed. The masks are all zeros, without a warning, and nothing is trained.
    """

    example = "{# {% generation %} #}{{ message.content }}{# {% endgeneration %} #}"
    use_instead = "{% generation %}{{ message.content }}{% endgeneration %}"
    severity = "error"
    message = "the generation tags are in a comment, where trainers find them but Jinja ignores them"
    hint = "move the tags out of the comment, or remove them"
    law = "sampled"

    def check(self, subject: LintContext) -> Findings:
        if subject.generation:
            return
        for comment in subject.comments:
            match = _TAG.search(comment.value)
            if match is not None:
                start = subject.source.text.index(match[0], comment.start)
                yield self.finding(subject.at(start, len(match[0])))
                return

    fix_spans = "grow"

    def fix(self, subject: LintContext, finding: TemplateDiagnostic) -> Fixes:
        """Move the tags out of their comments, if each has its own comment."""
        edits = []
        for match in _COMMENTED.finditer(subject.source.text):
            left, name, right = match.groups()
            edits.append(Edit(match.start(), match.end(), f"{{%{left} {name} {right}%}}"))
        if edits:
            yield edits
