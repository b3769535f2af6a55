"""CT401."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jinja2 import nodes

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.pieces import pieces
from chattmpl.lint.rule import Rule
from chattmpl.syntax.edits import Edit

_OPTIONS = frozenset({"ensure_ascii", "separators", "sort_keys"})
_DEFAULTS = ("ensure_ascii=false", "sort_keys=false", "indent=none", "separators=none", "separators=(', ',': ')")


def _without_defaults(tokens: Sequence[tuple[int, str, str]]) -> Iterator[Edit]:
    """Edits that drop options of tojson which say what is the default."""
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
    """An option of tojson that other engines do not know.

    ## What it does

    Reports `tojson` with `ensure_ascii`, `separators` or `sort_keys`.

    ## Why is this bad?

    These are options of the `tojson` that transformers brings. minijinja, which serves templates in several engines,
    refuses `ensure_ascii` and `separators`: the template that trained the model cannot serve it.

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

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        for node in subject.nodes(nodes.Filter):
            options: list[str] = [str(option.key) for option in node.kwargs if option.key in _OPTIONS]
            if options and node.name == "tojson":
                yield self.finding(
                    subject.word(node, options[0]),
                    f"tojson({options[0]}=…) is refused by minijinja",
                    "drop the option; transformers' own default is ensure_ascii=False already",
                )
                return

    def fix(self, subject: Subject, finding: TemplateDiagnostic) -> Iterator[Sequence[Edit]]:
        """Drop the options that say what is the default."""
        edits = [edit for piece in pieces(subject) for edit in _without_defaults(piece.tokens)]
        if edits:
            yield edits
