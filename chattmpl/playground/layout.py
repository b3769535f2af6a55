"""The page: where everything stands. What happens is the session's business."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nicegui import ui

from chattmpl.playground.controls import Check, Choice, Segments, Tabs, Tag, button, file_button, written
from chattmpl.playground.editors import Editor
from chattmpl.playground.kwargs import Kwargs
from chattmpl.playground.state import State

if TYPE_CHECKING:
    from chattmpl.playground.session import Session

TABS = {"rendered": "Rendered", "tokens": "Tokens", "laws": "Laws", "compare": "Compare", "export": "Export"}
AGAINST = {"retention": "Retention policy", "template": "Template", "revision": "Git revision", "engine": "Engine"}
OTHER = "another…"


class Layout:
    """The elements of one page.

    Args:
        session: who is told what a person does.
        state: what is shown first.
    """

    def __init__(self, session: Session, state: State) -> None:
        self.session = session
        with Tag("div", kind="shell"):
            self._top()
            with Tag("div", kind="work"):
                with Tag("div", kind="left"):
                    self._template()
                    self._conversation()
                with Tag("div", kind="right"):
                    self._controls(state)
                    self.tabs = Tabs("Views", TABS, state.tab, "panel", session.tab)
                    self._against(state)
                    self.banner = ui.html("", sanitize=False).classes("banner").props("role=alert")
                    self._panel()

    def _top(self) -> None:
        session = self.session
        with Tag("header", kind="top"):
            with Tag("h1", "chattmpl "):
                Tag("span", "playground")
            Tag("div", kind="grow")
            button("Copy address", session.share, "quiet small")
            button("Save as HTML", session.save, "quiet small")
            button("◐ Theme", session.turn, "quiet small", aria_label="Light or dark theme")

    def _template(self) -> None:
        session = self.session
        with Tag("section", kind="pane", aria_label="Template"):
            with Tag("div", kind="bar"):
                Tag("h2", "Template")
                self.template = Choice("Template", {}, "", session.template_chosen, hidden=True)
                self.template_chip = Tag("span", kind="chip")
                self.template_reset = button("Undo edits", session.template_reset, "quiet small")
                Tag("div", kind="grow")
                file_button(
                    "Open…", session.template_opened, (".jinja", ".j2", ".txt", ".json"), "Open a template file"
                )
            self.template_editor = Editor("Template, Jinja", "Jinja2", session.template_edited)

    def _conversation(self) -> None:
        session = self.session
        with Tag("section", kind="pane", aria_label="Conversation"):
            with Tag("div", kind="bar"):
                Tag("h2", "Conversation")
                self.conversation = Choice("Conversation", {}, "", session.conversation_chosen, hidden=True)
                self.conversation_chip = Tag("span", kind="chip")
                self.conversation_reset = button("Undo edits", session.conversation_reset, "quiet small")
                Tag("div", kind="grow")
                file_button("Open…", session.conversation_opened, (".json", ".jsonl"), "Open a conversation file")
            self.conversation_editor = Editor("Conversation, JSON", "JSON", session.conversation_edited)

    def _controls(self, state: State) -> None:
        session = self.session
        with Tag("section", kind="controls", aria_label="Settings"):
            self.retention = Choice("Retention", {}, "", session.retention)
            self.target = Segments("Target", {"train": "train", "inference": "inference"}, state.target, session.target)
            self.tokenizer = Choice("Tokenizer", {}, "", session.tokenizer)
            with Tag("div") as self.tokenizer_line:
                written("Its file", "", session.tokenizer_named, wide=True, hint="path/to/tokenizer.json", live=False)
            self.prompt = Check("Generation prompt", state.prompt, session.prompt)
            self.kwargs = Kwargs(session.kwarg)

    def _against(self, state: State) -> None:
        session = self.session
        with Tag("div", kind="against") as self.against_bar:
            self.against = Choice("Beside this one", {"": AGAINST}, state.against, session.against)
            self.other = Choice("With", {}, "", session.other)
            with Tag("div") as self.other_line:
                self.other_holder = Tag("div")

    def _panel(self) -> None:
        with Tag("div", kind="panel", id="panel", role="tabpanel", tabindex="0", aria_label="View") as self.panel:
            waiting = '<p class="waiting">Rendering…</p>'
            self.view = ui.html(waiting, sanitize=False).classes("view")
        handler = "(event) => { const act = event.target.closest('[data-act]'); if (act) emit(act.dataset.act); }"
        self.panel.on("click", lambda event: self.session.act(event.args), js_handler=handler)
        reveal = (
            "(event) => { const piece = event.target.closest('[data-o]'); "
            "if (piece) emit([...piece.classList].filter((name) => /^[LF]\\d+$/.test(name))); }"
        )
        self.panel.on("click", lambda event: self._reveal(event.args), js_handler=reveal)
        with Tag("div", kind="status-bar"):
            Tag("output", id="origin", aria_label="What is under the pointer")
            self.counts = Tag("span", kind="counts", role="status")

    def _reveal(self, names: list[str]) -> None:
        """Scroll both editors to where a piece of the view came from."""
        for name in names:
            for editor in (self.template_editor, self.conversation_editor):
                editor.reveal_mark(name)

    def write_other(self, state: State) -> None:
        """What a comparison is with, where it is written and not chosen."""
        self.other_holder.clear()
        labels = {"revision": "revision:path", "template": "file or folder"}
        with self.other_holder:
            written(labels.get(state.against, "name"), state.other, self.session.other_written, wide=True)

    def show_answer(self, html: str, counts: str) -> None:
        """A view."""
        self.view.set_content(html)
        self.counts.say(counts)
        self.panel.classes(remove="stale")

    def complain(self, problem: Mapping[str, Any] | None, stale: bool) -> None:
        """What went wrong with the last change, above what was there before it; None for nothing."""
        from chattmpl.playground.views.markup import quoted

        if problem is None:
            self.banner.set_content("")
            return
        line = f", line {problem['line']}" if problem["line"] is not None else ""
        where = "" if problem["where"] == "settings" else f"{problem['where'].capitalize()}{line}: "
        kept = " <span>What is shown is the last good rendering.</span>" if stale else ""
        advice = problem["hint"]
        hint = f" <span>{quoted(advice[:1].upper() + advice[1:])}.</span>" if advice else ""
        self.banner.classes(add="error", remove="info")
        self.banner.set_content(f"<strong>{quoted(where + problem['message'])}.</strong>{hint}{kept}")
        if stale:
            self.panel.classes(add="stale")

    def remark(self, text: str) -> None:
        """Something that a person should know, and that is no error."""
        from chattmpl.playground.views.markup import quoted

        self.banner.classes(add="info", remove="error")
        self.banner.set_content(quoted(text))
