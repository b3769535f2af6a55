from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView


class StraddlingToken(Check):
    """A token straddles the edge of a generated span.

    Reports rows in which an edge of a generated span is inside a token. `amount` counts the edges. Edges at control
    tokens that the tokenizer lacks are left to AU404.

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
        missing = view.background.missing_tokens
        for encoding in view.encodings if any(row.straddles for row in view.rows) else ():
            straddles = [
                one for one in encoding.straddles if not missing or not _is_at(encoding.text, one.edge_c, missing)
            ]
            if straddles:
                first = straddles[0]
                detail = f"{first.text!r} at the {first.side} of messages[{first.message_m}]"
                yield RowFinding("", detail, len({one.edge_c for one in straddles}))


def _is_at(text: str, edge: int, tokens: tuple[str, ...]) -> bool:
    """Return whether one of the tokens starts or ends at an edge."""
    return text.startswith(tokens, edge) or text.endswith(tokens, 0, edge)
