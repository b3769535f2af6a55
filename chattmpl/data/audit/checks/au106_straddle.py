from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView


class StraddlingToken(Check):
    """A token straddles the edge of a generated span.

    ## What it does

    Reports rows in which an edge of a generated span is inside a token. `amount` counts the edges.

    ## Why is this bad?

    At inference the prompt ends at that edge, so the model sees different tokens than in training.

    ## What to do

    End the template's text with a control token, or with a line break that does not merge with the text after it.
    `chattmpl encode --straddle split` encodes the two sides separately.
    """

    severity = "warning"
    message = "a token straddles the edge of a generated span"
    hint = "encode the two sides separately, as at inference, with --straddle split"
    unit = "edges"

    def check_row(self, view: RowView) -> RowFindings:
        if view.row.straddles:
            first = next(iter(view.encoding.straddles), None)
            detail = f"{first.text!r} at the {first.side} of messages[{first.message_m}]" if first else ""
            yield RowFinding("", detail, view.row.straddles)
