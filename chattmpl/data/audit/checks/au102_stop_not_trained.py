"""AU102."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Note
from chattmpl.data.audit.row_view import View


class StopNotTrained(Kind):
    """A generated span does not end with a stop token.

    ## What it does

    Looks at the end of each turn that is trained. Stop tokens are those of the family; of another template its
    `eos_token`, and the control tokens that it writes behind a message. The three keys are: `none` (there is no
    stop token), `untrained` (it stands behind the span), and `text after` (something behind the stop token is
    trained as well).

    ## Why is this bad?

    A model that never trained its stop token does not stop. One that trained the line break behind it is taught a
    token that no engine will let it sample.

    ## What to do

    Put the end of the generation tag right behind the stop token. `chattmpl lint` shows the line of the template.
    """

    code = "AU102"
    name = "stop-not-trained"
    severity = "error"
    says = "a trained turn does not end with a stop token ({key})"
    hint = "end the generation tag right after the stop token; chattmpl lint shows the line"

    def row(self, view: View) -> Iterator[Note]:
        """What is wrong with one row."""
        text = view.rendering.text
        for piece in view.trained_turns():
            stops, sampled = view.stops(piece), text[piece.start : piece.end]
            if stops and sampled.endswith(stops):
                continue
            end = repr(sampled[-20:])
            if stops and text.startswith(stops, piece.end):
                yield Note("untrained", f"messages[{piece.turn}] ends with {end}")
            elif any(stop in sampled for stop in stops):
                yield Note("text after", f"messages[{piece.turn}] ends with {end}")
            else:
                yield Note("none", f"messages[{piece.turn}] ends with {end}")
