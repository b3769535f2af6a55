import re
from functools import cache

from chattmpl.engine import Minijinja, variables
from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.laws.law import Case, Law, site
from chattmpl.laws.outcome import Holds, NotEvaluated, Outcome, first_difference
from chattmpl.probing.corpus import CLOCK
from chattmpl.source import Place

_LINE = re.compile(r"\(in [^)]*?:(\d+)\)")


class Portable(Law):
    """Every engine that will serve the template renders the same text.

    Checked with minijinja, which several servers use, on the export for inference. `chattmpl engines` compares more
    engines.
    """

    name = "portable"
    severity = "warning"
    order = 10
    problems = {
        "other-text": ("minijinja renders a different text", "use simpler Jinja"),
        "not-rendered": ("minijinja cannot render this: {complaint}", "use simpler Jinja"),
    }

    def check(self, case: Case) -> Outcome:
        """Render the export for inference with the other engine."""
        try:
            engine = _engine()
        except UsageError as error:
            return NotEvaluated(error.message, missing="engine")
        try:
            context = variables(case.template, case.conversation, case.kwargs, False)
            got = engine.render(case.template.export("inference"), context)
        except ChatTmplError as error:
            return self._not_rendered(case, error.complaint)
        if got == case.rendering.text:
            return Holds()
        at = first_difference(case.rendering.text, got)
        place = case.place_at(case.rendering, at)
        return self.broken(
            case,
            "other-text",
            expected=case.rendering.text,
            got=got,
            place=place,
            sites=frozenset({site("portable", place)}),
        )

    def _not_rendered(self, case: Case, complaint: str) -> Outcome:
        source = case.template.program.source
        line = _LINE.search(complaint)
        # The lines of the export differ from those of the source if generation tags were removed.
        same = case.template.export("inference") == source.text
        place = Place.of_line(source, int(line[1])) if line and same else None
        words = _LINE.sub("", complaint).strip()
        return self.broken(
            case,
            "not-rendered",
            data={"complaint": words},
            place=place,
            field=words,
            sites=frozenset({f"minijinja:{words}"}),
        )


@cache
def _engine() -> Minijinja:
    """Return the engine, whose process all checks share."""
    return Minijinja(CLOCK)
