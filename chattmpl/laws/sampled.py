from typing import Any

from chattmpl.diagnostic import Quoted
from chattmpl.laws.law import Case, Law, site
from chattmpl.laws.outcome import Counterexample, DoesNotApply, Holds, Outcome
from chattmpl.probing import facts_of
from chattmpl.template.template import Rendering


class Sampled(Law):
    """Each generated span follows exactly the prompt that the model will see.

    For each assistant turn *i*, ``render(messages[:i], add_generation_prompt=True)`` is exactly the text before the
    turn's generated span, and the span is what the turn renders to when it is the last one. So no header, no prefilled
    think block and nothing else that the prompt supplies is trained, and nothing that was sampled is missing.

    Under a retention policy that drops earlier traces, this cannot hold for the earlier turns of one row. The law is
    then checked on unrolled rows, one for each assistant turn.
    """

    name = "sampled"
    order = 1
    problems = {
        "history-differs": (
            "messages[{turn}] is rendered differently in history than when it was sampled",
            "use retention 'all', or train with the rows of chattmpl encode, one for each such turn",
        ),
        "nothing-generated": (
            "no text of messages[{turn}] is in a generated span",
            "put the text of the message inside {% generation %}",
        ),
        "prompt-trained": (
            "messages[{turn}] trains {text}, which its prompt supplies",
            "begin the generation tag after the text that add_generation_prompt writes",
        ),
        "gap": (
            "{text} is between the prompt and the generated span of messages[{turn}]",
            "begin the generation tag where the prompt ends, or let add_generation_prompt write this text too",
        ),
        "prompt-differs": (
            "the prompt of messages[{turn}] is not a prefix of the rendered conversation",
            "train with the rows of chattmpl encode, or render history and prompt in the same way",
        ),
    }

    def check(self, case: Case) -> Outcome:
        """Compare each turn with its prompt, and with itself as the last turn."""
        turns = case.assistant_turns()
        if not turns:
            return DoesNotApply("there is no assistant message")
        if not case.template.program.has_generation:
            return DoesNotApply("the template has no generation tag")
        broken = self._in_one_row(case, turns)
        if broken is None:
            return Holds()
        if not case.rewritten_by_retention(self):
            return broken
        unrolled = (self._turn(case, turn, case.head(turn + 1)) for turn in turns)
        policy = f"retention {case.template.retention!r}"
        return next((found for found in unrolled if found is not None), None) or DoesNotApply(
            f"it cannot hold for earlier turns of one row under {policy}: unroll, or use 'all'"
        )

    def _in_one_row(self, case: Case, turns: list[int]) -> Counterexample | None:
        text = case.rendering.text
        for turn in turns:
            found = self._turn(case, turn, case.rendering)
            if found is not None:
                return found
            span = case.generated(turn)
            if span is None:
                continue
            start, end = span
            last = case.head(turn + 1)
            alone = case.generated(turn, last)
            stops = ("", *facts_of(case.template).next_turn_stops)
            if alone is None or text[start:end] not in [last.text[alone[0] : alone[1]] + stop for stop in stops]:
                return self._broken(
                    case,
                    "history-differs",
                    turn=turn,
                    expected=last.text[: alone[1]] if alone else last.text,
                    got=text[:end],
                    place=case.place_of_difference(last, case.rendering),
                    sites=case.sites(last, case.rendering),
                )
        return None

    def _turn(self, case: Case, turn: int, row: Rendering) -> Counterexample | None:
        """Return the counterexample to the generated span of a turn in a row; None if it is right."""
        span = case.generated(turn, row)
        prompt = case.head(turn, prompt=True)
        if span is None:
            return None if self._is_empty(case, turn, row) else self._nothing_generated(case, turn, row)
        return None if row.text[: span[0]] == prompt.text else self._not_the_prompt(case, turn, row, span[0])

    def _is_empty(self, case: Case, turn: int, row: Rendering) -> bool:
        """Return whether only the stop token of a message is sampled, and the template writes it with the next one."""
        prompt = case.head(turn, prompt=True).text
        if any(span.message == turn and span.field != "role" for span in row.spans):
            return False
        late = row.text.startswith(prompt) and any(start == len(prompt) for start, _ in row.generated)
        return late or (case.head(turn + 1).text == prompt and bool(facts_of(case.template).next_turn_stops))

    def _broken(self, case: Case, kind: str, *, turn: int, text: str = "", **details: Any) -> Counterexample:
        data = {"turn": turn, "text": Quoted(text, 80)} if text else {"turn": turn}
        return self.broken(case, kind, data=data, turns=(turn,), field="messages[role=assistant]", **details)

    def _nothing_generated(self, case: Case, turn: int, row: Rendering) -> Counterexample:
        own = [span for span in row.spans if span.message == turn and span.field != "role"]
        place = case.place_at(row, own[0].start) if own else None
        return self._broken(
            case, "nothing-generated", turn=turn, place=place, sites=frozenset({site("untrained", place)})
        )

    def _not_the_prompt(self, case: Case, turn: int, row: Rendering, start: int) -> Counterexample:
        prompt = case.head(turn, prompt=True)
        text = row.text
        place = case.place_at(row, start)
        if prompt.text.startswith(text[:start]) and text.startswith(prompt.text):
            kind, extra = "prompt-trained", prompt.text[start:]
            sites = {site("tag-start", case.block_at(row, start)), "trains what the prompt supplies"}
        elif text.startswith(prompt.text):
            kind, extra = "gap", text[len(prompt.text) : start]
            sites = {f"between:{extra}", site("untrained", case.place_at(row, len(prompt.text)))}
            place = case.place_at(row, len(prompt.text))
        else:
            kind, extra = "prompt-differs", ""
            place = case.place_of_difference(prompt, row)
            sites = set(case.sites(prompt, row))
            if prompt.text.startswith(text[:start]):
                sites.add("trains what the prompt supplies")
        return self._broken(
            case,
            kind,
            turn=turn,
            text=extra,
            expected=prompt.text,
            got=text[:start],
            place=place,
            sites=frozenset(sites),
        )
