from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView


class MissingToken(Check):
    """The tokenizer lacks a control token of the template.

    Reports rows with control tokens that the template writes, and that are several tokens to the tokenizer. The key
    lists them. The lint rule CT601 finds the same in the template.

    ## Why is this bad?

    The model gets ten ordinary tokens instead of the one that it knows. They merge with the text around them, and the
    last of them stops nothing.
    """

    severity = "error"
    message = "the tokenizer lacks control tokens of the template: {key} (CT601)"
    hint = "choose the template of the tokenizer's model, or add the tokens to the tokenizer and train their embeddings"
    unit = "tokens"

    def check_row(self, view: RowView) -> RowFindings:
        missing = view.background.missing_tokens
        amount = sum(view.text.count(token) for token in missing) if missing else 0
        if amount:
            yield RowFinding(", ".join(missing), "", amount)
