"""The law `portable`."""

from __future__ import annotations

import contextlib
from typing import Any

from chattmpl.engines import minijinja_engine
from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.laws.law import CLOCK, Case, Law
from chattmpl.laws.outcome import Holds, NotEvaluated, Outcome


class Portable(Law):
    """Every engine that will serve the template renders the same text.

    Checked with minijinja, which is what several servers run, on the export for inference; `chattmpl engines` compares
    more of them.
    """

    name = "portable"
    order = 10

    def check(self, case: Case) -> Outcome:
        """Render the inference export elsewhere."""
        try:
            engine = minijinja_engine(clock=CLOCK)
        except UsageError as error:
            return NotEvaluated(error.message)
        with contextlib.closing(engine):
            try:
                got = engine.render(case.template.export("inference"), self._context(case))
            except ChatTmplError as error:
                return self.broken(case, f"minijinja does not render this: {error.message}", hint="use plainer Jinja")
        if got == case.rendering.text:
            return Holds()
        return self.broken(
            case, "minijinja renders another text", expected=case.rendering.text, got=got, hint="use plainer Jinja"
        )

    @staticmethod
    def _context(case: Case) -> dict[str, Any]:
        data = case.conversation.to_template_input()
        return {
            **case.template.tokens,
            **data.pop("kwargs"),
            **case.kwargs,
            **data,
            "add_generation_prompt": False,
        }
