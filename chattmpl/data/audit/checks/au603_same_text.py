from chattmpl.data.audit.check import AuditSettings, Check, DatasetFindings, Totals, repeated_rows


class SameText(Check):
    """Different rows render to the same text.

    Reports rows with the same text as an earlier row with a different conversation. Rows that repeat a conversation are
    reported only by AU602.

    ## Why is this bad?

    The template drops the difference between the conversations, and the repeated text is memorized.

    ## What to do

    See AU204 for the fields that are dropped, or remove the duplicates.
    """

    severity = "warning"
    message = "a different conversation renders to the same text as an earlier row"
    hint = "check which fields the template drops, or remove the duplicates"

    def check_dataset(self, totals: Totals, settings: AuditSettings) -> DatasetFindings:
        yield from repeated_rows(totals, settings, rendered=True)
