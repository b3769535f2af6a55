"""HTML of the views, in which all text is escaped, and the saved page: self-contained and without scripts."""

import json
import re
from collections.abc import Iterable
from html import escape
from pathlib import Path

from chattmpl.playground.state import State
from chattmpl.playground.views.inputs import conversation_text, text_of
from chattmpl.printable import html_of, visible

ASSETS = Path(__file__).parent / "assets"
_CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def quoted(text: object) -> str:
    """Escape text for an element or an attribute, with invisible characters made visible."""
    return escape(visible(str(text)), quote=True)


def spaced(text: str) -> str:
    """Escape the text of a token, with signs for spaces and without line breaks."""
    return '<i class="sp"> </i>'.join(html_of(part).replace("\n", "") for part in text.split(" "))


def code(text: object) -> str:
    """Return text as code."""
    return f"<code>{quoted(text)}</code>"


def note(headline: str, body: str = "", kind: str = "info") -> str:
    """Return a box with a note: a headline as text, a body as HTML, ``info``, ``good``, ``warning`` or ``error``."""
    return f'<div class="note {kind}"><h3>{quoted(headline)}</h3>{body}</div>'


def nothing(headline: str, why: str = "", command: str = "") -> str:
    """Return the content of a view that has nothing to show, with a command that a click selects whole."""
    reason = f"<p>{quoted(why)}</p>" if why else ""
    next_step = f'<code class="command" tabindex="0">{quoted(command)}</code>' if command else ""
    return f'<div class="nothing"><h3>{quoted(headline)}</h3>{reason}{next_step}</div>'


def frame(title: str, detail: str, body: str, kind: str = "outside") -> str:
    """Return a frame with a heading, whose title is on the left and whose detail is on the right, around HTML.

    The kind is ``made`` for generated turns, ``given`` for other turns, and ``outside`` for everything else.
    """
    head = f"<h3><span>{quoted(title)}</span><span>{quoted(detail)}</span></h3>"
    return f'<section class="frame {kind}">{head}{body}</section>'


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """Return the meaning of the colours, given as CSS classes and labels."""
    labels = "".join(f'<b class="{kind}">{quoted(text)}</b>' for kind, text in entries)
    return f'<p class="legend">{labels}</p>'


def style(*names: str) -> str:
    """Return the text of the named style sheets."""
    return "\n".join((ASSETS / f"{name}.css").read_text(encoding="utf-8") for name in names)


def saved_page(state: State, body: str, counts: str) -> str:
    """Return a view as one file, from its HTML and from its counts as text."""
    name = state.base or state.name
    # Without scripts, the browser's own tooltip shows the origin of the text under the pointer.
    body = re.sub(r' data-o="', ' title="', body)
    sources = [("Template", text_of(state)), ("Conversation", conversation_text(state))]
    details = "".join(
        f'<details><summary>{title}</summary><pre tabindex="0">{escape(text)}</pre></details>'
        for title, text in sources
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_CONTENT_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{quoted(name)} · chattmpl</title>\n<style>{style('view')}</style>\n</head>\n"
        f'<body class="saved"><main class="view"><h1>{quoted(name)}</h1><p class="settings">{_settings(state)}</p>'
        f'{body}<p class="counts">{quoted(counts)}</p>{details}</main></body>\n</html>\n'
    )


def _settings(state: State) -> str:
    parts = [f"conversation {code(state.fixture if state.conversation is None else 'edited')}"]
    parts.append(f"target {code(state.target)}")
    parts += [f"retention {code(state.retention)}"] if state.retention else []
    parts += ["with the generation prompt"] if state.prompt else []
    parts += [f"{code(name)} = {code(json.dumps(value, ensure_ascii=False))}" for name, value in state.kwargs.items()]
    parts += [f"tokenizer {code(Path(state.tokenizer).name)}"] if state.tab == "tokens" and state.tokenizer else []
    parts += [f"compared with {code(state.other)}"] if state.tab == "compare" and state.other else []
    return " · ".join(parts)
