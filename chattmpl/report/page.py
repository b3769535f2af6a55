"""Pictures as a self-contained HTML page without scripts.

All text from conversations, templates and tokenizers goes through `html.escape`. The style sheet draws the signs for
newlines, tabs and hidden characters, so that they are not copied with the text.
"""

from collections.abc import Iterable, Iterator
from html import escape

from chattmpl.printable import html_of, visible
from chattmpl.report.picture import Frame, LostField, Picture, Piece, losses_by_reason, losses_headline

_STYLE = """
:root { color-scheme: light dark;
  --page: #ffffff; --text: #1f2328; --quiet: #656d76; --line: #d0d7de; --frame: #f6f8fa; --control: #0550ae;
  --given: #eaeef2; --given2: #d8dee4; --made: #d2f4d9; --made2: #aee9bc; --made-text: #0a3d1c; --bar: #1a7f37;
  --warn: #9a6700; --warn-page: #fff8c5; --bad: #a40e26; --bad-page: #ffd7d5; }
@media (prefers-color-scheme: dark) { :root {
  --page: #0d1117; --text: #e6edf3; --quiet: #8d96a0; --line: #30363d; --frame: #161b22; --control: #79c0ff;
  --given: #21262d; --given2: #323942; --made: #12402a; --made2: #1c5e3b; --made-text: #d7f9e0; --bar: #3fb950;
  --warn: #d29922; --warn-page: #2b2411; --bad: #ffb3ae; --bad-page: #67141a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 68rem; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.25rem; margin: 0 0 1rem; font-weight: 600; overflow-wrap: anywhere; }
h1 small { font-weight: 400; color: var(--quiet); font-size: .95rem; }
section + section { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1.5rem; }
.frame { border: 1px solid var(--line); border-left: 4px solid var(--line); border-radius: 6px; margin: 0 0 .75rem;
  background: var(--frame); }
.frame.made { border-left-color: var(--bar); }
.frame.outside { border-style: dashed; }
.frame h2 { display: flex; justify-content: space-between; gap: 1rem; margin: 0; padding: .3rem .75rem;
  font-size: .85rem; font-weight: 600; border-bottom: 1px solid var(--line); }
.frame h2 span + span, .outside h2 { color: var(--quiet); font-weight: 400; }
pre { margin: 0; padding: .6rem .75rem; white-space: pre-wrap; overflow-wrap: anywhere; tab-size: 4;
  font: 13px/1.65 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre b { font-weight: inherit; -webkit-box-decoration-break: clone; box-decoration-break: clone; padding: .1em 0; }
.f { color: var(--text); } .l { color: var(--quiet); } .c { color: var(--control); }
.g { color: var(--made-text); background: var(--made); border-bottom: 2px solid var(--bar); }
.g.l { opacity: .85; } .g.c { font-weight: 700; }
.t0 { background: var(--given); } .t1 { background: var(--given2); }
.m { color: var(--made-text); } .m.t0 { background: var(--made); } .m.t1 { background: var(--made2); }
.g.u { border-bottom-style: dotted; background: none; color: inherit; }
.w, .x { background: var(--bad-page) !important; color: var(--bad); }
.w { border-bottom: 2px solid var(--bad); } .x { font-weight: 700; }
.s { outline: 2px solid var(--warn); }
.n::before { content: "↵"; color: var(--quiet); } .tab::before { content: "⇥"; color: var(--quiet); }
.h::before { content: attr(data-c); color: var(--bad); font-size: .85em; }
.warning { border: 1px solid var(--warn); border-radius: 6px; background: var(--warn-page); margin: 0 0 .75rem;
  padding: .5rem .75rem; }
.warning h2 { color: var(--warn); font-size: .95rem; margin: 0; }
.warning ul { margin: .3rem 0; padding-left: 1.25rem; }
.warning p { margin: .2rem 0 .5rem 1.25rem; font-style: italic; }
code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .9em;
  overflow-wrap: anywhere; }
.held, footer { color: var(--quiet); } .sum { font-weight: 600; }
footer b { font-weight: inherit; padding: .1em .4em; margin-right: .8em; white-space: nowrap; }
"""

_CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page_start(title: str) -> str:
    """Return the HTML before the first section."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_CONTENT_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(visible(title))}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
    )


PAGE_END = "</body>\n</html>\n"


def section(shown: Picture) -> str:
    """Return the HTML of one picture, for the body of a page."""
    tokens = "" if shown.tokenizer is None else f", tokens of {shown.tokenizer}"
    head = f"<h1>{escape(shown.name)} <small>in {escape(shown.template + tokens)}</small></h1>"
    frames = "\n".join(map(_frame, shown.frames))
    boxes = "\n".join(_warning(headline, details) for headline, details in shown.warnings)
    lost = _lost(shown.losses) if shown.losses else ""
    summary = f'<p class="sum">{escape(" · ".join(shown.summary))}</p>'
    parts = [head, frames, boxes, lost, summary, _legend(shown)]
    return "<section>\n" + "\n".join(filter(None, parts)) + "\n</section>\n"


def _frame(frame: Frame) -> str:
    kind = "outside" if frame.turn is None else "made" if frame.generated else "given"
    head = f"<h2><span>{escape(frame.title)}</span><span>{escape(frame.counts)}</span></h2>"
    return f'<div class="frame {kind}">{head}<pre>{"".join(map(_piece, frame.pieces))}</pre></div>'


def _piece(piece: Piece) -> str:
    title = escape("\n".join(_facts(piece)), quote=True)
    return f'<b class="{" ".join(_classes(piece))}" title="{title}">{html_of(piece.text)}</b>'


def _facts(piece: Piece) -> Iterator[str]:
    """Yield the lines of a piece's tooltip."""
    yield piece.origin
    if piece.trained is not None:
        tokens = piece.tokens
        if not tokens:
            yield "no token: dropped by the tokenizer"
            return
        several = len(tokens) > 1
        yield f"tokens {tokens[0]} to {tokens[-1]}" if several else f"token {tokens[0]}"
        yield "trained" if piece.trained else "not trained"
    if piece.straddles:
        yield "straddles an edge of a generated span"
    if piece.escaped:
        yield "control token, encoded as ordinary text"


def _classes(piece: Piece) -> Iterator[str]:
    yield {"template": "l", "control": "c", "field": "f"}[piece.kind]
    generated = piece.span.generated
    if generated:
        yield "g"
    if piece.tokens:
        yield f"t{piece.shade % 2}"
        if piece.trained:
            yield "m" if generated else "w"
        elif generated:
            yield "u"
    if piece.straddles:
        yield "s"
    if piece.escaped:
        yield "x"


def _warning(headline: str, items: Iterable[str]) -> str:
    return f'<div class="warning"><h2>{escape(headline)}</h2>{listed(map(escape, items))}</div>'


def listed(items: Iterable[str]) -> str:
    """Return a list of items that are HTML already; nothing without items."""
    inside = "".join(f"<li>{item}</li>" for item in items)
    return f"<ul>{inside}</ul>" if inside else ""


def _lost(lost: tuple[LostField, ...]) -> str:
    parts = [f"<h2>{losses_headline(len(lost))}</h2>"]
    for why, losses in losses_by_reason(lost).items():
        items = (f'<code>{escape(loss.path)}</code> <span class="held">{escape(loss.held)}</span>' for loss in losses)
        parts.append(listed(items))
        parts += [] if why is None else [f"<p>{escape(why)}</p>"]
    return f'<div class="warning">{"".join(parts)}</div>'


def _legend(shown: Picture) -> str:
    tokens = shown.tokenizer is not None
    shade = " t0" if tokens else ""
    made = "generated and trained" if tokens else "generated: the model samples it"
    entries = [
        ("g m t0" if tokens else "g", made),
        ("f" + shade, "prompt: from a field"),
        ("l" + shade, "prompt: from the template"),
        ("c" + shade, "control token"),
    ]
    used = {name for frame in shown.frames for piece in frame.pieces for name in _classes(piece)}
    optional = [
        ("g u", "u", "generated, not trained"),
        ("w", "w", "trained, though the prompt supplies it"),
        ("s", "s", "straddles an edge"),
        ("x", "x", "encoded as ordinary text"),
    ]
    entries += [(classes, text) for classes, sign, text in optional if sign in used]
    legend = "".join(f'<b class="{classes}">{escape(text)}</b>' for classes, text in entries)
    return f"<footer>{legend}<br>Point at text to see the field and the template line that it came from.</footer>"
