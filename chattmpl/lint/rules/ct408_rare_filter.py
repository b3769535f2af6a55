from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule
from chattmpl.syntax.nodes import Filter, Test

_FILTERS = frozenset({
    "batch", "center", "count", "d", "filesizeformat", "forceescape", "format", "groupby", "max", "min", "pprint",
    "reject", "round", "select", "slice", "striptags", "sum", "truncate", "urlencode", "urlize", "wordcount",
    "wordwrap", "xmlattr"
})  # fmt: skip
_TESTS = frozenset({
    "divisibleby", "escaped", "filter", "float", "ge", "gt", "in", "le", "lt", "ne", "sameas", "test"
})  # fmt: skip
"""Filters and tests that @huggingface/jinja 0.5 rejects, found by trying each."""


class RareFilter(Rule):
    """A filter or a test that some engines lack.

    Reports filters (`round`, `sum`, `select`, `truncate`, …) and tests (`sameas`, `in`, `divisibleby`, …) of Jinja2
    that @huggingface/jinja rejects. The first use of each is reported.

    ## Why is this bad?

    The template fails in the browser, or wherever else that engine renders it. minijinja lacks some of them too.
    """

    example = "{{ (messages | map(attribute='content') | map('length')) | sum }}"
    use_instead = (
        "{% set ns = namespace(total=0) %}\n"
        "{% for m in messages %}{% set ns.total = ns.total + (m.content | length) %}{% endfor %}{{ ns.total }}"
    )
    severity = "info"
    message = "@huggingface/jinja lacks the {filter} {name}"
    hint = "use a simpler construct, or test every engine"

    def check(self, subject: LintContext) -> Findings:
        seen: set[tuple[str, str]] = set()
        found: list[tuple[str, Filter | Test]] = [
            *(("filter", node) for node in subject.tree.nodes(Filter) if node.name in _FILTERS),
            *(("test", node) for node in subject.tree.nodes(Test) if node.name in _TESTS),
        ]
        for kind, node in found:
            if (kind, node.name) not in seen:
                seen.add((kind, node.name))
                yield self.finding(subject.word(node), filter=kind, name=Quoted(node.name))
