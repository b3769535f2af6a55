"""Pictures in a terminal.

Generated text has a bar in the margin, with or without colours: a line ends wherever generated text begins or ends, so
that the bar holds for each character. Without colours, thin lines separate the tokens.
"""

from collections.abc import Iterable, Iterator

from rich.box import ROUNDED, Box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.text import Text

from chattmpl.printable import fragments
from chattmpl.report.picture import Frame, LostField, Picture, Piece, losses_by_reason, losses_headline

_QUIET = Box("╭╌╌╮\n┊  ┊\n├╌╌┤\n┊  ┊\n├╌╌┤\n├╌╌┤\n┊  ┊\n╰╌╌╯\n")
_FRAME_WIDTH = 4
_MARGIN_WIDTH = 2
_MOST_LOSSES = 20

_GENERATED, _UNTRAINED, _WRONGLY_TRAINED, _PROMPT = "▌", "┊", "!", " "
_MARGIN_STYLE = {_GENERATED: "green", _UNTRAINED: "yellow", _WRONGLY_TRAINED: "bold red", _PROMPT: ""}
_NEWLINE, _TAB, _SPACE, _EDGE = "↵", "⇥   ", "·", "▏"

_KIND = {"template": "dim", "control": "cyan", "field": ""}
_KIND_GENERATED = {"template": "#8fce9e", "control": "bold #ffffff", "field": "#dcfce7"}
_KIND_TOKEN = {"template": "#9aa4b2", "control": "#7fd4e4", "field": "#e6e9ee"}
_SHADES = {True: ("#14532d", "#1d6b3c"), False: ("#262b33", "#363d48")}
_HIDDEN = "bold magenta"
_ESCAPED = "bold #ffffff on #9f1239"


def print_picture(to: Console, shown: Picture, *, heading: bool = False) -> None:
    """Print a picture and the meaning of its signs, with ``heading`` after a horizontal rule that names it."""
    if heading:
        to.print(Rule(Text(shown.name, "bold"), style="bold"))
    to.print(_headline(shown))
    for frame in shown.frames:
        to.print(_panel(to, frame))
    for box in _boxes(shown):
        to.print(box)
    to.print(_flowing((Text(part, "bold") for part in shown.summary), Text(" · ", "dim"), to.width))
    to.print(_flowing(_legend(to, shown), Text("   "), to.width))


def _headline(shown: Picture) -> Text:
    line = Text.assemble((shown.name, "bold"), (" in ", "dim"), (shown.template, "bold"))
    if shown.tokenizer is not None:
        line.append_text(Text.assemble((", tokens of ", "dim"), (shown.tokenizer, "bold")))
    return line


def _panel(to: Console, frame: Frame) -> Panel:
    width = max(to.width - _FRAME_WIDTH - _MARGIN_WIDTH, 8)
    body = Text("\n", no_wrap=True).join(_lines(to, frame.pieces, width))
    quiet = frame.turn is None
    border = "dim" if quiet else "green" if frame.generated else "blue"
    return Panel(
        body,
        box=_QUIET if quiet else ROUNDED,
        border_style=border,
        title=Text(frame.title, "dim" if quiet else f"bold {border}"),
        title_align="left",
        subtitle=Text(frame.counts, "dim"),
        subtitle_align="right",
        padding=(0, 1),
    )


def _lines(to: Console, pieces: Iterable[Piece], width: int) -> Iterator[Text]:
    """Yield the lines of a frame, wrapped, each with its margin."""
    for margin, line in _rows(to, pieces):
        for part in line.wrap(to, width, overflow="fold") or [line]:
            yield Text.assemble((margin, _MARGIN_STYLE[margin]), " ", part)


def _rows(to: Console, pieces: Iterable[Piece]) -> Iterator[tuple[str, Text]]:
    """Yield the lines before wrapping: a line ends at each newline and wherever the margin changes."""
    margin, row, shade = _PROMPT, Text(), 0
    for piece in pieces:
        if _margin(piece) != margin and row:
            yield margin, row
            row = Text()
        margin = _margin(piece)
        if piece.shade > 1 and piece.shade != shade and row and _edges(to):
            row.append(_EDGE, "dim")
        shade = piece.shade
        for index, line in enumerate(piece.text.split("\n")):
            if index:
                row.append(_NEWLINE, _dimmed(piece))
                yield margin, _trailing_shown(row)
                row = Text()
            for text, hidden in fragments(line):
                row.append(text.replace("\t", _TAB), _HIDDEN if hidden else _style(piece))
    if row:
        yield margin, row


