"""AU106."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Note
from chattmpl.data.audit.row_view import View


class Straddle(Kind):
    """A token goes across the edge of a generated span.

    ## What it does

    Reports rows in which an edge of a generated span falls inside a token. `amount` counts the edges.

    ## Why is this bad?

    At inference the prompt ends at that edge, so the model is asked after other tokens than it was trained on.

    ## What to do

    End the template's own text with a control token or a line break that does not join what follows. `chattmpl
    encode --straddle split` encodes the two sides apart.
    """

    code = "AU106"
    name = "straddle"
    severity = "warning"
    says = "a token goes across the edge of a generated span"
    hint = "--straddle split encodes the two sides apart, as inference does"
    unit = "edges"

    def row(self, view: View) -> Iterator[Note]:
        """What is wrong with one row."""
        if view.row.straddles:
            first = next(iter(view.encoding.straddles), None)
            detail = f"{first.text!r} at the {first.side} of messages[{first.message_m}]" if first else ""
            yield Note("", detail, view.row.straddles)
