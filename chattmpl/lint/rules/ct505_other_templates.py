from chattmpl.lint.rule import Findings, LintContext, Rule


class OtherTemplates(Rule):
    """The template loads another template.

    Reports `{% include %}`, `{% import %}`, `{% from … import %}` and `{% extends %}`.

    ## Why is this bad?

    A chat template is a single text without a loader, so the tag raises an exception when it is reached. With a loader
    it would read files.
    """

    example = "{% include 'header.jinja' %}{{ message.content }}"
    use_instead = "{% macro header() %}…{% endmacro %}{{ header() }}{{ message.content }}"
    severity = "error"
    message = "{% {tag} %} loads another template, but chat templates have no loader"
    hint = "put the text into this template, as a macro"
    explains = ("CT004",)

    def check(self, subject: LintContext) -> Findings:
        for tag in subject.tree.tags:
            if tag.name in ("include", "import", "from", "extends"):
                yield self.finding(subject.place(tag), tag=tag.name)
