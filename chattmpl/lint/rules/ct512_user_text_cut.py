"""CT512."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.errors import ChatTmplError
from chattmpl.lint.context import Subject
from chattmpl.lint.conversations import as_parts
from chattmpl.lint.probe import CLOCK
from chattmpl.lint.rule import Rule

_MARKERS = ("</think>", "<tool_call>", "/no_think")
_FIRST, _SECOND = "Question quince", "Follow fig"


class UserTextCut(Rule):
    """What a user writes is taken for markup, and cut.

    ## What it does

    Renders a question that holds `</think>`, `<tool_call>` or `/no_think`, and reports a template in which the marker
    takes away what stands before or behind it.

    ## Why is this bad?

    Tags mean something in what the model wrote. In the text of a user they are words like others, and who pastes a log
    with one of them loses half of the question. It is a way to smuggle, too: a filter sees text that the model does
    not.

    ## Example

    ```jinja
    {% for m in messages %}{{ m.content.split('</think>')[-1] }}{% endfor %}
    ```

    ## Use instead

    ```jinja
    {% for m in messages %}
    {{ m.content.split('</think>')[-1] if m.role == 'assistant' else m.content }}
    {% endfor %}
    ```
    """

    code = "CT512"
    name = "user-text-cut"
    severity = "warning"
    law = "lossless"
    probes = True

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        plain = subject.probe.render("turn", 1)
        if plain is None or _FIRST not in plain.text:
            return
        for marker in _MARKERS:
            # What the source does not name, it does not look for.
            if marker not in subject.source.text:
                continue
            conversation = {"messages": [{"role": "user", "content": f"{_FIRST}{marker}{_SECOND}"}]}
            if subject.probe.in_parts:
                conversation = as_parts(conversation)
            try:
                rendering = subject.template.render(conversation, False, CLOCK)
            except ChatTmplError:
                continue
            missing = [words for words in (_FIRST, _SECOND) if words not in rendering.text]
            if missing:
                yield self.finding(
                    subject.first(rf"['\"]{marker}['\"]", marker),
                    f"{marker!r} in a question takes away the text {'before' if missing[0] == _FIRST else 'behind'} it",
                    "look for tags only in messages of the assistant",
                    counterexample={"conversation": conversation, "text": rendering.text},
                )
