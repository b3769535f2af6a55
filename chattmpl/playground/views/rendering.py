"""The views *Rendered*, *Tokens* and *Export*: text by turns, tokens with their mask, and the template as Jinja."""

from collections.abc import Callable, Iterator
from pathlib import Path

from chattmpl.data.reading import WARNINGS, concerns
from chattmpl.encode import Encoding, encode, load_tokenizer
from chattmpl.errors import ChatTmplError
from chattmpl.playground.html import code, frame, legend, note, nothing, quoted, spaced
from chattmpl.playground.state import State
from chattmpl.playground.views.inputs import Rendered, problems_in, template_of
from chattmpl.playground.views.marks import Marks
from chattmpl.printable import count, html_of
from chattmpl.report.page import listed
from chattmpl.report.picture import Frame, LostField, Picture, Piece, picture

MOST_TOKENS = 4_000
"""Limit of the tokens that are drawn, as a page with more of them would be slow."""

_TEXT_LEGEND = (
    ("gen fld", "generated: the model samples it"),
    ("fld", "from a field"),
    ("own", "from the template"),
    ("own ctl", "control token"),
)
_TOKEN_LEGEND = (
    ("tok gen", "trained"),
    ("tok", "not trained"),
    ("tok straddle", "straddles an edge"),
    ("tok escaped", "control token of a message, encoded as text"),
)
_LETTERS = {"template": "own", "control": "own ctl", "field": "fld"}
_EXPORTS = {
    "train": ("For training", "keeps the generation tags, for transformers and TRL"),
    "inference": ("For inference", "has no generation tags, for serving engines"),
}


def rendered_view(made: Rendered, marks: Marks) -> tuple[str, str]:
    """Return the view *Rendered* as HTML, and its counts as text."""
    drawn = picture(made.marked, name="conversation", generation_prompt=made.state.prompt)
    counts = " · ".join(drawn.summary)
    if not made.rendering.text:
        why = "The text is empty for this conversation. This shows what the template renders:"
        return nothing("The template renders nothing", why, f"chattmpl inspect {made.template.name}"), counts
    text = _frames(drawn, lambda item: f"<pre>{''.join(_piece(piece, marks) for piece in item.pieces)}</pre>")
    training = made.state.target == "train"
    warnings = _warnings(drawn, made) if training else ""
    entries = _TEXT_LEGEND if training else _TEXT_LEGEND[1:]
    return f'{warnings}<div class="text" tabindex="0">{text}</div>{legend(entries)}{_declared(drawn)}', counts


def tokens_view(made: Rendered, marks: Marks) -> tuple[str, str]:
    """Return the view *Tokens* as HTML, and its counts as text.

    Raises:
        Failed: if there is no such tokenizer, or it cannot encode the text.
    """
    name = made.state.tokenizer
    if not name:
        return nothing("No tokenizer", "Choose one above: demo ships with chattmpl, or name a tokenizer.json."), ""
    with problems_in("settings"):
        encoding = encode(made.marked, load_tokenizer(name))
    path = Path(name)
    short = f"{path.parent.name}/{path.name}" if path.suffix else name
    drawn = picture(made.marked, encoding, name="conversation", tokenizer=short, generation_prompt=made.state.prompt)
    text = _frames(drawn, _Chips(encoding, marks).of)
    rest = len(encoding) - MOST_TOKENS
    more = f"<p>{rest:,} more tokens are not drawn.</p>" if rest > 0 else ""
    warnings = _warnings(drawn, made) if made.state.target == "train" else ""
    chips = f'<div class="text chips" tabindex="0">{text}</div>'
    html = f"{_figures(encoding, made)}{warnings}{chips}{more}{legend(_TOKEN_LEGEND)}"
    return html, " · ".join(drawn.summary[:3])  # the figures above show the rest


def export_view(state: State) -> str:
    """Return the view *Export* as HTML, with buttons that copy and save each export.

    Raises:
        Failed: if the template does not compile.
    """
    return "".join(_export(target, export) for target, export in exports(state).items())


def exports(state: State) -> dict[str, str | ChatTmplError]:
    """Return the export for each target, or the error in its place; raise `Failed` if the template does not compile."""
    template = template_of(state)
    made: dict[str, str | ChatTmplError] = {}
    for target in ("train", "inference"):
        try:
            made[target] = template.export(target)
        except ChatTmplError as error:
            made[target] = error
    return made


def _export(target: str, export: str | ChatTmplError) -> str:
    title, detail = _EXPORTS[target]
    if isinstance(export, ChatTmplError):
        return frame(title, detail, note(export.message, f"<p>{quoted(export.hint or '')}</p>", "error"))
    buttons = "".join(
        f'<button class="button small" type="button" data-act="{act}:{target}">{word}</button>'
        for act, word in (("copy", "Copy"), ("save", "Save as .jinja"))
    )
    lines = "".join(f"<i>{quoted(line)}\n</i>" for line in export.split("\n"))
    pre = f'<pre class="numbered" tabindex="0">{lines}</pre>'
    return frame(title, detail, f'<div class="actions">{buttons}</div>{pre}')


