"""CT401."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes

from chattmpl.lint.diagnostic import Diagnostic
from chattmpl.lint.rule import Rule
from chattmpl.lint.subject import Subject

_OPTIONS = frozenset({"ensure_ascii", "separators", "sort_keys"})


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

    def check(self, subject: Subject) -> Iterator[Diagnostic]:
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
