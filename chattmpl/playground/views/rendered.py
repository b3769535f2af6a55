"""The view *Rendered*: the text in its turns, with what is generated and where each character came from."""

from __future__ import annotations

from chattmpl.playground.views.loading import Rendered
from chattmpl.playground.views.marks import Marks
from chattmpl.playground.views.markup import nothing
from chattmpl.playground.views.text import declared, frames, legend, warnings
from chattmpl.report.picture import picture

LEGEND = [
    ("gen fld", "generated: the model samples it"),
    ("fld", "from a field"),
    ("own", "the template's own"),
    ("own ctl", "control token"),
]


def view(made: Rendered, marks: Marks) -> tuple[str, str]:
    """The view as HTML, and its counts in words."""
    drawn = picture(made.marked, name="conversation", generation_prompt=made.state.prompt)
    counts = " · ".join(drawn.summary)
    if not made.rendering.text:
        return nothing("The template renders nothing", "No character came out of it for this conversation."), counts
    text = frames(drawn, marks)
    explained = LEGEND if made.state.target == "train" else LEGEND[1:]
    told = warnings(drawn) if made.state.target == "train" else ""
    return f'{told}<div class="text" tabindex="0">{text}</div>{legend(explained)}{declared(drawn)}', counts
