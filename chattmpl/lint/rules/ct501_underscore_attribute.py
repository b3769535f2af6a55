import re

from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule
from chattmpl.syntax.nodes import Attribute, Call, Constant, Expression, Filter, Keyword, Name, Subscript

_IN_FORMAT = re.compile(r"\{[^{}]*?[.\[](_\w+)")


def _text(node: Expression) -> str | None:
    """Return the text of a constant, also of one that is concatenated from parts."""
    parts = [part.value if isinstance(part, Constant) else None for part in node.operands]
    texts = [part for part in parts if isinstance(part, str)]
    return "".join(texts) if len(texts) == len(parts) else None


def _reached(node: Expression) -> str | None:
    name = node.key
    match node:
        case Subscript():
            name = name or _text(node.index)
        case Call(function=Attribute() as function) if function.name.startswith("format"):
            found = _IN_FORMAT.search(_text(function.value) or "")
            return found[1] if found else None
        case Filter(name="attr" | "map"):
            values = [option.value if isinstance(option, Keyword) else option for option in node.arguments]
            name = next(filter(None, map(_text, values)), None)
        case Name():
            name = node.name if node.name.startswith("__") else None
    return name if name is not None and name.startswith("_") else None


class UnderscoreAttribute(Rule):
    """An attribute or a key that begins with an underscore.

    Reports `x.__class__`, `x['__globals__']`, `x | attr('_y')`, `x['_' ~ 'y']`, `'{0._y}'.format(x)` and similar forms.

    ## Why is this bad?

    This is how templates break out of a sandbox: from any object to its class, its module, and the machine. No chat
    template needs it. Engines without a good sandbox have executed such templates from model files.
    """

    example = "{{ messages.__class__.__init__ }}"
    use_instead = "{{ messages | length }}"
    severity = "error"
    message = "{name} reaches into the engine, which is how templates break out of their sandbox"
    hint = "remove it; do not serve a model with this template before you know who wrote it and why"
    explains = ("CT202", "CT004", "CT502")

    def check(self, subject: LintContext) -> Findings:
        for node in subject.tree.everything:
            name = _reached(node) if isinstance(node, Expression) else None
            if name is not None:
                yield self.finding(subject.word(node), name=Quoted(name))
