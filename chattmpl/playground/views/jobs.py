"""What the page asks for, by name: a job and its answer are JSON."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from chattmpl.encode import load_tokenizer
from chattmpl.errors import ChatTmplError
from chattmpl.playground.saved_page import saved_page
from chattmpl.playground.state import State
from chattmpl.playground.views import compare, export, laws, rendered, study, tokens
from chattmpl.playground.views.loading import Failed, Problem, Rendered, template_of
from chattmpl.playground.views.loading import rendered as render
from chattmpl.playground.views.marks import Marks

Answer = dict[str, Any]


def answer(job: dict[str, Any]) -> Answer:
    """The answer to a job: ``ok`` with what was asked for, or ``problem``.

    Args:
        job: its ``kind`` (``view``, ``study``, ``laws``, ``exports``, ``save``, ``tokenizer``, ``ping``) and ``state``.
    """
    try:
        if job["kind"] == "ping":
            return {"ok": True}
        state = State.from_dict(job["state"])
        return {"ok": True, **_KINDS[job["kind"]](state)}
    except Failed as error:
        return {"ok": False, "problem": asdict(error.problem)}
    except ChatTmplError as error:
        return {"ok": False, "problem": asdict(Problem("settings", "error", error.message, error.hint or ""))}
    except (RecursionError, MemoryError) as error:
        what = f"this needs more than chattmpl gives it ({type(error).__name__})"
        return {"ok": False, "problem": asdict(Problem("template", "error", what))}
    except Exception as error:
        what = f"this is a bug in chattmpl: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return {"ok": False, "problem": asdict(Problem("settings", "error", what, "please report it"))}


def _view(state: State) -> Answer:
    made = render(_complete(state))
    marks = Marks(made)
    html, counts = _shown(made, marks)
    return {
        "html": html,
        "counts": counts,
        "template_marks": marks.template(),
        "conversation_marks": marks.conversation(),
        "retention": made.template.retention,
        "other": made.state.other,
    }


def _complete(state: State) -> State:
    """The state with what is compared with, as long as nothing was chosen."""
    if state.tab != "compare" or state.other:
        return state
    return replace(state, other=compare.default(state, template_of(state).retention))


def _shown(made: Rendered, marks: Marks) -> tuple[str, str]:
    tab = made.state.tab
    if tab == "export":
        return export.view(export.exports(made.state)), ""
    if tab == "laws":
        return "", ""
    if tab == "compare":
        try:
            return compare.view(made, marks)
        except Failed as error:
            return compare.failed(error), ""
    views = {"rendered": rendered.view, "tokens": tokens.view}
    return views[tab](made, marks)


def _exports(state: State) -> Answer:
    made = export.exports(state)
    return {"exports": {target: text for target, text in made.items() if isinstance(text, str)}}


def _save(state: State) -> Answer:
    if state.tab == "laws":
        found = laws.view(state)
        return {"page": saved_page(state, found["html"], found["counts"])}
    view = _view(state)
    return {"page": saved_page(state, view["html"], view["counts"])}


def _tokenizer(state: State) -> Answer:
    """Read the tokenizer, which is then known in this process."""
    load_tokenizer(state.tokenizer)
    return {}


_KINDS = {
    "tokenizer": _tokenizer,
    "view": _view,
    "study": study.view,
    "laws": laws.view,
    "exports": _exports,
    "save": _save,
}
