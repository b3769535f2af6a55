from chattmpl.lint.rule import Findings, Fixes, LintContext, Quoted, Rule, TemplateDiagnostic
from chattmpl.lint.tag_edits import removal


class Unused(Rule):
    """An unused macro or variable.

    Reports macros that are never called, and variables that are set but never read.

    ## Why is this bad?

    Either something was forgotten, such as the call of the macro, or the code can be removed.
    """

    example = "{% set loop_messages = messages[1:] %}{% for m in messages %}{{ m.content }}{% endfor %}"
    use_instead = "{% set loop_messages = messages[1:] %}{% for m in loop_messages %}{{ m.content }}{% endfor %}"
    severity = "info"
    message = {"macro": "the macro {name} is never called", "variable": "{name} is set but never read"}
    hint = {"macro": "call it, or remove it", "variable": "read it, or remove it"}

    def check(self, subject: LintContext) -> Findings:
        read = subject.tree.read
        for block in subject.tree.blocks("macro"):
            name = block.opening.target
            if name is not None and name.text not in read:
                yield self.finding(subject.word(name), "macro", name=Quoted(name.text))
        seen: set[str] = set()
        for node in subject.tree.assigned:
            if node.name not in read and node.name not in seen and not node.name.startswith("_"):
                seen.add(node.name)
                yield self.finding(subject.word(node), "variable", name=Quoted(node.name))

    def fix(self, subject: LintContext, finding: TemplateDiagnostic) -> Fixes:
        """Remove the macro or the assignment."""
        for tag in subject.tree.tags:
            if tag.name in ("set", "macro") and tag.start <= finding.place.start < tag.end:
                yield removal(subject.tree, tag.block or tag)
