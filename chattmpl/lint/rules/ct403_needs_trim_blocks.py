"""CT403."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import Environment

from chattmpl.compiler.lexer import tokens
from chattmpl.lint.diagnostic import Diagnostic
from chattmpl.lint.rule import Rule
from chattmpl.lint.subject import Subject


def _texts(raw: list[tuple[int, str, str]]) -> list[tuple[int, str]]:
    """The texts between tags and expressions, each with the offset at which what is before it ends."""
    found, text, begin = [], "", 0
    for offset, kind, value in raw:
        if kind == "data":
            text += value
        elif kind in ("block_begin", "variable_begin", "raw_begin"):
            found.append((begin, text))
            text = ""
        elif kind in ("block_end", "variable_end", "raw_end"):
            begin = offset
    return [*found, (begin, text)]


class NeedsTrimBlocks(Rule):
    """The text depends on trim_blocks and lstrip_blocks.

    ## What it does

    Compares the template's own text with and without Jinja's options `trim_blocks` and `lstrip_blocks`, and reports
    the first place where they differ.

    ## Why is this bad?

    transformers sets both options; TGI sets neither, so there the line breaks behind tags and the indentation before
    them become part of the prompt.

    ## Example

    ```jinja
    {% if m.role == 'user' %}
    {{ m.content }}{% endif %}
    ```

    ## Use instead

    ```jinja
    {%- if m.role == 'user' -%}
    {{ m.content }}{%- endif -%}
    ```
    """

    code = "CT403"
    name = "needs-trim-blocks"
    severity = "info"

    def check(self, subject: Subject) -> Iterator[Diagnostic]:
        """The findings in one template."""
        plain = _texts(tokens(Environment(), subject.source.text))
        for (offset, text), (_, other) in zip(_texts(subject.tokens), plain, strict=False):
            if text != other:
                line, _ = subject.source.position(offset)
                yield self.finding(
                    subject.line(line),
                    "without trim_blocks and lstrip_blocks the text has other white space, from here on",
                    "say with - what is to be trimmed: {%- … -%}; TGI sets neither option",
                )
                return
