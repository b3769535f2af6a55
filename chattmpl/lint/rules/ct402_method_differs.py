from chattmpl.lint.rule import Findings, LintContext, Rule
from chattmpl.syntax.nodes import Call, Tuple

_LACKED = frozenset({
    "casefold", "center", "count", "find", "index", "isalnum", "isalpha", "isdigit", "isspace", "join", "ljust",
    "partition", "removeprefix", "removesuffix", "rfind", "rjust", "rpartition", "rsplit", "splitlines",
    "swapcase", "zfill"
})  # fmt: skip
"""Methods of strings that @huggingface/jinja 0.5 lacks."""


def _difference(method: str, call: Call) -> str | None:
    if method in ("strip", "lstrip", "rstrip") and call.arguments:
        return f"{method}() with an argument: @huggingface/jinja ignores the argument and strips all white space"
    if method == "replace" and len(call.arguments) > 2:
        return "replace() with a count: llama.cpp does not support it"
    first = call.arguments[0].unwrapped if call.arguments else None
    if method in ("startswith", "endswith") and isinstance(first, Tuple):
        return f"{method}() with a tuple: llama.cpp does not support it"
    if method == "split" and not call.arguments:
        return "split() without an argument: minja does not support it"
    if method in _LACKED:
        return f"{method}(): @huggingface/jinja lacks it, and other engines may too"
    if method == "format":
        return "format(): engines not written in Python lack it"
    return None


class MethodDiffers(Rule):
    """A call of a string method that other engines lack or implement differently.

    Reports `strip`, `lstrip` and `rstrip` with an argument, `replace` with a count, `startswith` and `endswith` with a
    tuple, `split` without an argument, and methods that @huggingface/jinja lacks, such as `rsplit`, `partition`,
    `find`, `removeprefix` and `format`. The first of each is reported.

    ## Why is this bad?

    String methods come from Python, and other engines reimplement them. @huggingface/jinja ignores the argument of
    `strip` and so removes spaces that the training text has, llama.cpp supports neither a count nor a tuple, and
    minijinja has no `format`.
    """

    example = r"{{ message.content.lstrip('\n') }}"
    use_instead = "{{ message.content | trim }}"
    severity = "info"
    message = "{difference}"
    hint = "use a form that every engine supports, or test all engines"

    def check(self, subject: LintContext) -> Findings:
        seen: set[str] = set()
        for node in subject.tree.nodes(Call):
            method = node.method
            if method is None or method in seen:
                continue
            why = _difference(method, node)
            if why is not None:
                seen.add(method)
                yield self.finding(subject.word(node), difference=why)
