from chattmpl.data.audit.check import AuditSettings, Check, DatasetFindings, Totals, repeated_rows


class Duplicate(Check):
    """A row repeats an earlier one.

    Reports rows with the same messages, tools, documents and template kwargs as an earlier row; the first row is not
    counted. Nulls, the order of keys and other columns are ignored.

    ## Why is this bad?

    Repeated rows are memorized, and rows in both training and test data distort the evaluation.

    ## What to do

    Remove the duplicates. To give a source more weight, use `epochs` in a mixture.
    """

    severity = "warning"
    message = "the conversation is the same as in an earlier row"
    hint = "remove the duplicates"

    def check_dataset(self, totals: Totals, settings: AuditSettings) -> DatasetFindings:
        yield from repeated_rows(totals, settings, rendered=False)
