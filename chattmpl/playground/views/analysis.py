"""The slower analysis of a template: findings of lint, and controls for the kwargs that it reads."""

from dataclasses import asdict
from typing import Any

from chattmpl.encode import load_tokenizer
from chattmpl.errors import ChatTmplError
from chattmpl.lint.runner import lint
from chattmpl.playground.setup import DEMO
from chattmpl.playground.state import State
from chattmpl.playground.views.inputs import Failed, Problem, found_of, position, readable, template_of, text_of
from chattmpl.probing import TemplateFacts
from chattmpl.probing.modes import Mode
from chattmpl.probing.prober import PROBE_BUDGET
from chattmpl.template.template import Template

Control = dict[str, Any]


def controls(state: State) -> list[Control]:
    """Return a control for each kwarg that the template reads, with the values that change the text.

    Raises:
        Failed: if the template does not compile.
    """
    template, found = template_of(state), found_of(state)
    modes = TemplateFacts(Template(found, None, PROBE_BUDGET)).modes
    declared = found.family.modes if found.family else {}
    others = found.family.kwargs if found.family else {}
    made = []
    for name in readable(template):
        mode = modes.get(name)
        facts = declared.get(name) or others.get(name)
        help_text = facts.description if facts is not None else ""
        made.append(_control(name, mode, help_text))
    return made


def _control(name: str, mode: Mode | None, help_text: str) -> Control:
    kind = "data" if mode is None else mode.kind
    values = list(mode.values) if mode is not None else []
    default = None if mode is None else mode.default
    return {
        "name": name,
        "kind": "choice" if kind == "switch" else "data" if kind == "no effect" else kind,
        "values": values,
        "default": default,
        "effect": kind != "no effect",
        "help": help_text,
    }


def problems(state: State) -> list[Problem]:
    """Lint the template; raise `Failed` if the template does not exist."""
    try:
        tokenizer = load_tokenizer(state.tokenizer) if state.tokenizer else None
    except ChatTmplError:
        tokenizer = None
    # The demo tokenizer belongs to no template, so tokens that it lacks are not findings.
    known = None if state.tokenizer == DEMO else tokenizer
    made: list[Problem] = []
    if not text_of(state).strip():
        return made
    for item in lint(found_of(state), tokenizer=known):
        at = position(item.place)
        made.append(Problem("template", item.severity, item.message, item.hint, item.code, *at))
    return made


def view(state: State) -> dict[str, Any]:
    """Return controls and problems; controls are None if the template does not compile."""
    try:
        known = controls(state)
    except Failed:
        known = None
    try:
        found = [asdict(problem) for problem in problems(state)]
    except Failed as error:
        found = [asdict(error.problem)]
    return {"controls": known, "problems": found}
