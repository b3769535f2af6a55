from itertools import pairwise

from chattmpl.laws.law import Case, Law
from chattmpl.laws.outcome import Counterexample, DoesNotApply, Holds, Outcome
from chattmpl.probing import facts_of
from chattmpl.probing.frames import possible_stops
from chattmpl.template.template import Rendering


class Prefix(Law):
    """The text up to the end of a sampled turn is unchanged when the model is asked to sample again.

    The model is asked at each assistant message, and at the end of a conversation that does not end with one. The
    prompt there begins with the prompt of the previous assistant message and its sampled text. Engines reuse
    their computations for a prefix, and training sees in one row what serving sees turn by turn.

    A message may still change the text before it as long as the model has not sampled since: two tool results that
    share one turn, or a second system message that is joined to the first.
    """

    name = "prefix"
    severity = "warning"
    order = 4
    problems = {
        "rewritten": (
            "the prompt of messages[{point}] does not begin with messages[{turn}] as it was sampled",
            "render a message without looking at those after it",
        )
    }

    def check(self, case: Case) -> Outcome:
        """Compare each prompt with the turn that was sampled before it."""
        if len(_sampling_points(case)) <= 1:
            return DoesNotApply("the model is asked to sample only once")
        broken = self.first_break(case)
        if broken is None:
            return Holds()
        if case.rewritten_by_retention(self):
            return DoesNotApply(f"retention {case.template.retention!r} drops earlier reasoning; under 'all' it holds")
        return broken

    def first_break(self, case: Case) -> Counterexample | None:
        """Return the first break, whatever its cause; None if there is none."""
        breaks = (self._between(case, turn, point) for turn, point in pairwise(_sampling_points(case)))
        return next((broken for broken in breaks if broken is not None), None)

    def _between(self, case: Case, turn: int, point: int) -> Counterexample | None:
        """Return the difference between the prompt at a point and an earlier sampled turn; None if there is none."""
        prompt, last, later = case.head(turn, prompt=True), case.head(turn + 1), case.head(point, prompt=True)
        if last.text.startswith(prompt.text):
            sampled, rendering = last.text[: _sampled_end(case, turn, last)], last
        else:
            sampled, rendering = prompt.text, prompt
        if later.text.startswith(sampled):
            return None
        role = case.messages[turn + 1].role if turn + 1 < point else "assistant"
        return self.broken(
            case,
            "rewritten",
            data={"turn": turn, "point": point, "role": role},
            expected=sampled,
            got=later.text,
            place=case.place_of_difference(rendering, later),
            turns=(turn,),
            field=f"messages[role={role}]",
            sites=case.sites(rendering, later),
        )


def _sampling_points(case: Case) -> list[int]:
    """Return the indices of the messages that the model is asked for; the number of messages for the one to come."""
    count, turns = len(case.messages), case.assistant_turns()
    return turns if not turns or turns[-1] == count - 1 else [*turns, count]


def _sampled_end(case: Case, turn: int, last: Rendering) -> int:
    """Return the end of the sampled text of a turn, in a rendering that ends with the turn.

    Without generation tags that is the end of the text, white space aside; or the stop token, where the template goes
    on to prompt one more answer.
    """
    generated = case.generated(turn, last)
    if generated is not None:
        return generated[1]
    if facts_of(case.template).unrequested_prompt is not None:
        own = [span.end for span in last.spans if span.message == turn and span.field != "role"]
        start = own[-1] if own else 0
        ends = [at + len(stop) for stop in possible_stops(last, turn) if (at := last.text.find(stop, start)) >= 0]
        if ends:
            return min(ends)
    return len(last.text.rstrip())
