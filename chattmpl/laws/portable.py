"""The law `portable`."""

from __future__ import annotations

import contextlib
import re
from typing import Any

from chattmpl.engines.drivers import minijinja_engine
from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.laws.law import CLOCK, Case, Law, site
from chattmpl.laws.outcome import Holds, NotEvaluated, Outcome, first_difference
from chattmpl.source import Place

_LINE = re.compile(r"\(in [^)]*?:(\d+)\)")


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
                return self._not_rendered(case, error.message)
        if got == case.rendering.text:
            return Holds()
        at = first_difference(case.rendering.text, got)
        place = case.place_at(case.rendering, at)
        return self.broken(
            case,
            "minijinja renders another text",
            expected=case.rendering.text,
            got=got,
            place=place,
            hint="use plainer Jinja",
            sites=frozenset({site("portable", place)}),
        )

    def _not_rendered(self, case: Case, why: str) -> Outcome:
        source = case.template.program.source
        line = _LINE.search(why)
        # The export has other lines than the source where tags of ours were taken out of it.
        same = case.template.export("inference") == source.text
        place = Place.of_line(source, int(line[1])) if line and same else None
        words = _LINE.sub("", why).strip()
        return self.broken(
            case,
            f"minijinja does not render this: {words}",
            hint="use plainer Jinja",
            place=place,
            field=words,
            sites=frozenset({f"minijinja:{words}"}),
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
