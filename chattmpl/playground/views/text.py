"""The text of a rendering in frames, a frame for each turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from chattmpl.playground.views.marks import Marks
from chattmpl.playground.views.markup import code, listed, note, quoted
from chattmpl.printable import html_of
from chattmpl.report.picture import Frame, Loss, Picture, Piece

_LETTERS = {"template": "own", "control": "own ctl", "field": "fld"}


def frames(picture: Picture, marks: Marks, inside: Callable[[Frame], str] | None = None) -> str:
    """All frames, filled with pieces of text, or with what ``inside`` makes of a frame."""
    fill = inside or (lambda frame: f"<pre>{''.join(piece(item, marks) for item in frame.pieces)}</pre>")
    return "".join(_frame(frame, fill(frame)) for frame in picture.frames)


def _frame(frame: Frame, body: str) -> str:
    kind = "outside" if frame.turn is None else "made" if frame.generated else "given"
    head = f"<h3><span>{quoted(frame.title)}</span><span>{quoted(frame.counts)}</span></h3>"
    return f'<section class="frame {kind}">{head}{body}</section>'


def piece(item: Piece, marks: Marks) -> str:
    """Characters that look the same, with the classes that they share with a template line and a field."""
    classes = " ".join(filter(None, (*classes_of(item), marks.of(item.span))))
    return f'<b class="{classes}" data-o="{quoted(" · ".join(facts(item)))}">{html_of(item.text)}</b>'


def classes_of(item: Piece) -> Iterator[str]:
    """How a piece is drawn."""
    yield _LETTERS[item.kind]
    if item.span.generated:
        yield "gen"
    if item.tokens:
        yield f"t{item.shade % 2}"
        if item.trained and not item.span.generated:
            yield "wrong"
        elif item.span.generated and not item.trained:
            yield "untrained"
    if item.straddles:
        yield "straddle"
    if item.escaped:
        yield "escaped"


def facts(item: Piece) -> Iterator[str]:
    """What a person learns who points at a piece."""
    yield item.origin
    if item.span.generated:
        yield "generated"
    if item.trained is not None:
        if not item.tokens:
            yield "no token"
            return
        first, last = item.tokens[0], item.tokens[-1]
        yield f"token {first}" if first == last else f"tokens {first}–{last}"
        yield "trained" if item.trained else "not trained"
    if item.straddles:
        yield "straddles an edge of a generated span"
    if item.escaped:
        yield "control token, encoded as ordinary text"


def warnings(picture: Picture) -> str:
    """What is perhaps wrong with the rendering, fields that are lost without a reason among it."""
    boxes = [note(head, listed(map(quoted, details)), "warning") for head, details in picture.warnings]
    silent = [loss for loss in picture.losses if loss.why is None]
    if silent:
        boxes.append(note(_lost(len(silent)), listed(map(_loss, silent)), "warning"))
    return "".join(boxes)


def declared(picture: Picture) -> str:
    """The fields that are lost for a reason that somebody gave."""
    known = [loss for loss in picture.losses if loss.why is not None]
    return note(f"{_lost(len(known))}, as declared", listed(map(_loss, known)), "info") if known else ""


def _lost(count: int) -> str:
    return "1 field is lost" if count == 1 else f"{count} fields are lost"


def _loss(loss: Loss) -> str:
    why = "" if loss.why is None else f" <em>{quoted(loss.why.replace('--retention', 'retention'))}</em>"
    return f"{code(loss.path)} <span>{quoted(loss.held)}</span>{why}"


def legend(entries: list[tuple[str, str]]) -> str:
    """What the colours mean."""
    shown_entries = "".join(f'<b class="{kind}">{quoted(text)}</b>' for kind, text in entries)
    return f'<p class="legend">{shown_entries}</p>'
