"""AU401."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Note
from chattmpl.data.audit.row_view import View


class ControlToken(Kind):
    """A text of the data holds a control token.

    ## What it does

    Reports rows in which a message, a tool or a document holds a control token; the key is the token, `amount` how
    often. Think tags, tool tags and other tokens that are no control tokens of the template and tokenizer do not
    count.

    ## Why is this bad?

    Encoded by transformers, it ends a turn, or begins one in somebody else's name. chattmpl encodes it as ordinary
    text. Often it shows that a text was rendered before it became data.

    ## What to do

    Clean the data. Where the text is meant, `--control-tokens escape` (the default) keeps it harmless.
    """

    code = "AU401"
    name = "control-token"
    severity = "warning"
    says = "a text holds the control token {key}"
    hint = "clean the data; --control-tokens escape keeps what is meant harmless"
    unit = "tokens"

    def row(self, view: View) -> Iterator[Note]:
        """What is wrong with one row."""
        if view.row.escaped:
            for escape in view.encoding.escaped:
                where = escape.field or "the text"
                yield Note(escape.text, where if escape.message is None else f"messages[{escape.message}].{where}")
