"""Requests of one page to the workers, and the display of their answers."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import Any

from nicegui import background_tasks, ui

from chattmpl.playground.html import nothing
from chattmpl.playground.lane import JobTimeout, Lane, Superseded
from chattmpl.playground.layout import Layout
from chattmpl.playground.setup import DEMO
from chattmpl.playground.state import State
from chattmpl.playground.views.inputs import Problem

ANALYSIS_SECONDS = 0.35
LAWS_SECONDS = 0.6
"""Seconds without changes before a slower request is sent."""


class Answers:
    """The requests and answers of one page of a NiceGUI client.

    Args:
        client, layout: the client and the elements of the page.
        lanes: the workers, by name: ``view``, ``analysis`` and ``laws``.
        current: returns the state that the page shows now.
        rendered: called after each successful rendering with the retention policy in use.
    """

    def __init__(
        self,
        client: Any,
        layout: Layout,
        lanes: dict[str, Lane],
        current: Callable[[], State],
        rendered: Callable[[str | None], None],
    ) -> None:
        self.client = client
        self.layout = layout
        self.lanes = lanes
        self.current = current
        self.rendered = rendered
        self.notice = ""
        self.retention: str | None = None
        self._good = False
        self._broken: dict[str, list[dict[str, Any]]] = {}
        self._lint: list[dict[str, Any]] = []
        self._analysed: str | None = None
        self._has_analysis = False
        self._problem: dict[str, Any] | None = None
        self._waiting: dict[str, asyncio.Task[None]] = {}

    def restart(self) -> None:
        """Request everything, for another template or conversation."""
        self._lint, self._has_analysis = [], False
        self.refresh(analyse=True)

    def refresh(self, *, analyse: bool) -> None:
        """Request the view, and after a pause what takes longer."""
        background_tasks.create(self._view())
        if analyse:
            self._after(ANALYSIS_SECONDS, "analysis", self._analysis)
        if self.current().tab == "laws":
            self._after(LAWS_SECONDS if self._good else 0, "laws", self._laws)

    def _after(self, seconds: float, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if name in self._waiting:
            self._waiting[name].cancel()

        async def later() -> None:
            await asyncio.sleep(seconds)
            # A request that was sent is not cancelled: its answer may be the last to arrive.
            background_tasks.create(work())

        self._waiting[name] = background_tasks.create(later())

    async def _ask(self, lane: str, kind: str) -> dict[str, Any] | None:
        """Return the answer to a request; None if a newer request replaced it."""
        state = self.current()
        job = {"kind": kind, "state": state.to_dict()}
        own = state.tokenizer not in ("", DEMO) and (state.tab == "tokens" or kind in ("analysis", "laws"))
        before = {"kind": "tokenizer", "state": State(tokenizer=state.tokenizer).to_dict()} if own else None
        try:
            return await self.lanes[lane].ask(job, (self.client.id, kind), before)
        except Superseded:
            return None
        except JobTimeout as error:
            message = f"rendering took more than {error.seconds:g} seconds and was stopped"
            hint = "the template may loop forever, or the conversation may be very long"
            return {"ok": False, "problem": asdict(Problem("template", "error", message, hint))}

    async def _view(self) -> None:
        asked = self.current()
        answer = await self._ask("view", "view")
        if answer is None:
            return
        layout = self.layout
        with self.client:
            if not answer["ok"]:
                self._failed(answer["problem"])
                return
            self._good = True
            self.retention = answer["retention"]
            layout.show_error(None, stale=False)
            if self.notice:
                layout.show_note(self.notice)
                self.notice = ""
            if asked.tab == "laws":
                layout.panel.classes(remove="stale")
            else:
                layout.show_view(answer["html"], answer["counts"])
            self.rendered(self.retention)
            self._show_problems(None)
            if asked.source == self.current().source:
                layout.template_editor.mark(answer["template_marks"])
            if asked.conversation == self.current().conversation:
                layout.conversation_editor.mark(answer["conversation_marks"])

    def _failed(self, problem: dict[str, Any]) -> None:
        self.layout.show_error(problem, stale=self._good)
        if not self._good:
            self.rendered(None)
            self.layout.show_view(nothing("Nothing rendered yet"), "")
        self._show_problems(problem)

    def _show_problems(self, problem: dict[str, Any] | None) -> None:
        """Show a problem in the editor that it concerns, together with the findings of lint."""
        own = [problem] if problem is not None and problem["where"] == "template" else []
        # A template that does not compile is also a finding of lint, in the same place. Findings in an earlier text say
        # nothing about a text that is broken now.
        fresh = self._analysed == self.current().source
        rest = [item for item in self._lint if not own or (fresh and item["message"] != own[0]["message"])]
        clean = ("No findings" if self._has_analysis else "Checking…") if not own else ""
        self.layout.template_editor.show_problems([*own, *rest], clean)
        wrong = [problem] if problem is not None and problem["where"] == "conversation" else []
        self.layout.conversation_editor.show_problems(wrong)
        self._problem = problem

    async def _analysis(self) -> None:
        asked = self.current()
        answer = await self._ask("analysis", "analysis")
        if answer is None or asked.source != self.current().source:
            return
        with self.client:
            if not answer["ok"]:
                self._lint = [{**answer["problem"], "severity": "warning"}]
            else:
                self._lint = answer["problems"]
                if answer["controls"] is not None:
                    self.layout.kwargs.show(answer["controls"], self.current().kwargs)
            self._has_analysis, self._analysed = True, asked.source
            self._show_problems(self._problem)

    async def _laws(self) -> None:
        with self.client:
            if self.current().tab == "laws":
                checking = '<p class="waiting">Checking the laws on this conversation and the fixtures…</p>'
                self.layout.show_view(checking, "")
        answer = await self._ask("laws", "laws")
        if answer is None or self.current().tab != "laws":
            return
        with self.client:
            if answer["ok"]:
                self._broken = {row["name"]: row["broken"] for row in answer["rows"]}
                self.layout.show_view(answer["html"], answer["counts"])
            else:
                self.layout.show_view("", "")
                self.layout.show_error(answer["problem"], stale=False)

    def counterexample(self, law: str, index: int) -> str | None:
        """Return the conversation of a counterexample that is shown."""
        found = self._broken.get(law, [])
        return found[index]["conversation"] if 0 <= index < len(found) else None

    async def export(self, target: str, *, save: bool) -> None:
        """Copy an export to the clipboard, or save it."""
        answer = await self._ask("view", "exports")
        with self.client:
            text = (answer or {}).get("exports", {}).get(target)
            if text is None:
                return
            state = self.current()
            name = state.base.rpartition("/")[2] or state.name
            if save:
                ui.download.content(text, f"{name.removesuffix('.jinja')}-{target}.jinja", "text/plain")
            else:
                ui.clipboard.write(text)
                self.layout.show_note(f"Copied the {target} export.")

    async def save(self) -> None:
        """Save the view as one file."""
        tab = self.current().tab
        answer = await self._ask("laws" if tab == "laws" else "view", "save")
        if answer is None:
            return
        with self.client:
            if answer["ok"]:
                ui.download.content(answer["page"], f"chattmpl-{tab}.html", "text/html")
            else:
                self.layout.show_error(answer["problem"], stale=self._good)
