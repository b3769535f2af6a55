"""The process that renders: it reads one job per line and writes one answer per line, both in JSON.

A template is a program written by someone else. It runs here, within the budget of every render and a limit on memory,
so that the page stays responsive and its process can kill this one.
"""

import gc
import json
import os
import sys
from dataclasses import asdict, replace
from typing import IO, Any

from chattmpl.encode import load_tokenizer
from chattmpl.errors import ChatTmplError
from chattmpl.playground.html import saved_page
from chattmpl.playground.lane import READY
from chattmpl.playground.state import State
from chattmpl.playground.views import analysis, compare, laws, rendering
from chattmpl.playground.views.inputs import Failed, Problem, Rendered, rendered, template_of
from chattmpl.playground.views.marks import Marks

MOST_MEMORY = 4 << 30
"""Limit of the address space in bytes, of which libraries take a part before the first render."""

Answer = dict[str, Any]


def answer(job: dict[str, Any]) -> Answer:
    """Return the answer to a job, ``ping`` or one of `_KINDS` with a state: ``ok`` and the result, or ``problem``."""
    try:
        if job["kind"] == "ping":
            return {"ok": True}
        return {"ok": True, **_KINDS[job["kind"]](State.from_dict(job["state"]))}
    except Failed as error:
        problem = error.problem
    except ChatTmplError as error:
        problem = Problem("settings", "error", error.message, error.hint or "")
    except (RecursionError, MemoryError) as error:
        problem = Problem("template", "error", f"the template exceeds the limits ({type(error).__name__})")
    except Exception as error:
        message = f"internal error of chattmpl: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        problem = Problem("settings", "error", message, "please report it")
    return {"ok": False, "problem": asdict(problem)}


def _view(state: State) -> Answer:
    if state.tab == "compare" and not state.other:
        template = template_of(state)
        if state.against != "retention" or template.program.has_reasoning:
            state = replace(state, other=compare.default(state, template.retention))
    made = rendered(state)
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


def _shown(made: Rendered, marks: Marks) -> tuple[str, str]:
    match made.state.tab:
        case "rendered":
            return rendering.rendered_view(made, marks)
        case "tokens":
            return rendering.tokens_view(made, marks)
        case "compare":
            return compare.view(made, marks)
        case "export":
            return rendering.export_view(made.state), ""
        case "laws":
            return "", ""


def _exports(state: State) -> Answer:
    made = rendering.exports(state)
    return {"exports": {target: text for target, text in made.items() if isinstance(text, str)}}


def _save(state: State) -> Answer:
    found = laws.view(state) if state.tab == "laws" else _view(state)
    return {"page": saved_page(state, found["html"], found["counts"])}


def _tokenizer(state: State) -> Answer:
    """Load the tokenizer, which then stays cached in this process."""
    load_tokenizer(state.tokenizer)
    return {}


_KINDS = {
    "tokenizer": _tokenizer,
    "view": _view,
    "analysis": analysis.view,
    "laws": laws.view,
    "exports": _exports,
    "save": _save,
}


def serve(jobs: IO[str], answers: IO[str]) -> None:
    """Answer jobs until the end of the input."""
    # All objects up to now stay for good, so the garbage collector need not visit them.
    gc.freeze()
    answers.write(READY)
    answers.flush()
    for line in jobs:
        answers.write(json.dumps(answer(json.loads(line)), ensure_ascii=True) + "\n")
        answers.flush()


def main() -> None:
    """Run the process. Answers take the place of stdout; everything else goes to stderr."""
    _limit_memory()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin, answers)


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # not available on Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or hard > MOST_MEMORY:
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, hard))


if __name__ == "__main__":
    main()
