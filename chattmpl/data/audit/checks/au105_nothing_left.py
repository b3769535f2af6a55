from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView


class NothingLeft(Check):
    """Nothing within the length limit is trained.

    With `--max-length N`, reports rows with trained tokens, but none in the first `N` tokens.

    ## Why is this bad?

    After truncation such a row contains only a prompt. Packing keeps it, and the effective batch is smaller than it
    seems.
    """

    severity = "error"
    message = "no trained token is within the length limit"
    hint = "raise the limit, or remove such rows; chattmpl encode rejects them"

    def check_row(self, view: RowView) -> RowFindings:
        limit = view.settings.max_length
        for mask in (row.mask for row in view.rows):
            if limit is not None and mask.any() and not mask[:limit].any():
                yield RowFinding("", f"training begins at token {int(mask.argmax())}")
