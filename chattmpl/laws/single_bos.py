from chattmpl.diagnostic import Quoted
from chattmpl.laws.law import Case, Law
from chattmpl.laws.outcome import DoesNotApply, Holds, Outcome
from chattmpl.template.special_tokens import PLACEHOLDERS


class SingleBos(Law):
    """Exactly one BOS, whether or not the tokenizer adds one.

    A template that writes BOS twice, or leaves it out although its tokenizer has one, shifts every position that the
    model has learned.
    """

    name = "single-bos"
    order = 11
    problems = {
        "never": ("{token} is never written", "write {{ bos_token }} first"),
        "repeated": ("{token} is written {count} times", "write it once, at the start"),
        "not-first": ("{token} is not at the start", "write it before anything else"),
    }

    def check(self, case: Case) -> Outcome:
        """Count the BOS tokens in the template's own text."""
        given = {**case.template.tokens, **case.kwargs}.get("bos_token")
        if not isinstance(given, str) or not given:
            return DoesNotApply("the tokenizer has no bos_token")
        own = [
            span.start
            for span in case.rendering.spans
            if span.literal
            for _ in range(case.rendering.text.count(given, span.start, span.end))
        ]
        if len(own) == 1 and case.rendering.text.startswith(given):
            return Holds()
        if not own and given == PLACEHOLDERS["bos_token"]:
            return DoesNotApply("no bos_token is known")
        kind = "never" if not own else "repeated" if len(own) > 1 else "not-first"
        place = case.place_at(case.rendering, own[-1]) if own else None
        data = {"token": Quoted(given), "count": len(own)}
        return self.broken(case, kind, data=data, place=place, sites=frozenset({"bos"}))
