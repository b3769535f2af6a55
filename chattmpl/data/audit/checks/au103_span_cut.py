from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView


class SpanCut(Check):
    """The length limit cuts through a generated span.

    With `--max-length N`, reports rows in which both the last token before the limit and the first token after it are
    trained. `amount` counts the trained tokens that are lost.

    ## Why is this bad?

    An answer without its end lacks the stop token, and teaches the model to stop anywhere.
    """

    severity = "warning"
    message = "the length limit cuts through a generated span"
    hint = "raise the limit, or shorten rows by whole turns (chattmpl encode --overflow truncate-turns)"
    unit = "trained tokens lost"

    def check_row(self, view: RowView) -> RowFindings:
        limit = view.settings.max_length
        for mask in (row.mask for row in view.rows):
            if limit is not None and len(mask) > limit and mask[limit - 1] and mask[limit]:
                lost = int(mask[limit:].sum())
                yield RowFinding("", f"{lost} of {int(mask.sum())} trained tokens are cut away", lost)
