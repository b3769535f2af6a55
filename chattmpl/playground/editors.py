"""The two editors of the page, with highlighted ranges and a list of problems."""

from collections.abc import Callable, Sequence
from typing import Any

from nicegui import ui

from chattmpl.playground.controls import TextElement

SIGNS = {"error": "✕", "warning": "!", "info": "i"}
"""The sign of each severity, the most severe first."""

MOST_PROBLEMS = 60
_ORDER = tuple(SIGNS)


class Editor:
    """An editor with a list of problems below it. ``changed`` is called with the text after each edit of the user.

    Args:
        label: name for screen readers.
        language: language to highlight.
    """

    def __init__(self, label: str, language: str) -> None:
        self.label = label
        self.changed: Callable[[str], object] = lambda _: None
        self._quiet = False
        self._clean: str | None = None
        self._applied: list[Any] = []
        self.code = ui.codemirror("", language=language, on_change=self._on_change)
        self.code.classes("editor").set_line_wrapping(True)
        self.list = TextElement("div", kind="problems", role="status")
        self.marks: list[dict[str, Any]] = []
        self.problems: list[dict[str, Any]] = []

    @property
    def text(self) -> str:
        """The current text."""
        return self.code.value or ""

    def set(self, text: str) -> None:
        """Replace the text without calling ``changed``."""
        if text != self.text:
            self.marks, self.problems = [], []
        self._quiet = True
        self.code.set_value(text)
        self._quiet = False

    def _on_change(self, event: Any) -> None:
        if not self._quiet:
            self.changed(event.value)

    def mark(self, marks: Sequence[dict[str, Any]]) -> None:
        """Set the highlighted lines and ranges, as CodeMirror decorations."""
        self.marks = list(marks)
        self._decorate()

    def show_problems(self, problems: Sequence[dict[str, Any]], clean: str = "") -> None:
        """Show problems in the margin, in the text and in the list; ``clean`` is shown if there are none."""
        if (problems, clean) != (self.problems, self._clean):
            self.problems, self._clean = list(problems), clean
            self._list(clean)
        self._decorate()

    def _decorate(self) -> None:
        """Send the decorations to the browser.

        They are sent by a call and not as an attribute of the editor, because NiceGUI sends the text with each
        attribute, which would undo what was typed in the meantime.
        """
        size, last = len(self.text), self._last_line
        fitting = [mark for mark in self.marks if mark.get("line", 1) <= last and mark.get("to", 0) <= size]
        decorations = [*fitting, *self._marked()]
        tips = self._tips()
        if [decorations, tips] == self._applied:
            return
        self._applied = [decorations, tips]
        self.code.run_method("setDecorations", decorations)
        self.code.run_method("setLineTooltips", tips)

    def redraw(self) -> None:
        """Send all decorations again, as after the text was replaced."""
        self._applied = []
        self._decorate()

    @property
    def _last_line(self) -> int:
        return self.text.count("\n") + 1

    def _marked(self) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        lines: dict[int, str] = {}
        for item in self.problems:
            if item["line"] is None:
                continue
            line, severity = min(item["line"], self._last_line), item["severity"]
            lines[line] = min(severity, lines.get(line, severity), key=_ORDER.index)
            start, end = item["start"], min(item["end"], len(self.text))
            newline = self.text.find("\n", start, end)
            end = newline if newline > start else end
            if start < end:
                made.append({"kind": "mark", "from": start, "to": end, "class": f"at-{severity}"})
        return made + [{"kind": "line", "line": line, "class": f"has-{severity}"} for line, severity in lines.items()]

    def _tips(self) -> dict[int, str]:
        tips: dict[int, list[str]] = {}
        for item in self.problems:
            if item["line"] is not None:
                tips.setdefault(min(item["line"], self._last_line), []).append(_words(item))
        return {line: "\n\n".join(words) for line, words in tips.items()}

    def _list(self, clean: str) -> None:
        self.list.clear()
        with self.list:
            if not self.problems and clean:
                TextElement("p", clean, kind="clean")
            for item in sorted(self.problems, key=lambda item: _ORDER.index(item["severity"]))[:MOST_PROBLEMS]:
                self._row(item)
            if len(self.problems) > MOST_PROBLEMS:
                TextElement("p", f"{len(self.problems) - MOST_PROBLEMS} more", kind="clean")

    def _row(self, item: dict[str, Any]) -> None:
        with TextElement("button", kind=item["severity"], type="button", title=_words(item)) as row:
            TextElement("span", SIGNS[item["severity"]], kind="sign", role="img", aria_label=item["severity"])
            TextElement("span", "" if item["line"] is None else f"line {item['line']}", kind="line")
            with TextElement("span"):
                TextElement("span", _headline(item), kind="said")
                if item["hint"]:
                    TextElement("span", item["hint"], kind="hint")
        row.on("click", lambda _: self.reveal(item["line"]))

    def reveal(self, line: int | None) -> None:
        """Scroll to a line."""
        if line is not None:
            self.code.run_method("revealLine", min(line, self._last_line))

    def reveal_mark(self, name: str) -> None:
        """Scroll to the first decoration that has a CSS class, if there is one."""
        for mark in self.marks:
            if name in mark["class"].split():
                self.reveal(mark.get("line") or self.text.count("\n", 0, mark["from"]) + 1)
                return

    def theme(self, dark: bool) -> None:
        """Switch to dark or light colours."""
        self.code.run_method("setTheme", "githubDark" if dark else "githubLight")


def _headline(item: dict[str, Any]) -> str:
    return f"{item['code']} {item['message']}".strip()


def _words(item: dict[str, Any]) -> str:
    return "\n".join(filter(None, (_headline(item), item["hint"])))
