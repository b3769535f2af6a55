from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView


class UnknownText(Check):
    """Text is not in the vocabulary of the tokenizer.

    Reports rows in which the tokenizer replaces text by its unknown token, such as `<unk>`, or drops it. `amount`
    counts these texts.

    ## Why is this bad?

    The model does not see that text. In an answer, it is trained to write the unknown token.
    """

    severity = "warning"
    message = "text is not in the vocabulary of the tokenizer, which replaces or drops it"
    hint = "use a tokenizer that has bytes for such text, or remove the characters from the data"
    unit = "texts"

    def check_row(self, view: RowView) -> RowFindings:
        if view.row.unknown:
            start, end = view.encoding.unknown[0]
            yield RowFinding("", f"{view.text[start:end]!r} in {view.spans.field(start)}", view.row.unknown)
