from collections import Counter

from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView
from chattmpl.provenance.origin import field_path


class ControlToken(Check):
    """The data contain a control token.

    Reports rows in which a message, a tool or a document contains a control token of the template and tokenizer. The
    key is the token. Think tags, tool tags and other tokens are ignored.

    ## Why is this bad?

    Encoded by transformers, it ends a turn, or begins one in another role. chattmpl encodes it as ordinary text. It
    often shows that a text was rendered before it became data.

    ## What to do

    Clean the data. If the text is intended, `--control-tokens escape` (the default) encodes it as ordinary text.
    """

    severity = "warning"
    message = "a text contains the control token {key}"
    hint = "clean the data, or encode it as ordinary text with --control-tokens escape"
    unit = "tokens"

    def check_row(self, view: RowView) -> RowFindings:
        if not any(row.escaped for row in view.rows):
            return
        found: Counter[tuple[str, str]] = Counter()
        for encoding in view.encodings:  # rows have messages in common
            found |= Counter((one.text, field_path(one.message, one.field or "the text")) for one in encoding.escaped)
        for (token, where), amount in found.items():
            yield RowFinding(token, where, amount)
