from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView
from chattmpl.data.reasoning_mode import SWITCHES, mode_of_flag, mode_of_kwarg


class ModeContradicted(Check):
    """Two settings of the reasoning mode contradict each other.

    Reports rows in which `/think` or `/no_think` in the system message, or in the last user message, contradicts the
    template kwarg (key `flag`), or whose kwarg is a string such as `"false"`, which is true in a template (key
    `string`).

    ## Why is this bad?

    Templates differ in which of the two takes precedence, and so will the model.
    """

    severity = "error"
    message = {
        "string": "the kwarg of the reasoning mode is a string, which is always true in a template",
        "flag": "the kwarg and a flag in the text request different reasoning modes",
    }
    hint = "keep one of the two, and write booleans as booleans"
    needs_row = False

    def check_row(self, view: RowView) -> RowFindings:
        names = (view.switch.name,) if view.switch.name else SWITCHES
        for name in names:
            value = view.kwargs.get(name)
            if isinstance(value, str) and value.lower() in ("true", "false"):
                yield RowFinding("string", f"{name} is {value!r}")
        mode = mode_of_kwarg(view.kwargs, view.switch)
        system = [m for m in view.messages if m.get("role") == "system"]
        user = [m for m in view.messages if m.get("role") == "user"]
        flags = {mode_of_flag(message) for message in (*system, *user[-1:])} - {None}
        if mode is not None and flags - {mode}:
            yield RowFinding("flag", f"the kwarg says {mode}, the text {(flags - {mode}).pop()}")
