"""One open page: its state, and the effects of the user's actions on it."""

import asyncio
import contextlib
import json
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from nicegui import background_tasks, ui

from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.playground.answers import Answers
from chattmpl.playground.lane import Lane
from chattmpl.playground.layout import (
    AGAINST,
    OTHER,
    Layout,
    conversation_options,
    retention_options,
    template_options,
    tokenizer_options,
)
from chattmpl.playground.setup import Setup, accepted, shared
from chattmpl.playground.state import State, from_fragment, to_fragment
from chattmpl.playground.views import compare
from chattmpl.playground.views.inputs import Failed, conversation_text, fixture_names, fixture_text, text_of
from chattmpl.template.family import family_names

ADDRESS_SECONDS = 0.3
BLANK = ""


class Session:
    """The behaviour of one page.

    Args:
        setup: the arguments of the command line.
        lanes: the workers, by name.
    """

    def __init__(self, setup: Setup, lanes: dict[str, Lane]) -> None:
        self.setup = setup
        self.state = setup.first()
        self.layout = Layout()
        self.client = ui.context.client
        self.answers = Answers(self.client, self.layout, lanes, lambda: self.state, self._rendered)
        self._address: asyncio.Task[None] | None = None
        self._connect()

    def _connect(self) -> None:
        """Connect the elements of the page to their effects."""
        layout = self.layout
        layout.share.on_click(self.share)
        layout.save.on_click(lambda: self._later(self.answers.save()))
        layout.theme.on_click(lambda: ui.run_javascript("playground.turn()"))
        layout.template.changed = self.choose_template
        layout.template_reset.on_click(self.reset_template)
        layout.template_file.opened = self.open_template
        layout.template_editor.changed = self.edit_template
        layout.conversation.changed = self.choose_conversation
        layout.conversation_reset.on_click(lambda: self.choose_conversation(self.state.fixture))
        layout.conversation_file.opened = self.open_conversation
        layout.conversation_editor.changed = lambda text: self.change(conversation=text)
        layout.retention.changed = lambda policy: self.change(retention=policy or None)
        layout.target.changed = lambda target: self.change(target=target)
        layout.prompt.changed = lambda prompt: self.change(prompt=prompt)
        layout.tokenizer.changed = self.choose_tokenizer
        layout.tokenizer_file.changed = self.name_tokenizer
        layout.kwargs.changed = self.set_kwarg
        layout.tabs.changed = lambda tab: self.change(tab=tab)
        layout.against.changed = self.compare_by
        layout.other.changed = self.choose_other
        handler = "(event) => { const act = event.target.closest('[data-act]'); if (act) emit(act.dataset.act); }"
        layout.panel.on("click", lambda event: self.act(event.args), js_handler=handler)

    async def start(self) -> None:
        """Read the state from the address and show it."""
        with contextlib.suppress(TimeoutError):
            await self.client.connected(timeout=60)
        if not self.client.has_socket_connection:
            return
        found = await ui.run_javascript("[location.hash, playground.dark()]", timeout=30)
        self.scheme(found[1])
        for editor in self.layout.editors:
            ui.run_javascript(f"playground.label({editor.code.html_id!r}, {editor.label!r})")
        if len(found[0]) > 1:
            self.go_to(found[0])
        else:
            self.apply(self.state)

    def go_to(self, fragment: str) -> None:
        """Show the state of an address."""
        try:
            state, left = accepted(from_fragment(fragment), self.setup)
        except UsageError as error:
            self.apply(self.state)
            self.layout.show_note(f"{error.message}: {error.hint or ''}")
            return
        self.apply(state)
        if left:
            what = " and ".join(left)
            self.answers.notice = f"The address names {what}, which was not read: choose it here to read it."

    # -- showing a state

    def apply(self, state: State, *, remember: bool = False) -> None:
        """Show another state in all controls and editors; ``remember`` puts it into the address."""
        self.state = state
        layout = self.layout
        layout.template_editor.set(self._template_text())
        layout.conversation_editor.set(self._conversation_text())
        layout.target.set(state.target)
        layout.prompt.set(state.prompt)
        layout.tabs.set(state.tab)
        layout.against.offer({"": AGAINST}, state.against)
        layout.tokenizer.offer(tokenizer_options(self.setup, state), state.tokenizer)
        layout.tokenizer_line.show(False)
        layout.kwargs.forget()
        self._offer_other_field()
        self._offer()
        self.answers.restart()
        for editor in layout.editors:
            editor.redraw()
        if remember:
            self._remember()

    def _offer(self) -> None:
        """Update the options of the lists, and the marks of edited texts."""
        layout, state = self.layout, self.state
        layout.template.offer(template_options(self.setup, state), state.base or BLANK)
        layout.conversation.offer(conversation_options(self.setup, state), state.fixture)
        edited = state.source is not None and bool(state.base)
        layout.template_chip.set_text("edited" if edited else "watched" if self.watching else "")
        layout.template_reset.show(edited)
        changed = self._conversation_edited()
        layout.conversation_chip.set_text("edited" if changed else "")
        layout.conversation_reset.show(changed)
        self._offer_against()

    def _offer_against(self) -> None:
        """Update the options of the other side of a comparison."""
        layout, state = self.layout, self.state
        layout.against_bar.show(state.tab == "compare")
        names = compare.choices(state)
        typed = not names or (bool(state.other) and state.other not in names)
        options = {name: name for name in names} | ({OTHER: OTHER} if state.against == "template" else {})
        chosen = OTHER if typed else state.other or compare.default(state, self.answers.retention)
        if names:
            layout.other.offer({"": options}, chosen)
        layout.other.holder.show(bool(names))
        layout.other_line.show(typed)

    def _offer_other_field(self) -> None:
        self.layout.other_field(self.state).changed = self.write_other

    def _rendered(self, retention: str | None) -> None:
        """Update the retention policies on offer; ``retention`` is the one that the template was rendered under."""
        options = retention_options(retention, self.state.retention)
        self.layout.retention.offer(options, self.state.retention or "")
        self.layout.retention.enable(retention is not None)
        self._offer_against()

    @property
    def watching(self) -> bool:
        """True if the template is the watched file."""
        return self.state.base == self.setup.template and self.state.base not in family_names()

    def _template_text(self) -> str:
        try:
            return text_of(self.state)
        except (Failed, ChatTmplError, OSError):
            return self.state.source or ""

    def _conversation_text(self) -> str:
        try:
            return conversation_text(self.state)
        except Failed:
            return self.state.conversation or ""

    def _conversation_edited(self) -> bool:
        fixture = self.state.fixture
        original = self.setup.conversations.get(fixture)
        if original is None and fixture in fixture_names():
            original = fixture_text(fixture)
        return original is not None and self.state.conversation not in (None, original)

    # -- actions of the user

    def change(self, **values: Any) -> None:
        """Change values of the state; the view follows."""
        self.state = replace(self.state, **values)
        self._offer()
        self.answers.refresh(analyse="source" in values or "base" in values or "tokenizer" in values)
        self._remember()

    def choose_template(self, name: str) -> None:
        """Show a template of the list."""
        chosen = replace(self.state, base=name, source=None, retention=None, kwargs={})
        if name == BLANK:
            chosen = replace(chosen, source="", name=State().name, tokens={})
        self.apply(chosen, remember=True)

    def edit_template(self, text: str) -> None:
        """Use the text of the template's editor."""
        try:
            own = bool(self.state.base) and text == text_of(replace(self.state, source=None))
        except (Failed, ChatTmplError, OSError):
            own = False
        self.change(source=None if own else text)

    def open_template(self, name: str, text: str) -> None:
        """Show a template file that was opened in the page."""
        if name.endswith(".json"):
            text = _template_in(text) or text
        opened = replace(self.state, base="", source=text, name=name, tokens={}, retention=None, kwargs={})
        self.apply(opened, remember=True)

    def reset_template(self) -> None:
        """Undo the edits of the template."""
        self.apply(replace(self.state, source=None), remember=True)

    def file_changed(self) -> None:
        """Show the watched file again after it changed, unless it is edited in the page."""
        if not self.watching:
            return
        if self.state.source is None:
            self.apply(self.state)
        else:
            self.layout.show_note(f"{self.setup.template} has changed on disk; Undo edits shows it.")

    def choose_conversation(self, name: str) -> None:
        """Show a conversation of the list."""
        self.apply(replace(self.state, fixture=name, conversation=self.setup.conversations.get(name)), remember=True)

    def open_conversation(self, name: str, text: str) -> None:
        """Show a conversation file that was opened in the page."""
        self.apply(replace(self.state, fixture=name, conversation=text), remember=True)

    def set_kwarg(self, name: str, value: Any) -> None:
        """Set a kwarg; None removes it."""
        kwargs = {key: held for key, held in self.state.kwargs.items() if key != name}
        self.change(kwargs=kwargs if value is None else {**kwargs, name: value})

    def choose_tokenizer(self, name: str) -> None:
        """Use a tokenizer of the list, or ask for its file."""
        self.layout.tokenizer_line.show(name == OTHER)
        if name != OTHER:
            self.change(tokenizer=name)

    def name_tokenizer(self, name: str) -> None:
        """Use the tokenizer of a file or folder."""
        path = Path(name).expanduser()
        if path.is_file() or (path / "tokenizer.json").is_file():
            self.setup.trusted.add(str(path))
            self.apply(replace(self.state, tokenizer=str(path)), remember=True)
        elif name:
            self.layout.show_note(f"{name}: no such file. Pass a hub id on the command line, with --tokenizer.")

    def compare_by(self, what: str) -> None:
        """Choose the kind of comparison."""
        state = replace(self.state, against=what, other="")  # type: ignore[arg-type]
        other = compare.default(state) if what == "revision" else ""
        self.setup.trusted.add(other)
        self.state = replace(state, other=other)
        self._offer_other_field()
        self.change(other=other)

    def choose_other(self, name: str) -> None:
        """Compare with an entry of the list, or ask for a name."""
        if name == OTHER:
            self.layout.other_line.show(True)
        else:
            self.change(other=name)

    def write_other(self, name: str) -> None:
        """Compare with a name that was typed."""
        self.setup.trusted.add(name)
        self.change(other=name)

    def act(self, act: str) -> None:
        """Run the action of a button inside a view: ``load:LAW:INDEX``, ``copy:TARGET`` or ``save:TARGET``."""
        kind, _, what = act.partition(":")
        if kind != "load":
            self._later(self.answers.export(what, save=kind == "save"))
            return
        law, _, index = what.rpartition(":")
        text = self.answers.counterexample(law, int(index))
        if text is not None:
            name = f"counterexample of {law}"
            self.apply(replace(self.state, fixture=name, conversation=text, kwargs={}, tab="rendered"), remember=True)

    # -- sharing

    def _remember(self) -> None:
        """Put the state into the address after a pause without changes."""
        if self._address is not None:
            self._address.cancel()
        self._address = background_tasks.create(self._write_address())

    async def _write_address(self) -> None:
        await asyncio.sleep(ADDRESS_SECONDS)
        with self.client:
            ui.run_javascript(f"playground.address({json.dumps(to_fragment(shared(self.state)))})")

    def share(self) -> None:
        """Copy the address, which holds the state."""
        fragment = json.dumps(to_fragment(shared(self.state)))
        ui.run_javascript(f"playground.address({fragment}); navigator.clipboard.writeText(location.href)")
        self.layout.show_note("Copied the address, which holds the template, the conversation and all settings.")

    def scheme(self, dark: bool) -> None:
        """Switch the editors to dark or light colours, as the page is."""
        for editor in self.layout.editors:
            editor.theme(dark)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        background_tasks.create(work)


def _template_in(text: str) -> str | None:
    """Return the template of a tokenizer_config.json."""
    try:
        held = json.loads(text).get("chat_template")
    except (ValueError, AttributeError):
        return None
    return held if isinstance(held, str) else None
