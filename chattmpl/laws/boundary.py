"""The law `boundary`."""

from __future__ import annotations

from chattmpl.encode import encode
from chattmpl.laws.law import Case, Law
from chattmpl.laws.outcome import DoesNotApply, Holds, NotEvaluated, Outcome


class Boundary(Law):
    """No token straddles the edge of a generated span.

    ``encode(prompt) + encode(completion) == encode(prompt + completion)``. Where a token lies across the edge, the
    model is trained on one that it will never be asked to sample, for the prompt ends in the middle of it.
    """

    name = "boundary"
    order = 6

    def check(self, case: Case) -> Outcome:
        """Encode, and look for straddles."""
        if case.tokenizer is None:
            return NotEvaluated("it needs a tokenizer")
        if not case.rendering.generated:
            return DoesNotApply("nothing is generated")
        encoding = encode(case.rendering, case.tokenizer, control_tokens="escape")
        if not encoding.straddles:
            return Holds()
        straddle = encoding.straddles[0]
        return self.broken(
            case,
            f"the token {straddle.text!r} lies across the {straddle.side} of a generated span",
            place=case.place_at(case.rendering, straddle.edge_c),
            sites=frozenset({f"straddle:{straddle.side}"}),
            hint="begin and end generated spans at control tokens",
        )
