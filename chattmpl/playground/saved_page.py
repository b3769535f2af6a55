"""The view as one file: the same HTML with the same style, which needs nothing from elsewhere and runs no scripts."""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path

from chattmpl.playground.state import State
from chattmpl.playground.views.loading import conversation_text, text_of
from chattmpl.playground.views.markup import code, quoted

ASSETS = Path(__file__).parent / "assets"
_CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def style(*names: str) -> str:
    """Our style sheets."""
    return "\n".join((ASSETS / f"{name}.css").read_text(encoding="utf-8") for name in names)


def saved_page(state: State, body: str, counts: str) -> str:
    """A page of its own.

    Args:
        state: what is shown.
        body: the view, as HTML.
        counts: its counts, in words.
    """
    name = state.base or state.name
    # Without scripts there is no line that tells what is under the pointer: the browser's own tip does.
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
        f"<title>{quoted(name)} · chattmpl</title>\n<style>{style('colours', 'view')}</style>\n</head>\n"
        f'<body class="saved"><main class="view"><h1>{quoted(name)}</h1><p class="settings">{_settings(state)}</p>'
        f'{body}<p class="counts">{quoted(counts)}</p>{details}</main></body>\n</html>\n'
    )


def _settings(state: State) -> str:
    said = [f"conversation {code(state.fixture if state.conversation is None else 'edited')}"]
    said.append(f"target {code(state.target)}")
    said += [f"retention {code(state.retention)}"] if state.retention else []
    said += ["with the generation prompt"] if state.prompt else []
    said += [f"{code(name)} = {code(json.dumps(value, ensure_ascii=False))}" for name, value in state.kwargs.items()]
    said += [f"tokenizer {code(Path(state.tokenizer).name)}"] if state.tab == "tokens" and state.tokenizer else []
    said += [f"beside {code(state.other)}"] if state.tab == "compare" and state.other else []
    return " · ".join(said)
