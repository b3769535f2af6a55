"""The elements of the page and the options of its lists. The session connects them to their effects."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nicegui import ui

from chattmpl.playground.controls import (
    CheckBox,
    Choice,
    FileButton,
    Kwargs,
    Options,
    Segments,
    Tabs,
    TextElement,
    TextField,
    button,
)
from chattmpl.playground.editors import Editor
from chattmpl.playground.html import quoted
from chattmpl.playground.setup import DEMO, Setup
from chattmpl.playground.state import State
from chattmpl.playground.views.inputs import RETENTION, fixture_names
from chattmpl.template.family import family_names

TABS = {"rendered": "Rendered", "tokens": "Tokens", "laws": "Laws", "compare": "Compare", "export": "Export"}
AGAINST = {"retention": "Retention policy", "template": "Template", "revision": "Git revision", "engine": "Engine"}
OTHER = "another…"


class Layout:
    """The elements of one page."""

    def __init__(self) -> None:
        with TextElement("div", kind="shell"):
            self._top()
            with TextElement("div", kind="work"):
                with TextElement("div", kind="left"):
                    self._template()
                    self._conversation()
                with TextElement("div", kind="right"):
                    self._controls()
                    self.tabs = Tabs("Views", TABS, "panel")
                    self._against()
                    self.banner = ui.html("", sanitize=False).classes("banner").props("role=alert")
                    self._panel()

    def _top(self) -> None:
        with TextElement("header", kind="top"):
            with TextElement("h1", "chattmpl "):
                TextElement("span", "playground")
            TextElement("div", kind="grow")
            self.share = button("Copy address", "quiet small")
            self.save = button("Save as HTML", "quiet small")
            self.theme = button("◐ Theme", "quiet small", aria_label="Light or dark theme")

    def _template(self) -> None:
        with TextElement("section", kind="pane", aria_label="Template"):
            with TextElement("div", kind="bar"):
                TextElement("h2", "Template")
                self.template = Choice("Template", hidden=True)
                self.template_chip = TextElement("span", kind="chip")
                self.template_reset = button("Undo edits", "quiet small")
                TextElement("div", kind="grow")
                self.template_file = FileButton("Open…", (".jinja", ".j2", ".txt", ".json"), "Open a template file")
            self.template_editor = Editor("Template, Jinja", "Jinja2")

    def _conversation(self) -> None:
        with TextElement("section", kind="pane", aria_label="Conversation"):
            with TextElement("div", kind="bar"):
                TextElement("h2", "Conversation")
                self.conversation = Choice("Conversation", hidden=True)
                self.conversation_chip = TextElement("span", kind="chip")
                self.conversation_reset = button("Undo edits", "quiet small")
                TextElement("div", kind="grow")
                self.conversation_file = FileButton("Open…", (".json", ".jsonl"), "Open a conversation file")
            self.conversation_editor = Editor("Conversation, JSON", "JSON")

    def _controls(self) -> None:
        with TextElement("section", kind="controls", aria_label="Settings"):
            self.retention = Choice("Retention")
            self.target = Segments("Target", {"train": "train", "inference": "inference"})
            self.tokenizer = Choice("Tokenizer")
            with TextElement("div") as self.tokenizer_line:
                self.tokenizer_file = TextField("Tokenizer file", wide=True, hint="path/to/tokenizer.json", live=False)
            self.prompt = CheckBox("Generation prompt")
            self.kwargs = Kwargs()

    def _against(self) -> None:
        with TextElement("div", kind="against") as self.against_bar:
            self.against = Choice("Compare by")
            self.other = Choice("With")
            with TextElement("div") as self.other_line:
                self.other_holder = TextElement("div")

    def _panel(self) -> None:
        with TextElement(
            "div", kind="panel", id="panel", role="tabpanel", tabindex="0", aria_label="View"
        ) as self.panel:
            waiting = '<p class="waiting">Rendering…</p>'
            self.view = ui.html(waiting, sanitize=False).classes("view")
        reveal = (
            "(event) => { const piece = event.target.closest('[data-o]'); "
            "if (piece) emit([...piece.classList].filter((name) => /^[LF]\\d+$/.test(name))); }"
        )
        self.panel.on("click", lambda event: self._reveal(event.args), js_handler=reveal)
        with TextElement("div", kind="status-bar"):
            TextElement("output", id="origin", aria_label="Origin of the text under the pointer")
            self.counts = TextElement("span", kind="counts", role="status")

    def _reveal(self, names: list[str]) -> None:
        """Scroll both editors to the origin of a piece of the view."""
        for name in names:
            for editor in self.editors:
                editor.reveal_mark(name)

    @property
    def editors(self) -> tuple[Editor, Editor]:
        """The template's editor and the conversation's."""
        return self.template_editor, self.conversation_editor

    def other_field(self, state: State) -> TextField:
        """Make the text field in which the other side of a comparison is typed."""
        self.other_holder.clear()
        labels = {"revision": "revision:path", "template": "file or folder"}
        with self.other_holder:
            return TextField(labels.get(state.against, "name"), state.other, wide=True)

    def show_view(self, html: str, counts: str) -> None:
        """Show a view and its counts."""
        self.view.set_content(html)
        self.counts.set_text(counts)
        self.panel.classes(remove="stale")

    def show_error(self, problem: Mapping[str, Any] | None, stale: bool) -> None:
        """Show the error of the last change above the last good view; None removes it."""
        if problem is None:
            self.banner.set_content("")
            return
        line = f", line {problem['line']}" if problem["line"] is not None else ""
        where = "" if problem["where"] == "settings" else f"{problem['where'].capitalize()}{line}: "
        kept = " <span>The last good rendering is shown.</span>" if stale else ""
        advice = problem["hint"]
        hint = f" <span>{quoted(advice[:1].upper() + advice[1:])}.</span>" if advice else ""
        self.banner.classes(add="error", remove="info")
        self.banner.set_content(f"<strong>{quoted(where + problem['message'])}.</strong>{hint}{kept}")
        if stale:
            self.panel.classes(add="stale")

    def show_note(self, text: str) -> None:
        """Show a note that is not an error."""
        self.banner.classes(add="info", remove="error")
        self.banner.set_content(quoted(text))


def template_options(setup: Setup, state: State) -> Options:
    """Return the families, the files that the command line named, and an empty editor."""
    families = family_names()
    files = [name for name in (setup.template, state.base) if name and name not in families]
    blank = state.name if not state.base and state.source else "empty: paste a template"
    return {
        "Families": {name: name for name in families},
        "Files": {name: Path(name).name for name in files},
        "Your own": {"": blank},
    }


def conversation_options(setup: Setup, state: State) -> Options:
    """Return the user's conversations and the fixtures."""
    fixtures = fixture_names()
    own = list(setup.conversations)
    if state.fixture not in (*fixtures, *own):
        own.append(state.fixture)
    return {"Yours": {name: name for name in own}, "Fixtures": {name: name.replace("_", " ") for name in fixtures}}


def retention_options(own: str | None, chosen: str | None) -> Options:
    """Return the retention policies; ``own`` is None for a template without a reasoning block."""
    if own is None:
        return {"": {"": "not available"}}
    first = "the template's own" if chosen is not None else f"the template's own ({own})"
    return {"": {"": first, **{name: name for name in RETENTION}}}


def tokenizer_options(setup: Setup, state: State) -> Options:
    """Return the tokenizers that were named, and an entry to name another one."""
    named = [DEMO, *(name for name in (setup.tokenizer, state.tokenizer) if name not in (DEMO, ""))]
    shown = {name: name if len(name) < 28 else f"…{name[-26:]}" for name in dict.fromkeys(named)}
    return {"": {**shown, "": "none", OTHER: OTHER}}
