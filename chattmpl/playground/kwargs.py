"""One control for each kwarg that the template reads, of the kind that the kwarg is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from chattmpl.playground.controls import Choice, Tag, written

_ABSENT = ""
Set = Callable[[str, Any], object]
"""Called with the name of a kwarg and its value; None takes it away."""


class Kwargs:
    """The controls of the kwargs."""

    def __init__(self, changed: Set) -> None:
        self.changed = changed
        self.holder = Tag("div", kind="kwargs")
        self._shown: tuple[list[dict[str, Any]], dict[str, Any]] | None = None

    def show(self, controls: Sequence[dict[str, Any]], values: dict[str, Any]) -> None:
        """These controls, with these values; what is there already stays, and with it where the keyboard is."""
        if self._shown is not None and _no_news(self._shown[0], controls):
            return
        self._shown = (list(controls), dict(values))
        self.holder.clear()
        with self.holder:
            for control in controls:
                self._control(control, values.get(control["name"]))

    def forget(self) -> None:
        """Make the controls anew when they are shown next, since the values come from elsewhere."""
        self._shown = None

    def _control(self, control: dict[str, Any], value: Any) -> None:
        name, kind = control["name"], control["kind"]
        if kind == "choice":
            self._choice(control, value)
            return
        text = value if kind == "text" and isinstance(value, str) else "" if value is None else _json(value)
        hint = {"text": "text", "number": "number", "data": "JSON"}[kind]
        line: list[Tag] = []
        line.append(
            written(name, text, lambda given: self._written(line[0], name, kind, given), kind="code", hint=hint)
        )
        if control["help"] or not control["effect"]:
            line[0].give(title=control["help"] or "no effect was seen in small conversations")

    def _choice(self, control: dict[str, Any], value: Any) -> None:
        default = control["default"]
        absent = "not set" if default is None else f"not set ({_json(default)})"
        options = {_ABSENT: absent, **{_json(item): _json(item) for item in control["values"]}}
        chosen = _ABSENT if value is None else _json(value)
        if chosen not in options:
            options[chosen] = chosen
        name = control["name"]
        Choice(
            name,
            {"": options},
            chosen,
            lambda given: self.changed(name, None if given == _ABSENT else json.loads(given)),
            kind="code",
        ).select.give(title=control["help"])

    def _written(self, line: Tag, name: str, kind: str, given: str) -> None:
        value: Any = given or None
        wrong = False
        if given.strip() and kind != "text":
            try:
                value = json.loads(given)
                wrong = kind == "number" and not isinstance(value, int | float)
            except ValueError:
                wrong = True
        line.give(aria_invalid="true" if wrong else "false")
        if not wrong:
            self.changed(name, value)


def _no_news(before: Sequence[dict[str, Any]], now: Sequence[dict[str, Any]]) -> bool:
    """Whether nothing new is known of the same kwargs; of a template that fails, all that is known is their names."""
    if list(before) == list(now):
        return True
    names = [[control["name"] for control in controls] for controls in (before, now)]
    return names[0] == names[1] and not any(control["effect"] for control in now)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
