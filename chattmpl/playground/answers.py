"""What a page asks the workers for, when, and what becomes of the answers."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nicegui import background_tasks, ui

from chattmpl.playground.setup import DEMO
from chattmpl.playground.state import State
from chattmpl.playground.views.loading import Problem
from chattmpl.playground.worker_lane import Lane, Superseded, TooLong

if TYPE_CHECKING:
    from chattmpl.playground.session import Session

STUDY_SECONDS = 0.35
LAWS_SECONDS = 0.6
"""How long nothing must have changed before what takes longer begins."""

_LINTING = "Checking…"


class Answers:
    """The answers of one page.

    Args:
        session: whose state is asked about.
        lanes: ``view``, ``study`` and ``laws``.
    """

    def __init__(self, session: Session, lanes: dict[str, Lane]) -> None:
        self.session = session
        self.lanes = lanes
        self.retention: str | None = None
        self.notice = ""
        self.broken: dict[str, list[dict[str, Any]]] = {}
        self.lint: list[dict[str, Any]] = []
        self.studied = False
        self.good = False
        self._linted: str | None = None
        self._problem: dict[str, Any] | None = None
        self._waiting: dict[str, asyncio.Task[None]] = {}

    def restart(self) -> None:
        """Ask for everything: another template or conversation is shown."""
        self.lint, self.studied = [], False
        self.refresh(studied=True)

    def refresh(self, *, studied: bool) -> None:
        """Ask for the view, and after a moment for what takes longer."""
        background_tasks.create(self._view())
        if studied:
            self._after(STUDY_SECONDS, "study", self._study)
        if self.session.state.tab == "laws":
            self._after(LAWS_SECONDS if self.good else 0, "laws", self._laws)

    def _after(self, seconds: float, name: str, work: Any) -> None:
        if name in self._waiting:
            self._waiting[name].cancel()

        async def later() -> None:
            await asyncio.sleep(seconds)
            # What has begun is not broken off: its answer may be the last that comes.
            background_tasks.create(work())

        self._waiting[name] = background_tasks.create(later())

    async def _ask(self, lane: str, kind: str) -> dict[str, Any] | None:
        """An answer; None where a newer question took the place of this one."""
        state = self.session.state
        job = {"kind": kind, "state": state.to_dict()}
        own = state.tokenizer not in ("", DEMO) and (state.tab == "tokens" or kind in ("study", "laws"))
        before = {"kind": "tokenizer", "state": State(tokenizer=state.tokenizer).to_dict()} if own else None
        try:
            return await self.lanes[lane].ask(job, (self.session.client.id, kind), before)
        except Superseded:
            return None
        except TooLong as error:
            what = f"This took more than {error.seconds:g} seconds and was ended"
            hint = "the template may run without end, or the conversation be very long"
            return {"ok": False, "problem": asdict(Problem("template", "error", what, hint))}

    async def _view(self) -> None:
        asked = self.session.state
        answer = await self._ask("view", "view")
        if answer is None:
            return
        layout = self.session.layout
        with self.session.client:
            if not answer["ok"]:
                self._failed(answer["problem"])
                return
            self.good = True
            self.retention = answer["retention"]
            layout.complain(None, stale=False)
            if self.notice:
                layout.remark(self.notice)
                self.notice = ""
            if asked.tab == "laws":
                layout.panel.classes(remove="stale")
            else:
                layout.show_answer(answer["html"], answer["counts"])
            self.session.offer_retention(self.retention)
            self.session.offer_against()
            self._tell(None)
            if asked.source == self.session.state.source:
                layout.template_editor.mark(answer["template_marks"])
            if asked.conversation == self.session.state.conversation:
                layout.conversation_editor.mark(answer["conversation_marks"])

    def _failed(self, problem: dict[str, Any]) -> None:
        layout = self.session.layout
        layout.complain(problem, stale=self.good)
        if not self.good:
            self.session.offer_retention(None)
            layout.show_answer('<div class="nothing"><h3>Nothing rendered yet</h3></div>', "")
        self._tell(problem)

    def _tell(self, problem: dict[str, Any] | None) -> None:
        """Put what is wrong beside the text that it is about."""
        layout = self.session.layout
        own = [problem] if problem is not None and problem["where"] == "template" else []
        # What does not compile is a finding of lint too, later and in the same place; what lint found in the text as it
        # was before says nothing of one that is broken now.
        fresh = self._linted == self.session.state.source
        rest = [item for item in self.lint if not own or (fresh and item["message"] != own[0]["message"])]
        clean = ("Lint finds nothing" if self.studied else _LINTING) if not own else ""
        layout.template_editor.tell([*own, *rest], clean)
        wrong = [problem] if problem is not None and problem["where"] == "conversation" else []
        layout.conversation_editor.tell(wrong)
        self._problem = problem

    async def _study(self) -> None:
        asked = self.session.state
        answer = await self._ask("study", "study")
        if answer is None or asked.source != self.session.state.source:
            return
        with self.session.client:
            if not answer["ok"]:
                self.lint = [{**answer["problem"], "severity": "warning"}]
            else:
                self.lint = answer["problems"]
                if answer["controls"] is not None:
                    self.session.layout.kwargs.show(answer["controls"], self.session.state.kwargs)
            self.studied, self._linted = True, asked.source
            self._tell(self._problem)

    async def _laws(self) -> None:
        with self.session.client:
            if self.session.state.tab == "laws":
                checking = '<p class="waiting">Checking the laws on this conversation and on the fixtures…</p>'
                self.session.layout.show_answer(checking, "")
        answer = await self._ask("laws", "laws")
        if answer is None or self.session.state.tab != "laws":
            return
        with self.session.client:
            if answer["ok"]:
                self.broken = {row["name"]: row["broken"] for row in answer["rows"]}
                self.session.layout.show_answer(answer["html"], answer["counts"])
            else:
                self.session.layout.show_answer("", "")
                self.session.layout.complain(answer["problem"], stale=False)

    def counterexample(self, law: str, index: int) -> str | None:
        """The conversation of a counterexample that is shown."""
        found = self.broken.get(law, [])
        return found[index]["conversation"] if 0 <= index < len(found) else None

    async def export(self, target: str, *, save: bool) -> None:
        """Copy or save an export."""
        answer = await self._ask("view", "exports")
        with self.session.client:
            text = (answer or {}).get("exports", {}).get(target)
            if text is None:
                return
            name = self.session.state.base.rpartition("/")[2] or self.session.state.name
            if save:
                ui.download.content(text, f"{name.removesuffix('.jinja')}-{target}.jinja", "text/plain")
            else:
                ui.clipboard.write(text)
                self.session.layout.remark(f"The {target} export is copied.")

    async def save(self) -> None:
        """Save the view as one file."""
        lane = "laws" if self.session.state.tab == "laws" else "view"
        answer = await self._ask(lane, "save")
        if answer is None:
            return
        with self.session.client:
            if answer["ok"]:
                ui.download.content(answer["page"], f"chattmpl-{self.session.state.tab}.html", "text/html")
            else:
                self.session.layout.complain(answer["problem"], stale=self.good)
