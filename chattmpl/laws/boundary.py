from chattmpl.diagnostic import Quoted
from chattmpl.encode import encode
from chattmpl.laws.law import Case, Law
from chattmpl.laws.outcome import DoesNotApply, Holds, NotEvaluated, Outcome


class Boundary(Law):
    """No token straddles the edge of a generated span.

    ``encode(prompt) + encode(completion) == encode(prompt + completion)``. If a token straddles the edge, the prompt
    ends in the middle of it, and the model is trained on a token that it is never asked to sample.
    """

    name = "boundary"
    order = 6
    problems = {
        "straddle": (
            "the token {token} straddles the {side} of a generated span",
            "begin and end generated spans at control tokens",
        )
    }

    def check(self, case: Case) -> Outcome:
        """Encode the rendering and look for straddling tokens."""
        if case.tokenizer is None:
            return NotEvaluated("it needs a tokenizer", missing="tokenizer")
        if not case.rendering.generated:
            return DoesNotApply("nothing is generated")
        encoding = encode(case.rendering, case.tokenizer, control_tokens="escape")
        if not encoding.straddles:
            return Holds()
        straddle = encoding.straddles[0]
        return self.broken(
            case,
            "straddle",
            data={"token": Quoted(straddle.text), "side": straddle.side},
            place=case.place_at(case.rendering, straddle.edge_c),
            sites=frozenset({f"straddle:{straddle.side}"}),
        )
