"""CT702."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from jinja2 import nodes

from chattmpl.lint.diagnostic import Diagnostic
from chattmpl.lint.rule import Rule
from chattmpl.lint.subject import Subject
from chattmpl.lint.tree import assignments, loads

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


class MisspeltVariable(Rule):
    """A variable that is nearly, but not quite, one that is passed.

    ## What it does

    Reports variables that nothing sets and whose name is close to one that engines pass (`messages`, `tools`,
    `documents`, `add_generation_prompt`, …) or that the template sets.

    ## Why is this bad?

    An undefined variable is false and prints as nothing, so the branch is never taken: no generation prompt, no tools.

    ## Example

    ```jinja
    {% if add_generation_promt %}<|im_start|>assistant{% endif %}
    ```

    ## Use instead

    ```jinja
    {% if add_generation_prompt %}<|im_start|>assistant{% endif %}
    ```
    """

    code = "CT702"
    name = "misspelt-variable"
    severity = "error"

    def check(self, subject: Subject) -> Iterator[Diagnostic]:
        """The findings in one template."""
        family = subject.found.family
        known = {*_PASSED, *(family.modes if family else ()), *(family.kwargs if family else ())}
        own = {name for name, _ in assignments(subject.tree)} | {macro.name for macro in subject.nodes(nodes.Macro)}
        for name in sorted(subject.variables - known - own):
            meant = get_close_matches(
                name, sorted(known | {other for other in own if len(other) > 6}), n=1, cutoff=0.86
            )
            if meant and name.rstrip("s0123456789") != meant[0].rstrip("s0123456789"):
                yield self.finding(
                    subject.word(next(loads(subject, name)), name),
                    f"nothing sets or passes {name!r}",
                    f"did you mean {meant[0]!r}?",
                )
