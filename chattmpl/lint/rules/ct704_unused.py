"""CT704."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from jinja2 import nodes

from chattmpl.diagnostic import Quoted, TemplateDiagnostic
from chattmpl.lint.context import LintContext
from chattmpl.lint.pieces import block_end, pieces, removal
from chattmpl.lint.rule import Rule
from chattmpl.syntax.edits import Edit


class Unused(Rule):
    """An unused macro or variable.

    ## What it does

    Reports macros that are never called, and variables that are set but never read.

    ## Why is this bad?

    Either something was forgotten, such as the call of the macro, or the code can be removed.

    ## Example

    ```jinja
    {% set loop_messages = messages[1:] %}{% for m in messages %}{{ m.content }}{% endfor %}
    ```

    ## Use instead

    ```jinja
    {% set loop_messages = messages[1:] %}{% for m in loop_messages %}{{ m.content }}{% endfor %}
    ```
    """

    code = "CT704"
    name = "unused"
    severity = "info"
    message = {
        "macro": "the macro {name} is never called",
        "variable": "{name} is set but never read",
    }
    hint = {
        "macro": "call it, or remove it",
        "variable": "read it, or remove it",
    }

    def check(self, subject: LintContext) -> Iterator[TemplateDiagnostic]:
        """Yield the findings in one template."""
        read = {node.name for node in subject.nodes(nodes.Name) if node.ctx == "load"}
        for macro in subject.nodes(nodes.Macro):
            if macro.name not in read:
                yield self.finding(
                    subject.word(macro, macro.name),
                    "macro",
                    name=Quoted(macro.name),
                )
        seen: set[str] = set()
        for name, node in subject.assigned:
            if name not in read and name not in seen and not name.startswith("_"):
                seen.add(name)
                yield self.finding(subject.word(node, name), "variable", name=Quoted(name))

    def fix(self, subject: LintContext, finding: TemplateDiagnostic) -> Iterator[Sequence[Edit]]:
        """Remove it."""
        given, source = pieces(subject), subject.source.text
        for index, piece in enumerate(given):
            if piece.name not in ("set", "macro") or not piece.start <= finding.place.start < piece.end:
                continue
            if not piece.opens:
                yield removal(source, given, index)
            elif (last := block_end(given, index)) is not None:
                whole = replace(piece, end=given[last].end)
                yield removal(source, [*given[:index], whole, *given[last + 1 :]], index)
