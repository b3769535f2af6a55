from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView


class StopNotTrained(Check):
    """A generated span does not end with a stop token.

    Reports trained turns that do not end with a stop token, where the template's tags decide what is trained (valid
    tags, or `--mask-from tags`); other rows end with one. Stop tokens are those of the family or, for another template,
    its `eos_token` and the control tokens that it writes after a message. The key is `none` (there is no stop token),
    `untrained` (it is after the span), or `text after` (text after the stop token is trained too).

    ## Why is this bad?

    A model that never trained its stop token does not stop. One that trained the line break after it learned a token
    that no engine will let it sample.
    """

    severity = "error"
    message = "a trained turn does not end with a stop token ({key})"
    hint = "end the generation tag directly after the stop token; chattmpl lint shows the line"

    def check_row(self, view: RowView) -> RowFindings:
        if view.planned:
            return
        text = view.rendering.text
        for piece in view.trained_turns():
            stops, sampled = view.stops(piece), text[piece.start : piece.end]
            if stops and sampled.endswith(stops):
                continue
            end = repr(sampled[-20:])
            if stops and text.startswith(stops, piece.end):
                yield RowFinding("untrained", f"messages[{piece.turn}] ends with {end}")
            elif any(stop in sampled for stop in stops):
                yield RowFinding("text after", f"messages[{piece.turn}] ends with {end}")
            else:
                yield RowFinding("none", f"messages[{piece.turn}] ends with {end}")
