from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView
from chattmpl.encode.mask import SpanIndex


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
        if not any(row.unknown for row in view.rows):
            return
        rows = zip(view.renderings, view.encodings, strict=True)
        # Rows have messages in common.
        rendering, encoding = max(rows, key=lambda row: len(row[1].unknown))
        for start, end in encoding.unknown[:1]:
            field = SpanIndex(rendering).field(start)
            yield RowFinding("", f"{encoding.text[start:end]!r} in {field}", len(encoding.unknown))
