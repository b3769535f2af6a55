from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView


class UnknownText(Check):
    """Text is not in the vocabulary of the tokenizer.

    Reports rows in which the tokenizer replaces text by its unknown token, such as `<unk>`. `amount` counts the tokens.

    ## Why is this bad?

    The model does not see that text. In an answer, it is trained to write the unknown token.
    """

    severity = "warning"
    message = "text is not in the vocabulary of the tokenizer, and becomes its unknown token"
    hint = "use a tokenizer that has bytes for such text, or remove the characters from the data"
    unit = "tokens"

    def check_row(self, view: RowView) -> RowFindings:
        unknown = view.encoder.tokenizer.unknown_id
        if unknown is None or unknown not in view.row.input_ids:
            return
        content = view.encoder.tokenizer.added[unknown].content if unknown in view.encoder.tokenizer.added else None
        encoding = view.encoding
        replaced = [
            (start, encoding.text[start:end])
            for token_id, start, end in zip(encoding.input_ids, encoding.starts_c, encoding.ends_c, strict=True)
            if token_id == unknown and encoding.text[start:end] != content
        ]
        if replaced:
            start, text = replaced[0]
            yield RowFinding("", f"{text!r} in {view.spans.field(start)}", len(replaced))
