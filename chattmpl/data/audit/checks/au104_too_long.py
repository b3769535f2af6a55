from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView


class TooLong(Check):
    """A row is longer than the length limit.

    With `--max-length N`, reports rows of more than `N` tokens. `amount` counts the tokens above the limit.

    ## Why is this bad?

    trl silently truncates such rows, and packing with `bfd` discards the rest.
    """

    severity = "warning"
    message = "the row is longer than the length limit"
    hint = "raise the limit, or choose how to handle longer rows with chattmpl encode --overflow"
    unit = "tokens above the limit"

    def check_row(self, view: RowView) -> RowFindings:
        limit = view.settings.max_length
        for length in sorted(map(len, view.rows), reverse=True):
            if limit is not None and length > limit:
                yield RowFinding("", f"{length} tokens", length - limit)