def _frames(drawn: Picture, fill: Callable[[Frame], str]) -> str:
    kinds = (("outside" if item.turn is None else "made" if item.generated else "given") for item in drawn.frames)
    return "".join(
        frame(item.title, item.counts, fill(item), kind) for item, kind in zip(drawn.frames, kinds, strict=True)
    )


def _piece(item: Piece, marks: Marks) -> str:
    classes = " ".join(filter(None, (*_classes(item), marks.of(item.span))))
    return f'<b class="{classes}" data-o="{quoted(" · ".join(_facts(item)))}">{html_of(item.text)}</b>'


def _classes(item: Piece) -> Iterator[str]:
    yield _LETTERS[item.kind]
    if item.span.generated:
        yield "gen"


def _facts(item: Piece) -> Iterator[str]:
    """Yield the texts of the status bar for a piece."""
    yield item.origin
    if item.span.generated:
        yield "generated"


def _warnings(drawn: Picture, made: Rendered) -> str:
    """Return the warnings, the fields that are lost without a declared reason, and the parts that are not read."""
    boxes = [note(head, listed(map(quoted, details)), "warning") for head, details in drawn.warnings]
    notes = [each for each in made.notes if each.kind in WARNINGS]
    unread = [each.message(1) for each in notes if concerns(each, made.template, one_row=False)]
    boxes += [note(text, "", "warning") for text in unread]
    silent = [loss for loss in drawn.losses if loss.why is None]
    if silent:
        boxes.append(note(_lost(len(silent)), listed(map(_loss, silent)), "warning"))
    return "".join(boxes)


def _declared(drawn: Picture) -> str:
    known = [loss for loss in drawn.losses if loss.why is not None]
    return note(f"{_lost(len(known))}, as declared", listed(map(_loss, known))) if known else ""


def _lost(number: int) -> str:
    return f"{count(number, 'field')} {'is' if number == 1 else 'are'} lost"


def _loss(loss: LostField) -> str:
    why = "" if loss.why is None else f" <em>{quoted(loss.why.replace('--retention', 'retention'))}</em>"
    return f"{code(loss.path)} <span>{quoted(loss.held)}</span>{why}"


class _Chips:
    """Tokens as chips, the text above the id. A token across the edge of a frame is drawn in the first frame."""

    def __init__(self, encoding: Encoding, marks: Marks) -> None:
        self.encoding = encoding
        self.marks = marks
        self.drawn = -1

    def of(self, item: Frame) -> str:
        """Return the chips of a frame, with a break after each token that ends a line."""
        made = []
        for piece in item.pieces:
            for token in piece.tokens:
                if self.drawn < token < MOST_TOKENS:
                    self.drawn = token
                    made.append(self._chip(token, piece))
            if not piece.tokens:
                made.append(f'<b class="tok dropped" data-o="no token"><span>{spaced(piece.text)}</span></b>')
        return f'<div class="flow">{"".join(made)}</div>'

    def _chip(self, token: int, piece: Piece) -> str:
        encoding = self.encoding
        start, end = encoding.starts_c[token], encoding.ends_c[token]
        trained = bool(encoding.assistant_masks[token])
        classes = ["tok", "gen" if trained else "", "ctl" if piece.kind == "control" else ""]
        classes += [
            "straddle" if piece.straddles else "",
            "escaped" if piece.escaped else "",
            self.marks.of(piece.span),
        ]
        facts = [f"token {token}", f"id {encoding.input_ids[token]}", "trained" if trained else "not trained"]
        facts += ["straddles an edge of a generated span"] if piece.straddles else []
        facts += ["control token, encoded as ordinary text"] if piece.escaped else []
        text = spaced(encoding.text[start:end]) or "∅"
        breaks = "<br>" if encoding.text[start:end].endswith("\n") else ""
        shown = quoted(" · ".join([*facts, piece.origin]))
        number = f"<small>{encoding.input_ids[token]}</small>"
        return f'<b class="{" ".join(filter(None, classes))}" data-o="{shown}"><span>{text}</span>{number}</b>{breaks}'


def _figures(encoding: Encoding, made: Rendered) -> str:
    tokens, trained = len(encoding), sum(encoding.assistant_masks)
    figures = [
        ("tokens", f"{tokens:,}"),
        ("trained", f"{trained:,}"),
        ("share", f"{trained / tokens:.1%}" if tokens else "–"),
        ("straddles", f"{len(encoding.straddles):,}"),
        ("escaped", f"{len(encoding.escaped):,}"),
    ]
    if made.state.target == "inference":
        figures = [figures[0], figures[4]]
    rows = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures)
    return f'<dl class="figures">{rows}</dl>'
