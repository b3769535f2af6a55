"""One page that is open: its state, what a person does to it, and the answers that come back."""

from __future__ import annotations

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
from chattmpl.playground.choices import conversation_options, retention_options, template_options, tokenizer_options
from chattmpl.playground.layout import OTHER, Layout
from chattmpl.playground.setup import Setup, accepted, shared
from chattmpl.playground.state import State, from_fragment, to_fragment
from chattmpl.playground.views import compare
from chattmpl.playground.views.loading import Failed, conversation_text, fixture_names, fixture_text, text_of
from chattmpl.playground.worker_lane import Lane
from chattmpl.template.family import family_names

ADDRESS_SECONDS = 0.3
BLANK = ""


class Session:
    """What one page does.

    Args:
        setup: what the playground was started with.
        lanes: the workers, by what they do.
    """

    def __init__(self, setup: Setup, lanes: dict[str, Lane]) -> None:
        self.setup = setup
        self.state = setup.first()
        self.layout = Layout(self, self.state)
        self.answers = Answers(self, lanes)
        self.client = ui.context.client
        self._address: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Find the state in the address, and show it."""
        with contextlib.suppress(TimeoutError):
            await self.client.connected(timeout=60)
        if not self.client.has_socket_connection:
            return
        found = await ui.run_javascript("[location.hash, playground.dark()]", timeout=30)
        for editor in (self.layout.template_editor, self.layout.conversation_editor):
            editor.theme(found[1])
            ui.run_javascript(f"playground.label({editor.code.html_id!r}, {editor.label!r})")
        if len(found[0]) > 1:
            self.go_to(found[0])
        else:
            self.apply(self.state)

    def go_to(self, fragment: str) -> None:
        """Show what an address says."""
        try:
            state, left = accepted(from_fragment(fragment), self.setup)
        except UsageError as error:
            self.apply(self.state)
            self.layout.remark(f"{error.message}: {error.hint or ''}")
            return
        self.apply(state)
        if left:
            what = " and ".join(left)
            self.answers.notice = f"The address names {what}, which was left out: choose it here to read it."

    # -- showing a state

    def apply(self, state: State) -> None:
        """Show another state, in all controls and editors."""
        self.state = state
        layout = self.layout
        layout.template_editor.set(self._template_text())
        layout.conversation_editor.set(self._conversation_text())
        layout.target.set(state.target)
        layout.prompt.set(state.prompt)
        layout.tabs.set(state.tab)
        layout.against.set(state.against)
        layout.tokenizer.offer(tokenizer_options(self.setup, state), state.tokenizer)
        layout.tokenizer_line.classes("hidden")
        layout.kwargs.forget()
        layout.write_other(state)
        self._offer()
        self.answers.restart()
        for editor in (layout.template_editor, layout.conversation_editor):
            editor.renew()

    def _offer(self) -> None:
        """What can be chosen, and what is edited, in this state."""
        layout, state = self.layout, self.state
        layout.template.offer(template_options(self.setup, state), state.base or BLANK)
        layout.conversation.offer(conversation_options(self.setup, state), state.fixture)
        edited = state.source is not None and bool(state.base)
        layout.template_chip.say("edited" if edited else "watched" if self.watching else "")
        layout.template_reset.classes(**{"remove" if edited else "add": "hidden"})
        changed = self._conversation_edited()
        layout.conversation_chip.say("edited" if changed else "")
        layout.conversation_reset.classes(**{"remove" if changed else "add": "hidden"})
        self.offer_against()

    def offer_against(self) -> None:
        """What a comparison can be with."""
        layout, state = self.layout, self.state
        layout.against_bar.classes(**{"remove" if state.tab == "compare" else "add": "hidden"})
        names = compare.choices(state)
        typed = not names or (bool(state.other) and state.other not in names)
        options = {name: name for name in names} | ({OTHER: OTHER} if state.against == "template" else {})
        chosen = OTHER if typed else state.other or compare.default(state, self.answers.retention)
        if names:
            layout.other.offer({"": options}, chosen)
        layout.other.holder.classes(**{"remove" if names else "add": "hidden"})
        layout.other_line.classes(**{"remove" if typed else "add": "hidden"})

    def offer_retention(self, own: str | None) -> None:
        """The policies that this template can have; ``own`` is that under which it was rendered."""
        options = retention_options(own, self.state.retention)
        self.layout.retention.offer(options, self.state.retention or "")
        self.layout.retention.enable(own is not None)

    @property
    def watching(self) -> bool:
        """Whether the template is a file that is watched, and shown as it is."""
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

    def _original(self) -> str | None:
        if self.state.fixture in self.setup.conversations:
            return self.setup.conversations[self.state.fixture]
        return fixture_text(self.state.fixture) if self.state.fixture in fixture_names() else None

    def _conversation_edited(self) -> bool:
        original = self._original()
        return original is not None and self.state.conversation not in (None, original)

    # -- what a person does

    def change(self, **values: Any) -> None:
        """Another state in which these values are others; the view follows."""
        self.state = replace(self.state, **values)
        self._offer()
        self.answers.refresh(studied="source" in values or "base" in values or "tokenizer" in values)
        self._remember()

    def template_chosen(self, name: str) -> None:
        """Another template, from the list."""
        chosen = replace(self.state, base=name, source=None, retention=None, kwargs={})
        self.apply(chosen if name != BLANK else replace(chosen, source="", name=State().name, tokens={}))
        self._remember()

    def template_edited(self, text: str) -> None:
        """The template's text, as it is now in the editor."""
        try:
            own = bool(self.state.base) and text == text_of(replace(self.state, source=None))
        except (Failed, ChatTmplError, OSError):
            own = False
        self.change(source=None if own else text)

    def template_opened(self, name: str, text: str) -> None:
        """A file was opened in the page."""
        if name.endswith(".json"):
            text = _template_in(text) or text
        self.state = replace(self.state, base="", source=text, name=name, tokens={}, retention=None, kwargs={})
        self.apply(self.state)
        self._remember()

    def template_reset(self) -> None:
        """Back to the template as it was chosen."""
        self.apply(replace(self.state, source=None))
        self._remember()

    def file_changed(self) -> None:
        """The watched file is another one: show it, unless it is edited here."""
        if not self.watching:
            return
        if self.state.source is None:
            self.apply(self.state)
        else:
            self.layout.remark(f"{self.setup.template} has changed; Undo edits shows it.")

    def conversation_chosen(self, name: str) -> None:
        """Another conversation, from the list."""
        self.apply(replace(self.state, fixture=name, conversation=self.setup.conversations.get(name)))
        self._remember()

    def conversation_edited(self, text: str) -> None:
        """The conversation's text, as it is now in the editor."""
        self.change(conversation=text)

    def conversation_opened(self, name: str, text: str) -> None:
        """A file was opened in the page."""
        self.apply(replace(self.state, fixture=name, conversation=text))
        self._remember()

    def conversation_reset(self) -> None:
        """Back to the conversation as it was chosen."""
        self.conversation_chosen(self.state.fixture)

    def retention(self, policy: str) -> None:
        """Another retention policy."""
        self.change(retention=policy or None)

    def target(self, target: str) -> None:
        """Another target."""
        self.change(target=target)

    def prompt(self, given: bool) -> None:
        """With the generation prompt, or without."""
        self.change(prompt=given)

    def kwarg(self, name: str, value: Any) -> None:
        """Another value of a kwarg; None takes it away."""
        kwargs = {key: held for key, held in self.state.kwargs.items() if key != name}
        self.change(kwargs=kwargs if value is None else {**kwargs, name: value})

    def tokenizer(self, name: str) -> None:
        """Another tokenizer, from the list."""
        self.layout.tokenizer_line.classes(**{"remove" if name == OTHER else "add": "hidden"})
        if name != OTHER:
            self.change(tokenizer=name)

    def tokenizer_named(self, name: str) -> None:
        """Another tokenizer, as it was written."""
        path = Path(name).expanduser()
        if path.is_file() or (path / "tokenizer.json").is_file():
            self.setup.trusted.add(str(path))
            self.state = replace(self.state, tokenizer=str(path))
            self.apply(self.state)
            self._remember()
        elif name:
            self.layout.remark(f"There is no file {name}. A hub id is given on the command line, with --tokenizer.")

    def tab(self, name: str) -> None:
        """Another view."""
        self.change(tab=name)

    def against(self, what: str) -> None:
        """Another kind of comparison."""
        state = replace(self.state, against=what, other="")  # type: ignore[arg-type]
        other = compare.default(state) if what == "revision" else ""
        self.setup.trusted.add(other)
        self.state = replace(state, other=other)
        self.layout.write_other(self.state)
        self.change(other=other)

    def other(self, name: str) -> None:
        """Something else to compare with, from the list."""
        if name == OTHER:
            self.layout.other_line.classes(remove="hidden")
        else:
            self.change(other=name)

    def other_written(self, name: str) -> None:
        """Something else to compare with, as it is written."""
        self.setup.trusted.add(name)
        self.change(other=name)

    def act(self, act: str) -> None:
        """A button inside of a view."""
        kind, _, what = act.partition(":")
        if kind == "load":
            law, _, index = what.rpartition(":")
            text = self.answers.counterexample(law, int(index))
            if text is not None:
                name = f"counterexample of {law}"
                self.apply(replace(self.state, fixture=name, conversation=text, kwargs={}, tab="rendered"))
                self._remember()
        else:
            self._later(self.answers.export(what, save=kind == "save"))

    # -- sharing

    def _remember(self) -> None:
        """Put the state into the address, once nothing has changed for a moment."""
        if self._address is not None:
            self._address.cancel()
        self._address = background_tasks.create(self._write_address())

    async def _write_address(self) -> None:
        await asyncio.sleep(ADDRESS_SECONDS)
        with self.client:
            ui.run_javascript(f"playground.address({json.dumps(to_fragment(shared(self.state)))})")

    def share(self) -> None:
        """Copy the address, state and all."""
        fragment = json.dumps(to_fragment(shared(self.state)))
        ui.run_javascript(f"playground.address({fragment}); navigator.clipboard.writeText(location.href)")
        self.layout.remark("The address is copied: it holds the template, the conversation and all settings.")

    def save(self) -> None:
        """The view as one file."""
        self._later(self.answers.save())

    def turn(self) -> None:
        """From light to dark, or back."""
        ui.run_javascript("playground.turn()")

    def scheme(self, dark: bool) -> None:
        """The page is light or dark now."""
        for editor in (self.layout.template_editor, self.layout.conversation_editor):
            editor.theme(dark)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        background_tasks.create(work)


def _template_in(text: str) -> str | None:
    """The template of a tokenizer_config.json."""
    try:
        held = json.loads(text).get("chat_template")
    except (ValueError, AttributeError):
        return None
    return held if isinstance(held, str) else None
