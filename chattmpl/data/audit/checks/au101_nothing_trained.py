from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView


class NothingTrained(Check):
    """No token of a row is trained.

    Reports conversations whose masks are all zeros: they have no assistant message, all their assistant messages are
    marked `train: false`, or the template has no generation tags where `--mask-from tags` asks for them.

    ## Why is this bad?

    Such a row costs time and teaches nothing. If all rows are like this, the loss is NaN or silently zero.

    ## What to do

    Remove the rows. If `train` flags are the reason, check that they are intended; if tags are, correct them with
    `chattmpl annotate --repair`.
    """

    severity = "error"
    message = "no token of the row is trained"
    hint = "remove rows without an answer, and check flags such as train: false"

    def check_row(self, view: RowView) -> RowFindings:
        if not any(row.trained for row in view.rows):
            yield RowFinding()
