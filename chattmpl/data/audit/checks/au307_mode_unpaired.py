"""AU307."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath

from chattmpl.data.audit.check import Kind, Whole
from chattmpl.data.audit.settings import Settings
from chattmpl.data.audit.totals import Totals
from chattmpl.data.reasoning_mode import Mode

_WORDS = re.compile(r"(?i)(?:^|(?<=[^a-z]))(?:no[_-]?think(?:ing)?|non[_-]?think(?:ing)?|think(?:ing)?)(?=[^a-z]|$)")


class ModeUnpaired(Kind):
    """A reasoning mode has no counterpart in a mixture of both.

    ## What it does

    In data that are meant to be hybrid (`--hybrid`, or the template has a switch and both modes occur), reports
    sources that have one mode only and no counterpart: another source whose name differs in the mode alone
    (`math_think` and `math_no_think`). The mode of a row is the one that it asks for, else the one that it shows.
    With `--hybrid`, a mode that does not occur at all is reported too.

    ## Why is this bad?

    If one mode comes with one kind of task, the model learns the task, not the switch.

    ## What to do

    Add the same kind of conversation in the other mode.
    """

    code = "AU307"
    name = "mode-unpaired"
    severity = "warning"
    says = "{key}"
    hint = "add the same kind of conversation in the other mode"

    def whole(self, totals: Totals, settings: Settings) -> Iterator[Whole]:
        """What is wrong with all rows together."""
        modes = totals.modes()
        both = bool(modes["mixed"] or (modes["think"] and modes["no-think"]))
        hybrid = both and totals.switch.name is not None if settings.hybrid is None else settings.hybrid
        if not hybrid:
            return
        if not both:
            missing = "no-think" if modes["think"] else "think"
            yield Whole(f"there is no {missing} row at all", totals.rows)
            return
        single: dict[str, Mode] = {}
        for name, source in totals.sources.items():
            found = [mode for mode in source.asked if source.asked[mode]]
            if len(found) == 1 and found[0] != "mixed":
                single[name] = found[0]
        for name, mode in single.items():
            stem = _stem(name)
            others = (other for other in totals.sources if other != name and _stem(other) == stem)
            if not any(single.get(other) != mode for other in others):
                rows = totals.sources[name].encoded
                yield Whole(f"{name} has only {mode} rows, and no counterpart", rows, sources={name: rows})


def _stem(name: str) -> str:
    """The name of a source without what says its mode."""
    return re.sub(r"[^a-z0-9]+", "", _WORDS.sub("", PurePath(name).name).lower())
