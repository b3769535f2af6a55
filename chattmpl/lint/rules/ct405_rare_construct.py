from chattmpl.lint.rule import Findings, LintContext, Rule
from chattmpl.syntax.items import Raw, Tag
from chattmpl.syntax.nodes import Attribute, Binary, Call, Comparison, Constant, Filter, Name, Node, Test


def _construct(node: Node) -> tuple[str, str] | None:
    """Return the kind of rare construct that a node is, and its description."""
    match node:
        case Raw():
            return "raw", "{% raw %}"
        case Tag(name="filter" | "call" | "with" | "do" | "block" | "autoescape"):
            return node.name, f"{{% {node.name} %}}"
        case Tag(name="for") if node.tokens[-1][1:] == ("name", "recursive"):
            return "recursive", "a recursive loop"
        case Filter(name="e" | "escape"):
            return "escape", f"the filter {node.name!r}"
        case Binary(operator="//"):
            return "//", "the operator //"
        case Binary(operator="%", left=Constant(value=str())):
            return "%", "formatting with %"
        case Comparison() if len(node.operators) > 1:
            return "chain", "a chain of comparisons (a < b < c)"
        case Call(function=Name(name="dict" | "cycler" | "joiner")):
            return "call", f"the function {node.function.text}()"
        case Call(function=Attribute(name="cycle" | "changed")):
            return "call", f"loop.{node.method}()"
        case Test(name="undefined"):
            return "undefined", "the test 'is undefined'"
    return None


class RareConstruct(Rule):
    """A Jinja construct that some engines lack.

    Reports `{% raw %}`, `{% filter %}`, `{% call %}`, `{% with %}`, `{% do %}`, `{% block %}`, the filters `e` and
    `escape`, `//`, formatting with `%`, recursive loops, chains of comparisons, `dict()`, `cycler()`, `joiner()`,
    `loop.cycle`, `loop.changed` and the test `undefined`. The first of each is reported.

    ## Why is this bad?

    @huggingface/jinja has no `raw`, `with`, `do`, `e` or `%`, llama.cpp no `//`, minijinja no formatting with `%`, and
    minja no `is undefined` (it has `is not defined`). In such an engine the template fails to parse.
    """

    example = "{{ '%s says' % message.role }}"
    use_instead = "{{ message.role ~ ' says' }}"
    severity = "info"
    message = "not every engine supports {construct}"
    hint = "use a simpler construct, or test every engine"

    def check(self, subject: LintContext) -> Findings:
        seen: set[str] = set()
        for node in subject.tree.everything:
            kind, construct = _construct(node) or ("", "")
            if kind and kind not in seen:
                seen.add(kind)
                yield self.finding(subject.word(node), construct=construct)
