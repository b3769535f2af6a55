"""CT401."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jinja2 import nodes

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import LintContext
from chattmpl.lint.pieces import pieces
from chattmpl.lint.rule import Rule
from chattmpl.syntax.edits import Edit

_OPTIONS = frozenset({"ensure_ascii", "separators", "sort_keys"})
_DEFAULTS = ("ensure_ascii=false", "sort_keys=false", "indent=none", "separators=none", "separators=(', ',': ')")


def _without_defaults(tokens: Sequence[tuple[int, str, str]]) -> Iterator[Edit]:
    """Yield edits that remove options of tojson with their default value."""
    for index, (_, _, value) in enumerate(tokens[:-1]):
        if value != "tojson" or tokens[index + 1][2] != "(":
            continue
        options: list[list[tuple[int, str, str]]] = [[]]
        depth, at = 1, index + 2
        while at < len(tokens) and depth:
            word = tokens[at][2]
            depth += (word in "([{") - (word in ")]}") if tokens[at][1] == "operator" else 0
            if depth == 1 and word == ",":
                options.append([])
            elif depth:
                options[-1].append(tokens[at])
            at += 1
        kept = [option for option in options if option and _spelt(option) not in _DEFAULTS]
        if depth == 0 and len(kept) < len(options):
            words = ", ".join(f"{option[0][2]}={_spelt(option[2:])}" for option in kept if len(option) > 2)
            yield Edit(tokens[index + 1][0], tokens[at - 1][0] + 1, f"({words})" if words else "")


def _spelt(tokens: Sequence[tuple[int, str, str]]) -> str:
    spelt = "".join(value if kind == "string" else value.lower() for _, kind, value in tokens)
    return spelt.replace('"', "'")


class TojsonOptions(Rule):
    """An option of `tojson` that other engines do not support.

    ## What it does

    Reports `tojson` with `ensure_ascii`, `separators` or `sort_keys`.

    ## Why is this bad?

    Only the `tojson` of transformers has these options. minijinja, which several servers use, rejects `ensure_ascii`
    and `separators`: the template that trained the model cannot serve it.

    ## Example

    ```jinja
    {{ tool | tojson(ensure_ascii=False) }}
    ```

    ## Use instead

    ```jinja
    {{ tool | tojson }}
    ```
    """

    code = "CT401"
    name = "tojson-options"
    severity = "warning"
    message = "minijinja rejects tojson({option}=…)"
    hint = "remove the option; ensure_ascii=False is already the default of transformers"

    def check(self, subject: LintContext) -> Iterator[TemplateDiagnostic]:
        """Yield the findings in one template."""
        for node in subject.nodes(nodes.Filter):
            options: list[str] = [str(option.key) for option in node.kwargs if option.key in _OPTIONS]
            if options and node.name == "tojson":
                yield self.finding(
                    subject.word(node, options[0]),
                    option=options[0],
                )
                return

    def fix(self, subject: LintContext, finding: TemplateDiagnostic) -> Iterator[Sequence[Edit]]:
        """Remove the options with their default value."""
        edits = [edit for piece in pieces(subject) for edit in _without_defaults(piece.tokens)]
        if edits:
            yield edits
