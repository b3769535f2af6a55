import re
from collections.abc import Iterator

from chattmpl.lint.rule import Edit, Findings, Fixes, LintContext, Rule, TemplateDiagnostic
from chattmpl.syntax.nodes import Filter, Keyword

_OPTIONS = frozenset({"ensure_ascii", "separators", "sort_keys"})
_DEFAULTS = ("ensure_ascii=false", "sort_keys=false", "indent=none", "separators=none", "separators=(', ',': ')")


def _without_defaults(node: Filter) -> Iterator[Edit]:
    """Yield edits that remove options of tojson with their default value."""
    kept = [argument for argument in node.arguments if _spelt(argument.text) not in _DEFAULTS]
    if node.name == "tojson" and len(kept) < len(node.arguments):
        words = ", ".join(
            f"{argument.name}={_spelt(argument.value.text)}" if isinstance(argument, Keyword) else argument.text
            for argument in kept
        )
        yield Edit(node.name_start + len(node.name), node.end, f"({words})" if words else "")


def _spelt(text: str) -> str:
    """Return an option without spaces and with single quotes; the text in quotes stays as it is."""
    parts = re.split(r"""('[^']*'|"[^"]*")""", text)
    spelt = "".join(part if index % 2 else "".join(part.lower().split()) for index, part in enumerate(parts))
    return spelt.replace('"', "'")


class TojsonOptions(Rule):
    """An option of `tojson` that other engines do not support.

    Reports `tojson` with `ensure_ascii`, `separators` or `sort_keys`.

    ## Why is this bad?

    Only the `tojson` of transformers has these options. minijinja, which several servers use, rejects `ensure_ascii`
    and `separators`: the template that trained the model cannot serve it.
    """

    example = "{{ tool | tojson(ensure_ascii=False) }}"
    use_instead = "{{ tool | tojson }}"
    severity = "warning"
    message = "minijinja rejects tojson({option}=…)"
    hint = "remove the option; ensure_ascii=False is already the default of transformers"

    def check(self, subject: LintContext) -> Findings:
        for node in subject.tree.nodes(Filter):
            options = [one for one in node.arguments if isinstance(one, Keyword) and one.name in _OPTIONS]
            if options and node.name == "tojson":
                name = options[0].name
                yield self.finding(subject.at(options[0].start, len(name)), option=name)
                return

    def fix(self, subject: LintContext, finding: TemplateDiagnostic) -> Fixes:
        """Remove the options with their default value."""
        edits = [edit for node in subject.tree.nodes(Filter) for edit in _without_defaults(node)]
        if edits:
            yield edits
