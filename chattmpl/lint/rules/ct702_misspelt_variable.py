from difflib import get_close_matches

from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule, replace_word
from chattmpl.syntax.items import Block
from chattmpl.syntax.nodes import Attribute, Expression, Name
from chattmpl.syntax.tree import Tree

_PASSED = frozenset(
    {
        "messages",
        "tools",
        "documents",
        "add_generation_prompt",
        "bos_token",
        "eos_token",
        "pad_token",
        "unk_token",
        "enable_thinking",
        "thinking",
        "date_string",
        "reasoning_effort",
        "reasoning_retention",
        "builtin_tools",
        "custom_tools",
        "xml_tools",
        "python_tools",
        "continue_final_message",
        "keep_past_thinking",
        "preserve_thinking",
    }
)


_SHORT = 4
"""Length up to which the template's own names resemble each other by chance, in characters."""


def _is_message(loop: Block) -> bool:
    """Return whether a loop is over messages: its items have a role."""
    return any(node.key == "role" for node in loop.find(Expression))


def _namespaces(tree: Tree) -> dict[str, Name]:
    """Return the variables with an attribute that is set, and the first place where that happens."""
    targets = [tag.target for tag in tree.tags if tag.name == "set" and isinstance(tag.target, Attribute)]
    variables = [target.variable for target in reversed(targets) if target is not None]
    return {variable.name: variable for variable in variables if variable is not None}


class MisspeltVariable(Rule):
    """A misspelled variable.

    Reports variables that nothing sets and whose name is close to one that engines pass (`messages`, `tools`,
    `documents`, `add_generation_prompt`, …) or that the template sets.

    ## Why is this bad?

    An undefined variable is false and prints as nothing, so its branch is never taken: there is no generation prompt,
    or no tools.
    """

    example = "{% if add_generation_promt %}<|im_start|>assistant{% endif %}"
    use_instead = "{% if add_generation_prompt %}<|im_start|>assistant{% endif %}"
    severity = "error"
    message = "nothing sets or passes {written}"
    hint = "did you mean {intended}?"

    def check(self, subject: LintContext) -> Findings:
        yield from self._other_messages(subject)
        family = subject.found.family
        known = {*_PASSED, *(family.modes if family else ()), *(family.kwargs if family else ())}
        tree = subject.tree
        macros = {name for tag in tree.tags if tag.name == "macro" for name in tag.targets}
        own = macros | {name.name for name in tree.assigned}
        namespaces = _namespaces(tree)
        for name in sorted((subject.program.variables | namespaces.keys()) - known - own):
            candidates = sorted(known | {other for other in own if len(other) > _SHORT})
            meant = get_close_matches(name, candidates, n=1, cutoff=0.86)
            meant += [other for other in candidates if sorted(other) == sorted(name) and other[0] == name[0]]
            if meant and name.rstrip("s0123456789") != meant[0].rstrip("s0123456789"):
                yield self.finding(
                    subject.word(next(iter(tree.read.get(name, ())), None) or namespaces[name]),
                    written=Quoted(name),
                    intended=Quoted(meant[0]),
                    intended_edits=replace_word(subject, name, meant[0]),
                )

    def _other_messages(self, subject: LintContext) -> Findings:
        """Yield a finding if a loop is over another variable, and messages are never read."""
        if "messages" in subject.program.variables:
            return
        for loop in subject.tree.blocks("for"):
            variable = loop.opening.value.variable if loop.opening.value is not None else None
            name = variable.name if variable is not None else ""
            if variable is not None and name in subject.program.variables and name not in _PASSED and _is_message(loop):
                yield self.finding(
                    subject.word(variable),
                    written=Quoted(name),
                    intended=Quoted("messages"),
                    intended_edits=replace_word(subject, name, "messages"),
                )
                return
