"""The law `stop`."""

from __future__ import annotations

from chattmpl.laws.law import Case, Law
from chattmpl.laws.outcome import DoesNotApply, Holds, Outcome


class Stop(Law):
    """Each generated span ends with a stop token of the family, and nothing after it is trained.

    A model that never trained its stop token does not stop; one that trained the newline behind it samples a token that
    no engine will let it.
    """

    name = "stop"
    order = 2

    def check(self, case: Case) -> Outcome:
        """Look at the end of each turn's generated span."""
        stops = self._stop_tokens(case)
        if not stops:
            return DoesNotApply("no stop token is known: the template has no family and no eos_token")
        ranges = [(turn, span) for turn in case.assistant_turns() if (span := case.generated(turn)) is not None]
        if not ranges:
            return DoesNotApply("nothing is generated")
        text = case.rendering.text
        for turn, (start, end) in ranges:
            sampled = text[start:end]
            if sampled.endswith(stops):
                continue
            place = case.place_at(case.rendering, end - 1)
            at = max(sampled.rfind(stop) + len(stop) if stop in sampled else -1 for stop in stops)
            if at >= 0:
                message = f"messages[{turn}] trains {sampled[at:]!r} after its stop token"
                hint = "end the generation tag right after the stop token"
            elif text[end:].startswith(stops):
                message = f"the stop token of messages[{turn}] is not trained"
                hint = "end the generation tag after the stop token"
            else:
                message = f"messages[{turn}] ends without a stop token"
                hint = f"write one of {', '.join(stops)} at the end of the turn, inside the generation tag"
            return self.broken(case, message, expected=None, got=None, place=place, hint=hint)
        return Holds()

    @staticmethod
    def _stop_tokens(case: Case) -> tuple[str, ...]:
        if case.template.family is not None:
            return case.template.family.generation.stop_tokens
        given = {**case.template.tokens, **case.kwargs}.get("eos_token")
        return (given,) if isinstance(given, str) and given else ()
