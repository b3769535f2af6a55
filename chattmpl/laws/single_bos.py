"""The law `single-bos`."""

from __future__ import annotations

from chattmpl.laws.law import Case, Law
from chattmpl.laws.outcome import DoesNotApply, Holds, Outcome
from chattmpl.template.special_tokens import PLACEHOLDERS


class SingleBos(Law):
    """Exactly one BOS, whether or not the tokenizer adds one.

    A template that writes BOS twice, or not at all where its tokenizer has one, shifts every position that the model
    has learnt.
    """

    name = "single-bos"
    order = 11

    def check(self, case: Case) -> Outcome:
        """Count what the template itself writes."""
        given = {**case.template.tokens, **case.kwargs}.get("bos_token")
        if not isinstance(given, str) or not given:
            return DoesNotApply("no bos_token is known")
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
        if not own:
            message, hint = f"{given!r} is never written", "write {{ bos_token }} first"
        elif len(own) > 1:
            message, hint = f"{given!r} is written {len(own)} times", "write it once, at the start"
        else:
            message, hint = f"{given!r} is not at the start", "write it before anything else"
        place = case.place_at(case.rendering, own[-1]) if own else None
        return self.broken(case, message, place=place, hint=hint, sites=frozenset({"bos"}))
