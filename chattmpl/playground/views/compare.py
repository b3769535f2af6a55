"""The view *Compare*: two renderings side by side, by different templates, policies, revisions or engines."""

import tempfile
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from chattmpl.compare.portability import served
from chattmpl.compare.revisions import load
from chattmpl.compare.template_diff import Hunk, hunks
from chattmpl.engine import ENGINES, variables
from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.playground.html import frame, legend, note, nothing, quoted
from chattmpl.playground.state import State
from chattmpl.playground.views.inputs import (
    RETENTION,
    Failed,
    Rendered,
    kwargs_of,
    problems_in,
    template_of,
    without_mask,
)
from chattmpl.playground.views.marks import Marks
from chattmpl.printable import count, html_of
from chattmpl.report.picture import Piece
from chattmpl.template.family import family_names
from chattmpl.template.spans import Span
from chattmpl.template.template import Rendering, Template

LEGEND = [
    ("gen", "generated"),
    ("del", "only on the left"),
    ("ins", "only on the right"),
    ("msk", "same text, generated on one side only"),
]


@dataclass(frozen=True)
class Other:
    """The right side: a rendering or an error; ``masked`` is False if nothing is known of generated spans."""

    name: str
    rendering: Rendering | None
    error: str = ""
    masked: bool = True


def choices(state: State) -> list[str]:
    """Return the names of the other side to choose from; empty if it must be typed."""
    if state.against == "retention":
        return list(RETENTION)
    if state.against == "template":
        return family_names()
    if state.against == "engine":
        return list(ENGINES)
    return []


def default(state: State, own: str | None = None) -> str:
    """Return the other side if none was chosen; ``own`` is the retention policy of the left side."""
    if state.against == "revision":
        return f"HEAD:{state.base}" if state.base else ""
    listed = [name for name in choices(state) if name not in (own, state.base)]
    return listed[0] if listed else ""


def view(made: Rendered, marks: Marks) -> tuple[str, str]:
    """Return the view as HTML, and its counts as text."""
    state = made.state
    if not state.other and state.against == "retention":
        why = (
            "This template has no {% reasoning %} block. Choose a template, a revision or an engine above, or give it "
            "policies:"
        )
        command = f"chattmpl retain {made.template.name} --policy all -o kept.jinja"
        return nothing("No policies to compare", why, command), ""
    if not state.other:
        return nothing("Nothing to compare with", "Type a revision and a path, as in HEAD~1:my.jinja."), ""
    try:
        other = _other(made)
    except Failed as error:
        return note(error.problem.message, f"<p>{quoted(error.problem.hint)}</p>", "error"), ""
    left = _name(made.template)
    if other.rendering is None:
        return note(f"{other.name} does not render", f"<p>{quoted(other.error)}</p>", "error"), "one side only"
    mine = made.marked
    pair = (mine, other.rendering)
    found = [hunk for hunk in hunks(*pair) if hunk.kind == "text" or other.masked]
    texts = sum(hunk.kind == "text" for hunk in found)
    counts = _counts(texts, len(found) - texts)
    sides = [
        _side(left, mine, list(_ranges(found, 0)), marks, True),
        _side(other.name, other.rendering, list(_ranges(found, 1)), None, other.masked),
    ]
    same = "" if found else note("No difference", "<p>Both render the same text, with the same mask.</p>", "good")
    if not found and not other.masked:
        same = note("No difference", "<p>Both render the same text.</p>", "good")
    return f'{same}<div class="text sides">{"".join(sides)}</div>{legend(LEGEND)}', counts


def _counts(texts: int, masks: int) -> str:
    parts = [f"{count(texts, 'change')} of the text"] if texts else []
    parts += [f"{count(masks, 'change')} of the mask"] if masks else []
    return " · ".join(parts) or "no difference"


def _name(template: Template) -> str:
    return template.name + (f" · {template.retention}" if template.retention else "")


def _other(made: Rendered) -> Other:
    state = made.state
    if state.against == "engine":
        return _engine(made)
    with problems_in("settings"):
        template = _template(state, made)
    try:
        rendering = template.render(made.conversation, state.prompt, made.clock, **kwargs_of(state, template))
    except ChatTmplError as error:
        return Other(_name(template), None, error.message)
    if state.target == "inference":
        rendering = without_mask(rendering)
    return Other(_name(template), rendering)


def _template(state: State, made: Rendered) -> Template:
    if state.against == "retention":
        if made.template.retention is None:
            raise UsageError(
                "this template has no reasoning block, so it has no retention policies",
                hint="chattmpl retain rewrites the retention policy of a template",
            )
        return template_of(replace(state, retention=state.other))
    if state.against == "template" and state.other in family_names():
        return template_of(replace(state, base=state.other, source=None, retention=None))
    if state.other.startswith("-"):
        raise UsageError(f"unknown template {state.other!r}")
    with tempfile.TemporaryDirectory(prefix="chattmpl-") as folder:
        return load(state.other, Path(folder))


def _engine(made: Rendered) -> Other:
    state = made.state
    if state.other not in ENGINES:
        with problems_in("settings"):
            raise UsageError(f"unknown engine {state.other!r}", hint=f"the engines are {', '.join(ENGINES)}")
    try:
        engine = ENGINES[state.other](made.clock)
        context = variables(made.template, made.conversation, made.kwargs, state.prompt)
        text = engine.render(served(made.template).text, context)
        engine.close()
    except ChatTmplError as error:
        return Other(state.other, None, f"{error.message}. {error.hint or ''}")
    name = state.other + (f" {engine.version}" if engine.version else "") + (" (emulated)" if engine.emulated else "")
    spans = (Span(0, len(text), None, None, False),) if text else ()
    return Other(name, Rendering(text, spans, (), made.conversation, made.template), masked=False)


def _ranges(found: Iterable[Hunk], side: int) -> Iterable[tuple[int, int, str]]:
    for hunk in found:
        start, end = (hunk.old, hunk.new)[side]
        if start < end:
            yield start, end, "msk" if hunk.kind == "mask" else ("del", "ins")[side]


def _side(name: str, side: Rendering, ranges: list[tuple[int, int, str]], marks: Marks | None, known: bool) -> str:
    text = _text(side, ranges, marks, known)
    return frame(name, count(len(side.text), "character"), f'<pre tabindex="0">{text}</pre>')


def _text(side: Rendering, ranges: list[tuple[int, int, str]], marks: Marks | None, known: bool) -> str:
    cuts = {0, len(side.text), *(span.start for span in side.spans)}
    cuts.update(edge for start, end, _ in ranges for edge in (start, end))
    starts = [start for start, _, _ in ranges]
    pieces, at = [], 0
    for start, end in pairwise(sorted(cuts)):
        while side.spans[at].end <= start:
            at += 1
        span = side.spans[at]
        near = bisect_right(starts, start) - 1
        changed = ranges[near][2] if near >= 0 and start < ranges[near][1] else ""
        classes = ["gen" if span.generated else "", "own" if known and span.literal else "fld", changed]
        classes.append(marks.of(span) if marks is not None else "")
        tag = {"del": "del", "ins": "ins"}.get(changed, "b")
        said = quoted(Piece("", span, "field").origin if known else "text of the engine, of unknown origin")
        pieces.append(
            f'<{tag} class="{" ".join(filter(None, classes))}" data-o="{said}">{html_of(side.text[start:end])}</{tag}>'
        )
    return "".join(pieces)
