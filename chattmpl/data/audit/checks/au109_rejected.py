from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView
from chattmpl.data.rows import RejectionReason


class Rejected(Check):
    """A row cannot be encoded.

    Reports rows that `chattmpl encode` rejects. The key is the reason: `json` (not JSON), `conversation` (not a valid
    conversation), `render` (the template refuses it), `budget` (rendering takes too long), or `encode` (its text cannot
    be encoded).

    ## Why is this bad?

    A loader that skips such rows silently loses them; one that does not fails in the middle of a run.

    ## What to do

    The detail of each example says what is wrong. `chattmpl encode` writes all rejected rows to `rejected.jsonl`.
    """

    severity = "error"
    message = "the row cannot be encoded ({key})"
    others = "chattmpl encode writes all of them to rejected.jsonl with their reasons"
    hint = f"correct or remove the rows; {others}"
    needs_row = False

    def check_row(self, view: RowView) -> RowFindings:
        refusal = view.scanned.rejection
        if refusal is not None:
            # The message about a conversation begins with its field.
            where = f" (at {refusal.place})" if refusal.place and refusal.reason != RejectionReason.CONVERSATION else ""
            hint = refusal.hint and f"for the first row, {refusal.hint}; {self.others}"
            yield RowFinding(refusal.reason, refusal.message + where, hint=hint)
