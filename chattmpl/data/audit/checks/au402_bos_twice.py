from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView

_KNOWN = ("<|begin_of_text|>", "<bos>", "<s>", "<｜begin▁of▁sentence｜>", "<|startoftext|>", "<BOS_TOKEN>")


class RepeatedBos(Check):
    """A row begins with two BOS tokens.

    Reports rows whose text begins with the BOS token twice: the template writes one, and the data contain another.

    ## Why is this bad?

    The model never saw two. This happens if texts were rendered before they became data.
    """

    severity = "error"
    message = "the text begins with two BOS tokens"
    hint = "remove the token from the data: the template writes it"

    def check_row(self, view: RowView) -> RowFindings:
        text = view.text.lstrip()
        given = {**view.encoder.template.tokens, **view.kwargs}.get("bos_token")
        for bos in dict.fromkeys([given, *_KNOWN]):
            if isinstance(bos, str) and bos and text.startswith(bos) and text[len(bos) :].lstrip().startswith(bos):
                yield RowFinding("", bos)
                return
