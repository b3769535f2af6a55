"""The law `stop`."""

from __future__ import annotations

from chattmpl.laws.law import Case, Law, site
from chattmpl.laws.outcome import DoesNotApply, Holds, Outcome
from chattmpl.template.special_tokens import CONTROL


class Stop(Law):
    """Each generated span ends with a stop token of the family, and nothing after it is trained.

    A model that never trained its stop token does not stop; one that trained the newline behind it samples a token that
    no engine will let it. Of a template without a family the stop tokens are its ``eos_token``, and the control
    tokens that it writes behind what the message holds.
    """

    name = "stop"
    order = 2

    def check(self, case: Case) -> Outcome:
        """Look at the end of each turn's generated span."""
        if not case.template.program.has_generation:
            return DoesNotApply("the template has no generation tag")
        ranges = [(turn, span) for turn in case.assistant_turns() if (span := _last_piece(case, turn)) is not None]
        if not ranges:
            return DoesNotApply("nothing is generated")
        text = case.rendering.text
        for turn, (start, end) in ranges:
            sampled = text[start:end]
            stops = stop_tokens(case, turn)
            if stops and sampled.endswith(stops):
                continue
            place = case.place_at(case.rendering, end - 1)
            at = max((sampled.rfind(stop) + len(stop) for stop in stops if stop in sampled), default=-1)
            if at >= 0:
                message = f"messages[{turn}] trains {sampled[at:]!r} after its stop token"
                hint = "end the generation tag right after the stop token"
            elif text[end:].startswith(stops):
                message = f"the stop token of messages[{turn}] is not trained"
                hint = "end the generation tag after the stop token"
            else:
                message = f"messages[{turn}] ends without a stop token"
                one = f"one of {', '.join(stops)}" if stops else "a stop token"
                hint = f"write {one} at the end of the turn, inside the generation tag"
            block = case.block_at(case.rendering, end - 1)
            sites = frozenset({site("tag-end", block), f"stop:{message.partition(']')[2]}"})
            field = "messages[role=assistant]"
            return self.broken(case, message, place=place, hint=hint, field=field, sites=sites)
        return Holds()


def _last_piece(case: Case, turn: int) -> tuple[int, int] | None:
    """The last generated characters of a turn that are in one piece."""
    piece = None
    for span in case.rendering.spans:
        if span.generated and span.turn == turn:
            piece = (piece[0] if piece is not None and piece[1] == span.start else span.start, span.end)
    return piece


def stop_tokens(case: Case, turn: int) -> tuple[str, ...]:
    """What may end a turn: the family's stop tokens; else ``eos_token``, and the control tokens behind the message."""
    if case.template.family is not None:
        return case.template.family.generation.stop_tokens
    given = {**case.template.tokens, **case.kwargs}.get("eos_token")
    stops = [given] if isinstance(given, str) and given else []
    last = case.head(turn + 1)
    own = [span.end for span in last.spans if span.message == turn and span.field != "role"]
    generated = case.generated(turn, last)
    # A message that is empty has no text to look behind.
    start = own[-1] if own else generated[0] if generated else len(last.text)
    behind = CONTROL.findall(last.text, start)
    return tuple(dict.fromkeys([*stops, *behind]))
