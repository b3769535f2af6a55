"""Controls of the page, made of plain HTML elements: labelled, reachable by keyboard, styled by the page's own sheet.

A control calls its ``changed`` after each change that the user makes, and never for a change made by the program.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from nicegui import ui

Changed = Callable[[Any], object]
Options = Mapping[str, Mapping[str, str]]
"""Groups by title, each with its values and their labels; the group with an empty title has no heading."""

_ABSENT = ""


def _ignore(*_: object) -> None:
    pass


class TextElement(ui.element):  # type: ignore[misc] # NiceGUI is optional, so mypy does not analyse it
    """An HTML element whose content is plain text."""

    def __init__(self, tag: str, text: str = "", kind: str = "", **props: Any) -> None:
        super().__init__(tag)
        self._text = text
        self._props.update(_attributes(props))
        if kind:
            self.classes(kind)

    def set_text(self, text: str) -> None:
        """Replace the text."""
        if text != self._text:
            self._text = text
            self.update()

    def set_attributes(self, **props: Any) -> None:
        """Set attributes; those with the same value are not sent again."""
        given = _attributes(props)
        if any(name not in self._props or self._props[name] != value for name, value in given.items()):
            self._props.update(given)
            self.update()

    def show(self, shown: bool) -> None:
        """Show or hide the element."""
        self.classes(**{"remove" if shown else "add": "hidden"})

    def on_click(self, clicked: Callable[[], object]) -> None:
        """Call a function on each click."""
        self.on("click", lambda _: clicked())


def _attributes(props: Mapping[str, Any]) -> dict[str, Any]:
    return {name.rstrip("_").replace("_", "-"): value for name, value in props.items()}


class Choice:
    """A drop-down list with a label above it, which only screen readers read if it is ``hidden``."""

    def __init__(self, label: str, *, hidden: bool = False, kind: str = "") -> None:
        self.changed: Changed = _ignore
        self.value = ""
        self._options: Options = {}
        self.select: TextElement
        if hidden:
            self.holder = self.select = TextElement("select", aria_label=label)
        else:
            self.holder = TextElement("label", kind=f"field {kind}".strip())
            with self.holder:
                TextElement("span", label)
                self.select = TextElement("select", aria_label=label)
        self.select.on("change", self._on_change, js_handler="(event) => emit(event.target.value)")

    def offer(self, options: Options, value: str) -> None:
        """Replace the options and select one of them."""
        if options != self._options:
            self._options = {title: dict(group) for title, group in options.items()}
            self.select.clear()
            with self.select:
                for title, group in options.items():
                    self._group(title, group)
        self.set(value)

    def _group(self, title: str, group: Mapping[str, str]) -> None:
        if title and group:
            with TextElement("optgroup", label=title):
                self._group("", group)
            return
        for value, name in group.items():
            TextElement("option", name, value=value)

    def set(self, value: str) -> None:
        """Select a value."""
        self.value = value
        self.select.set_attributes(value=value)

    def enable(self, enabled: bool) -> None:
        """Enable or disable the list."""
        self.select.set_attributes(disabled=not enabled)

    def _on_change(self, event: Any) -> None:
        self.set(event.args)
        self.changed(event.args)


class TextField:
    """A line of text with a label above it. ``live`` reports each keystroke, not only the finished text."""

    def __init__(
        self, label: str, value: str = "", *, kind: str = "", wide: bool = False, hint: str = "", live: bool = True
    ) -> None:
        self.changed: Changed = _ignore
        with TextElement("label", kind=f"field {kind}".strip()):
            TextElement("span", label)
            # defaultValue and not value, which would overwrite what the user types on each update of the element.
            self.input = TextElement(
                "input", kind="wide" if wide else "", type="text", defaultValue=value, spellcheck="false"
            )
            self.input.set_attributes(autocomplete="off", placeholder=hint)
        handler = "(event) => emit(event.target.value)"
        self.input.on("input" if live else "change", lambda event: self.changed(event.args), js_handler=handler)


class CheckBox:
    """A labelled check box."""

    def __init__(self, label: str) -> None:
        self.changed: Changed = _ignore
        with TextElement("label", kind="check"):
            self.box = TextElement("input", type="checkbox", checked=False)
            TextElement("span", label)
        self.box.on("change", self._on_change, js_handler="(event) => emit(event.target.checked)")

    def set(self, value: bool) -> None:
        """Check or uncheck the box."""
        self.box.set_attributes(checked=value)

    def _on_change(self, event: Any) -> None:
        self.set(event.args)
        self.changed(event.args)


class Segments:
    """A few options side by side, one of them pressed."""

    chosen: ClassVar[Mapping[bool, Mapping[str, str]]] = {
        True: {"aria_pressed": "true"},
        False: {"aria_pressed": "false"},
    }
    """Attributes of the button that is chosen, and of the others."""

    def __init__(self, label: str, options: Mapping[str, str]) -> None:
        self.changed: Changed = _ignore
        with TextElement("div", kind="field", role="group", aria_label=label):
            TextElement("span", label)
            with TextElement("div", kind="segments"):
                self.buttons = {key: TextElement("button", name, type="button") for key, name in options.items()}
        self._connect()

    def _connect(self) -> None:
        for key, button in self.buttons.items():
            button.on("click", lambda _, key=key: self._on_click(key))

    def set(self, value: str) -> None:
        """Choose one of the options."""
        for key, button in self.buttons.items():
            button.set_attributes(**self.chosen[key == value])

    def _on_click(self, key: str) -> None:
        self.set(key)
        self.changed(key)


class Tabs(Segments):
    """Tabs over a panel, which is named by its id; the arrow keys move between them."""

    chosen: ClassVar[Mapping[bool, Mapping[str, str]]] = {
        True: {"aria_selected": "true", "tabindex": "0"},
        False: {"aria_selected": "false", "tabindex": "-1"},
    }

    def __init__(self, label: str, options: Mapping[str, str], panel: str) -> None:
        self.changed: Changed = _ignore
        common = {"type": "button", "role": "tab", "aria_controls": panel}
        with TextElement("div", kind="tabs", role="tablist", aria_label=label):
            self.buttons = {
                key: TextElement("button", name, id=f"tab-{key}", **common) for key, name in options.items()
            }
        self._connect()


class FileButton:
    """A button that opens a text file; ``opened`` is called with its name and its text."""

    def __init__(self, text: str, accept: Iterable[str], label: str) -> None:
        self.opened: Callable[[str, str], object] = _ignore
        with TextElement("label", kind="button small"):
            TextElement("span", text)
            chosen = TextElement("input", type="file", accept=",".join(accept), aria_label=label)
        handler = (
            "(event) => { const file = event.target.files[0]; "
            "file?.text().then((text) => { emit([file.name, text]); event.target.value = ''; }); }"
        )
        chosen.on("change", lambda event: self.opened(*event.args), js_handler=handler)


def button(text: str, kind: str = "", **props: Any) -> TextElement:
    """Make a button."""
    return TextElement("button", text, kind=f"button {kind}".strip(), type="button", **props)


class Kwargs:
    """One control for each kwarg that the template reads.

    ``changed`` is called with the name of a kwarg and its value; None removes the kwarg.
    """

    def __init__(self) -> None:
        self.changed: Callable[[str, Any], object] = _ignore
        self.holder = TextElement("div", kind="kwargs")
        self._shown: list[dict[str, Any]] | None = None

    def show(self, controls: Sequence[dict[str, Any]], values: dict[str, Any]) -> None:
        """Show controls with their values. Unchanged controls stay, and with them the keyboard focus."""
        if self._shown is not None and _nothing_new(self._shown, controls):
            return
        self._shown = list(controls)
        self.holder.clear()
        with self.holder:
            for control in controls:
                self._control(control, values.get(control["name"]))

    def forget(self) -> None:
        """Rebuild the controls when they are shown next, because their values were set elsewhere."""
        self._shown = None

    def _control(self, control: dict[str, Any], value: Any) -> None:
        name, kind = control["name"], control["kind"]
        if kind == "choice":
            self._choice(control, value)
            return
        text = value if kind == "text" and isinstance(value, str) else "" if value is None else _json(value)
        field = TextField(name, text, kind="code", hint={"text": "text", "number": "number", "data": "JSON"}[kind])
        field.changed = lambda given: self._typed(field.input, name, kind, given)
        if control["help"] or not control["effect"]:
            field.input.set_attributes(title=control["help"] or "has no visible effect on small conversations")

    def _choice(self, control: dict[str, Any], value: Any) -> None:
        default = control["default"]
        absent = "not set" if default is None else f"not set ({_json(default)})"
        options = {_ABSENT: absent, **{_json(item): _json(item) for item in control["values"]}}
        chosen = _ABSENT if value is None else _json(value)
        options.setdefault(chosen, chosen)
        choice = Choice(control["name"], kind="code")
        choice.offer({"": options}, chosen)
        choice.changed = lambda given: self.changed(control["name"], None if given == _ABSENT else json.loads(given))
        choice.select.set_attributes(title=control["help"])

    def _typed(self, line: TextElement, name: str, kind: str, given: str) -> None:
        value: Any = given or None
        wrong = False
        if given.strip() and kind != "text":
            try:
                value = json.loads(given)
                wrong = kind == "number" and not isinstance(value, int | float)
            except ValueError:
                wrong = True
        line.set_attributes(aria_invalid="true" if wrong else "false")
        if not wrong:
            self.changed(name, value)


def _nothing_new(before: Sequence[dict[str, Any]], now: Sequence[dict[str, Any]]) -> bool:
    """Return whether the kwargs are the same, and nothing more is known about them than before."""
    if list(before) == list(now):
        return True
    names = [[control["name"] for control in controls] for controls in (before, now)]
    return names[0] == names[1] and not any(control["effect"] for control in now)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
