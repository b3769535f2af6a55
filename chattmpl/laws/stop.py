from chattmpl.diagnostic import Quoted
from chattmpl.laws.law import Case, Law, site
from chattmpl.laws.outcome import DoesNotApply, Holds, Outcome
from chattmpl.probing import facts_of
from chattmpl.probing.frames import possible_stops


class Stop(Law):
    """Each generated span ends with a stop token of the family, and nothing after it is trained.

    A model that never trained its stop token does not stop. One that trained the newline after it learned a token that
    no engine will ever let it sample. For a template without a family, the stop tokens are its ``eos_token`` and the
    control tokens that it writes after the text of a message.

    Where the template ends turns without a stop token, the model stops by sampling the token with which the next turn
    begins, such as ``<|user|>``. It is trained there; after the last turn a trainer has to add it, as the rows of
    ``chattmpl encode`` do.
    """

    name = "stop"
    order = 2
    problems = {
        "text-after-stop": (
            "messages[{turn}] trains {text} after its stop token",
            "end the generation tag directly after the stop token",
        ),
        "stop-untrained": (
            "the stop token of messages[{turn}] is not trained",
            "end the generation tag after the stop token",
        ),
        "no-stop": (
            "messages[{turn}] ends without a stop token",
            "write {stops} at the end of the turn, inside the generation tag",
        ),
        "next-turn-untrained": (
            "the model ends messages[{turn}] by sampling {stops}, with which the next turn begins: it is not trained",
            "train with the rows of chattmpl encode, or generate it in the next turn, as chattmpl annotate does",
        ),
    }

    def check(self, case: Case) -> Outcome:
        """Check the end of each turn's generated span."""
        if not case.template.program.has_generation:
            return DoesNotApply("the template has no generation tag")
        ranges = [(turn, span) for turn in case.assistant_turns() if (span := _last_piece(case, turn)) is not None]
        if not ranges:
            return DoesNotApply("nothing is generated")
        text = case.rendering.text
        for turn, (start, end) in ranges:
            sampled = text[start:end]
            later = facts_of(case.template).next_turn_stops
            stops = (*possible_stops(case.head(turn + 1), turn, case.kwargs), *later)
            if stops and (sampled.endswith(stops) or (later and end == len(text))):
                continue
            place = case.place_at(case.rendering, end - 1)
            at = max((sampled.rfind(stop) + len(stop) for stop in stops if stop in sampled), default=-1)
            after = text[end:].startswith(stops)
            kind = "text-after-stop" if at >= 0 else "stop-untrained" if after else "no-stop"
            if later and kind != "text-after-stop":
                kind, stops = "next-turn-untrained", later
            extra = sampled[at:] if at >= 0 else ""
            one = f"one of {', '.join(stops)}" if stops else "a stop token"
            block = case.block_at(case.rendering, end - 1)
            return self.broken(
                case,
                kind,
                data={"turn": turn, "stops": one, "text": Quoted(extra, 80)},
                turns=(turn,),
                place=place,
                field="messages[role=assistant]",
                sites=frozenset({site("tag-end", block), f"stop:{kind}:{extra}"}),
            )
        return Holds()


def _last_piece(case: Case, turn: int) -> tuple[int, int] | None:
    """Return the last contiguous generated range of a turn, with text of the template that continues it.

    A stop token may be written with the next message, or after all messages.
    """
    piece = None
    for span in case.rendering.spans:
        adjacent = piece is not None and piece[1] == span.start
        if span.generated and (span.turn == turn or (adjacent and span.message is None)):
            piece = (piece[0] if piece is not None and adjacent else span.start, span.end)
    return piece
