"""AU303."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Note
from chattmpl.data.audit.row_view import View
from chattmpl.data.reasoning_mode import SWITCHES, mode_of_flag, mode_of_kwarg


class ModeContradicted(Kind):
    """Two ways to ask for a reasoning mode contradict each other.

    ## What it does

    Reports rows in which `/think` or `/no_think` in the system message, or in the last message of the user, says
    the opposite of the template kwarg (key `flag`), or whose kwarg is a string such as `"false"`, which a template
    takes for true (key `string`).

    ## Why is this bad?

    Templates differ in which of the two decides, and so will the model.

    ## What to do

    Keep one of the two, and write booleans as booleans.
    """

    code = "AU303"
    name = "mode-contradicted"
    severity = "error"
    says = "{key}"
    hint = "keep one of the two, and write booleans as booleans"
    needs_row = False

    def row(self, view: View) -> Iterator[Note]:
        """What is wrong with one row."""
        names = (view.switch.name,) if view.switch.name else SWITCHES
        for name in names:
            value = view.kwargs.get(name)
            if isinstance(value, str) and value.lower() in ("true", "false"):
                yield Note("string", f"{name} is {value!r}")
        mode = mode_of_kwarg(view.kwargs, view.switch)
        system = [m for m in view.messages if m.get("role") == "system"]
        user = [m for m in view.messages if m.get("role") == "user"]
        flags = {mode_of_flag(message) for message in (*system, *user[-1:])} - {None}
        if mode is not None and flags - {mode}:
            yield Note("flag", f"the kwarg says {mode}, the text {(flags - {mode}).pop()}")

    def message(self, key: str, detail: str = "") -> str:
        """What is wrong."""
        if key == "string":
            return "the kwarg of the reasoning mode is a string, which a template takes for true"
        return "the kwarg and a flag in the text ask for different reasoning modes"