def _edges(to: Console) -> bool:
    """Return whether lines must separate the tokens because the console has no colours."""
    return to.no_color or to.color_system is None


def _margin(piece: Piece) -> str:
    generated = piece.span.generated
    if piece.trained is None or piece.trained == generated:
        return _GENERATED if generated else _PROMPT
    # White space that the tokenizer drops has no token to train.
    return _WRONGLY_TRAINED if piece.trained else _UNTRAINED if piece.tokens else _GENERATED


def _style(piece: Piece) -> str:
    if piece.escaped:
        return _ESCAPED
    generated = piece.span.generated
    if piece.trained is None:
        return f"{_KIND_GENERATED[piece.kind]} on {_SHADES[True][0]}" if generated else _KIND[piece.kind]
    colour = (_KIND_GENERATED if generated else _KIND_TOKEN)[piece.kind]
    background = f" on {_SHADES[piece.trained][piece.shade % 2]}" if piece.tokens else ""
    return colour + background + (" underline" if piece.straddles else "")


def _dimmed(piece: Piece) -> str:
    background = _style(piece).partition(" on ")[2].split(" ")[0]
    return f"#8b949e on {background}" if background else "dim"


def _trailing_shown(row: Text) -> Text:
    """Make the spaces before the newline of a row visible."""
    plain = row.plain.removesuffix(_NEWLINE)
    kept = plain.rstrip(" ")
    if len(kept) < len(plain):
        row.plain = kept + _SPACE * (len(plain) - len(kept)) + _NEWLINE
    return row


def _boxes(shown: Picture) -> Iterator[Panel]:
    for headline, details in shown.warnings:
        yield _warning(headline, Text("\n").join(Text(line) for line in details))
    if shown.losses:
        yield _warning(losses_headline(len(shown.losses)), _lost(shown.losses))


def _warning(headline: str, body: RenderableType) -> Panel:
    title = Text(f"! {headline}", "bold yellow")
    return Panel(body, box=ROUNDED, border_style="yellow", title=title, title_align="left", padding=(0, 1))


def _lost(lost: tuple[LostField, ...]) -> RenderableType:
    shown = lost[:_MOST_LOSSES]
    lines: list[RenderableType] = []
    for why, losses in losses_by_reason(shown).items():
        lines += [
            Text.assemble((loss.path, "yellow"), ("  " + loss.held if loss.held else "", "dim")) for loss in losses
        ]
        if why is not None:
            lines.append(Padding(Text(why, "italic"), (0, 0, 0, 2)))
    if len(lost) > len(shown):
        lines.append(Text(f"and {len(lost) - len(shown)} more, listed by --format json", "italic"))
    return Group(*lines)


def _legend(to: Console, shown: Picture) -> Iterator[Text]:
    """Yield the meaning of each sign in use."""
    pieces = [piece for frame in shown.frames for piece in frame.pieces]
    margins = {_margin(piece) for piece in pieces}
    tokens = shown.tokenizer is not None
    if _GENERATED in margins:
        what = "generated and trained" if tokens else "generated: the model samples it"
        yield Text.assemble((_GENERATED, "green"), " ", (what, f"{_KIND_GENERATED['field']} on {_SHADES[True][0]}"))
    if _UNTRAINED in margins:
        yield Text.assemble((_UNTRAINED, "yellow"), " generated, not trained")
    if _WRONGLY_TRAINED in margins:
        yield Text.assemble((_WRONGLY_TRAINED, "bold red"), " trained, though the prompt supplies it")
    kinds = {piece.kind for piece in pieces}
    if "field" in kinds:
        yield Text("prompt: from a field", f"{_KIND_TOKEN['field']} on {_SHADES[False][0]}" if tokens else "")
    if "template" in kinds:
        yield Text("prompt: from the template", _KIND["template"])
    if "control" in kinds:
        yield Text("control token", _KIND["control"])
    if any(piece.escaped for piece in pieces):
        yield Text("encoded as ordinary text", _ESCAPED)
    if any("\n" in piece.text for piece in pieces):
        yield Text(f"{_NEWLINE} newline", "dim")
    if tokens and _edges(to):
        yield Text(f"{_EDGE} token edge", "dim")


def _flowing(entries: Iterable[Text], separator: Text, width: int) -> Text:
    """Join entries into lines of at most ``width`` cells, broken only between entries."""
    flow, used = Text(), 0
    for entry in entries:
        if used and used + separator.cell_len + entry.cell_len > width:
            flow.append("\n")
            used = 0
        elif used:
            flow.append_text(separator)
            used += separator.cell_len
        flow.append_text(entry)
        used += entry.cell_len
    return flow
