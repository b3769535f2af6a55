from chattmpl.diagnostic import Quoted
from chattmpl.encode import encode
from chattmpl.laws.law import Case, Law
from chattmpl.laws.outcome import Holds, NotEvaluated, Outcome


class Inert(Law):
    """Text of a message never becomes a control token.

    Checked on the token ids: encoded with ``control_tokens="escape"``, no control token covers a character of a
    message, a tool, a document or a kwarg.
    """

    name = "inert"
    order = 7
    problems = {
        "becomes-control-token": (
            "text of the conversation becomes the control token {token}",
            "write control tokens in the template, not in messages",
        )
    }

    def check(self, case: Case) -> Outcome:
        """Check the tokens of each span that is not the template's own text."""
        if case.tokenizer is None:
            return NotEvaluated("it needs a tokenizer", missing="tokenizer")
        from chattmpl.encode.tokenizer_loader import load_tokenizer

        encoding = encode(case.rendering, case.tokenizer, control_tokens="escape")
        control = load_tokenizer(case.tokenizer).control_ids(case.template.source)
        foreign = [span for span in case.rendering.spans if not span.literal and span.field != "role"]
        for token, (start, end) in zip(encoding.input_ids, encoding.offsets, strict=True):
            if token in control and any(span.start < end and span.end > start for span in foreign):
                return self.broken(
                    case,
                    "becomes-control-token",
                    data={"token": Quoted(encoding.text[start:end])},
                    place=case.place_at(case.rendering, start),
                    sites=frozenset({"inert"}),
                )
        return Holds()
