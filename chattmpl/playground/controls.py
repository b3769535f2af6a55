"""Controls of the page, out of plain HTML elements: labelled, reachable by keyboard, drawn by our own style sheet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nicegui import ui

Changed = Callable[[Any], object]
Options = Mapping[str, Mapping[str, str]]
"""Groups by their titles, each with values and how they are called; a group without a title stands alone."""


class Tag(ui.element):  # type: ignore[misc] # NiceGUI is optional, and so is not looked into
    """An element with a text in it, which is only ever text."""

    def __init__(self, tag: str, text: str = "", kind: str = "", **props: Any) -> None:
        super().__init__(tag)
        self._text = text
        self._props.update({name.rstrip("_").replace("_", "-"): value for name, value in props.items()})
        if kind:
            self.classes(kind)

    def say(self, text: str) -> None:
        """Another text."""
        if text != self._text:
            self._text = text
            self.update()

    def give(self, **props: Any) -> None:
        """Other attributes; what is as it was is not sent again."""
        given = {name.rstrip("_").replace("_", "-"): value for name, value in props.items()}
        if any(name not in self._props or self._props[name] != value for name, value in given.items()):
            self._props.update(given)
            self.update()


class Choice:
    """A labelled list to choose from.

    Args:
        label: what stands above it, or is only told, where ``hidden`` says so.
        options: what can be chosen.
        value: what is.
        changed: called with what was chosen.
    """

    def __init__(
        self, label: str, options: Options, value: str, changed: Changed, *, hidden: bool = False, kind: str = ""
    ) -> None:
        self.changed = changed
        self.value = value
        self._options: Options = {}
        self.select: Tag
        if hidden:
            self.holder = self.select = Tag("select", aria_label=label)
        else:
            self.holder = Tag("label", kind=f"field {kind}".strip())
            with self.holder:
                Tag("span", label)
                self.select = Tag("select", aria_label=label)
        self.select.on("change", self._on_change, js_handler="(event) => emit(event.target.value)")
        self.offer(options, value)

    def offer(self, options: Options, value: str) -> None:
        """Other options, of which one is chosen."""
        if options != self._options:
            self._options = {title: dict(group) for title, group in options.items()}
            self.select.clear()
            with self.select:
                for title, group in options.items():
                    self._group(title, group)
        self.set(value)

    def _group(self, title: str, group: Mapping[str, str]) -> None:
        if not group:
            return
        if not title:
            for value, name in group.items():
                Tag("option", name, value=value)
            return
        with Tag("optgroup", label=title):
            for value, name in group.items():
                Tag("option", name, value=value)

    def set(self, value: str) -> None:
        """Choose, without calling anybody."""
        self.value = value
        self.select.give(value=value)

    def enable(self, enabled: bool) -> None:
        """Whether it can be used."""
        self.select.give(disabled=not enabled)

    def _on_change(self, event: Any) -> None:
        self.set(event.args)
        self.changed(event.args)


def written(
    label: str, value: str, changed: Changed, *, kind: str = "", wide: bool = False, hint: str = "", live: bool = True
) -> Tag:
    """A labelled line of text, which tells of each change, or (not ``live``) of the text when it is finished."""
    with Tag("label", kind=f"field {kind}".strip()):
        Tag("span", label)
        # As its first value, not its value: that would be written over what is being typed, whenever anything changes.
        line = Tag("input", kind="wide" if wide else "", type="text", defaultValue=value, spellcheck="false")
        line.give(autocomplete="off", placeholder=hint)
    told = "input" if live else "change"
    line.on(told, lambda event: changed(event.args), js_handler="(event) => emit(event.target.value)")
    return line


class Check:
    """A labelled box to tick."""

    def __init__(self, label: str, value: bool, changed: Changed) -> None:
        self.changed = changed
        with Tag("label", kind="check"):
            self.box = Tag("input", type="checkbox", checked=value)
            Tag("span", label)
        self.box.on("change", self._on_change, js_handler="(event) => emit(event.target.checked)")

    def set(self, value: bool) -> None:
        """Tick it or not, without calling anybody."""
        self.box.give(checked=value)

    def _on_change(self, event: Any) -> None:
        self.set(event.args)
        self.changed(event.args)


class Segments:
    """A few choices side by side, one of them pressed."""

    def __init__(self, label: str, options: Mapping[str, str], value: str, changed: Changed) -> None:
        self.changed = changed
        self.buttons: dict[str, Tag] = {}
        with Tag("div", kind="field", role="group", aria_label=label):
            Tag("span", label)
            with Tag("div", kind="segments"):
                for key, name in options.items():
                    button = self.buttons[key] = Tag("button", name, type="button")
                    button.on("click", lambda _, key=key: self._on_click(key))
        self.set(value)

    def set(self, value: str) -> None:
        """Press one, without calling anybody."""
        for key, button in self.buttons.items():
            button.give(aria_pressed="true" if key == value else "false")

    def _on_click(self, key: str) -> None:
        self.set(key)
        self.changed(key)


class Tabs:
    """Tabs over a panel; the arrow keys go from one to the next."""

    def __init__(self, label: str, options: Mapping[str, str], value: str, panel: str, changed: Changed) -> None:
        self.changed = changed
        self.buttons: dict[str, Tag] = {}
        with Tag("div", kind="tabs", role="tablist", aria_label=label):
            for key, name in options.items():
                button = self.buttons[key] = Tag("button", name, type="button", role="tab", id=f"tab-{key}")
                button.give(aria_controls=panel)
                button.on("click", lambda _, key=key: self._on_click(key))
        self.set(value)

    def set(self, value: str) -> None:
        """Bring one to the front, without calling anybody."""
        for key, button in self.buttons.items():
            chosen = key == value
            button.give(aria_selected="true" if chosen else "false", tabindex="0" if chosen else "-1")

    def _on_click(self, key: str) -> None:
        self.set(key)
        self.changed(key)


def button(text: str, clicked: Callable[[], object], kind: str = "", **props: Any) -> Tag:
    """A button."""
    made = Tag("button", text, kind=f"button {kind}".strip(), type="button", **props)
    made.on("click", lambda _: clicked())
    return made


def file_button(text: str, opened: Callable[[str, str], object], accept: Iterable[str], label: str) -> None:
    """A button that opens a text file, and hands on its name and its text."""
    with Tag("label", kind="button small"):
        Tag("span", text)
        chosen = Tag("input", type="file", accept=",".join(accept), aria_label=label)
    handler = (
        "(event) => { const file = event.target.files[0]; "
        "file?.text().then((text) => { emit([file.name, text]); event.target.value = ''; }); }"
    )
    chosen.on("change", lambda event: opened(*event.args), js_handler=handler)
