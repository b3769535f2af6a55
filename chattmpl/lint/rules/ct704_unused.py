"""CT704."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from jinja2 import nodes

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.pieces import block_end, pieces, removal
from chattmpl.lint.rule import Rule
from chattmpl.syntax.edits import Edit


class Unused(Rule):
    """A macro or a variable that nothing uses.

    ## What it does

    Reports macros that are never called, and variables that are set and never read.

    ## Why is this bad?

    Either something was forgotten, such as the call of the macro, or the lines can go.

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

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        read = {node.name for node in subject.nodes(nodes.Name) if node.ctx == "load"}
        for macro in subject.nodes(nodes.Macro):
            if macro.name not in read:
                yield self.finding(
                    subject.word(macro, macro.name),
                    f"the macro {macro.name!r} is never called",
                    "call it, or remove it",
                )
        seen: set[str] = set()
        for name, node in subject.assigned:
            if name not in read and name not in seen and not name.startswith("_"):
                seen.add(name)
                yield self.finding(subject.word(node, name), f"{name!r} is set and never read", "read it, or remove it")

    def fix(self, subject: Subject, finding: TemplateDiagnostic) -> Iterator[Sequence[Edit]]:
        """Take it out."""
        given, source = pieces(subject), subject.source.text
        for index, piece in enumerate(given):
            if piece.name not in ("set", "macro") or not piece.start <= finding.place.start < piece.end:
                continue
            if not piece.opens:
                yield removal(source, given, index)
            elif (last := block_end(given, index)) is not None:
                whole = replace(piece, end=given[last].end)
                yield removal(source, [*given[:index], whole, *given[last + 1 :]], index)
