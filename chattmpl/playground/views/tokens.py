"""The view *Tokens*: ids, mask, straddles and escaped control tokens."""

from __future__ import annotations

from pathlib import Path

from chattmpl.encode import Encoding, encode, load_tokenizer
from chattmpl.playground.views.loading import Rendered, blaming
from chattmpl.playground.views.marks import Marks
from chattmpl.playground.views.markup import nothing, quoted, spaced
from chattmpl.playground.views.text import frames, legend, warnings
from chattmpl.report.picture import Frame, Piece, picture

MOST = 4_000
"""Tokens that are drawn: a page with more of them would be slow."""

LEGEND = [
    ("tok gen", "trained"),
    ("tok", "not trained"),
    ("tok straddle", "straddles an edge"),
    ("tok escaped", "control token of a message, encoded as text"),
]


def view(made: Rendered, marks: Marks) -> tuple[str, str]:
    """The view as HTML, and its counts in words.

    Raises:
        Failed: if there is no such tokenizer, or it cannot encode the text.
    """
    name = made.state.tokenizer
    if not name:
        return nothing("No tokenizer", "Choose one above: demo ships with chattmpl, a tokenizer.json is yours."), ""
    with blaming("settings"):
        encoding = encode(made.rendering, load_tokenizer(name))
    if made.state.target == "inference":
        encoding = without_mask(made, name)
    drawn = picture(
        made.marked, encoding, name="conversation", tokenizer=_short(name), generation_prompt=made.state.prompt
    )
    chips = _Chips(encoding, marks)
    text = frames(drawn, marks, chips.of)
    more = f"<p>{len(encoding) - MOST:,} more tokens are not drawn.</p>" if len(encoding) > MOST else ""
    figures = _figures(encoding, made)
    told = warnings(drawn) if made.state.target == "train" else ""
    html = f'{figures}{told}<div class="text chips" tabindex="0">{text}</div>{more}{legend(LEGEND)}'
    return html, " · ".join(drawn.summary[:3])  # the figures above have the rest


def without_mask(made: Rendered, name: str) -> Encoding:
    """The tokens of the text that an engine gets, in which nothing is trained."""
    return encode(made.marked, load_tokenizer(name))


def _short(name: str) -> str:
    path = Path(name)
    return path.parent.name + "/" + path.name if path.suffix else name


class _Chips:
    """Tokens as chips: the text over the id. A token that goes over the edge of a frame stands in the first."""

    def __init__(self, encoding: Encoding, marks: Marks) -> None:
        self.encoding = encoding
        self.marks = marks
        self.drawn = -1

    def of(self, frame: Frame) -> str:
        """The chips of a frame, a break where a token ends a line."""
        made = []
        for item in frame.pieces:
            for token in item.tokens:
                if self.drawn < token < MOST:
                    self.drawn = token
                    made.append(self._chip(token, item))
            if not item.tokens:
                made.append(f'<b class="tok dropped" data-o="no token"><span>{spaced(item.text)}</span></b>')
        return f'<div class="flow">{"".join(made)}</div>'

    def _chip(self, token: int, item: Piece) -> str:
        encoding = self.encoding
        start, end = encoding.starts_c[token], encoding.ends_c[token]
        trained = bool(encoding.assistant_masks[token])
        signs = ["tok", "gen" if trained else "", "ctl" if item.kind == "control" else ""]
        signs += ["straddle" if item.straddles else "", "escaped" if item.escaped else "", self.marks.of(item.span)]
        said = [f"token {token}", f"id {encoding.input_ids[token]}", "trained" if trained else "not trained"]
        said += ["straddles an edge of a generated span"] if item.straddles else []
        said += ["control token, encoded as ordinary text"] if item.escaped else []
        text = spaced(encoding.text[start:end]) or "∅"
        breaks = "<br>" if encoding.text[start:end].endswith("\n") else ""
        classes = " ".join(filter(None, signs))
        told = quoted(" · ".join([*said, item.origin]))
        number = f"<small>{encoding.input_ids[token]}</small>"
        return f'<b class="{classes}" data-o="{told}"><span>{text}</span>{number}</b>{breaks}'


def _figures(encoding: Encoding, made: Rendered) -> str:
    tokens, trained = len(encoding), sum(encoding.assistant_masks)
    share = f"{trained / tokens:.1%}" if tokens else "–"
    figures = [
        ("tokens", f"{tokens:,}"),
        ("trained", f"{trained:,}"),
        ("share", share),
        ("straddles", f"{len(encoding.straddles):,}"),
        ("escaped", f"{len(encoding.escaped):,}"),
    ]
    if made.state.target == "inference":
        figures = [figures[0], figures[4]]
    return (
        '<dl class="figures">'
        + "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures)
        + "</dl>"
    )
