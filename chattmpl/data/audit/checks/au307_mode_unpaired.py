import re
from pathlib import PurePath

from chattmpl.data.audit.check import AuditSettings, Check, DatasetFinding, DatasetFindings, Totals
from chattmpl.data.reasoning_mode import Mode

_WORDS = re.compile(r"(?i)(?:^|(?<=[^a-z]))(?:no[_-]?think(?:ing)?|non[_-]?think(?:ing)?|think(?:ing)?)(?=[^a-z]|$)")


class ModeUnpaired(Check):
    """A reasoning mode has no counterpart in a mixture of both.

    In hybrid data (`--hybrid`, or the template has a switch and both modes occur), reports sources that have only one
    mode and no counterpart: another source whose name differs only in the mode (`math_think` and `math_no_think`). The
    mode of a row is the one that it requests, or else the one of its data. With `--hybrid`, also reports a mode that
    does not occur at all.

    ## Why is this bad?

    If each mode occurs only with one kind of task, the model learns the task, not the switch.
    """

    severity = "warning"
    message = {"missing": "there are no {detail} rows", "source": "{key} has only {detail} rows and no counterpart"}
    hint = "add conversations of the same kind in the other mode"

    def check_dataset(self, totals: Totals, settings: AuditSettings) -> DatasetFindings:
        modes = totals.modes()
        both = bool(modes["mixed"] or (modes["think"] and modes["no-think"]))
        hybrid = both and totals.switch.name is not None if settings.hybrid is None else settings.hybrid
        if not hybrid:
            return
        if not both:
            missing = "no-think" if modes["think"] else "think"
            yield DatasetFinding(missing, totals.rows, detail=missing, kind="missing")
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
                yield DatasetFinding(name, rows, detail=mode, sources={name: rows}, kind="source")


def _stem(name: str) -> str:
    """Return the name of a source without its mode."""
    return re.sub(r"[^a-z0-9]+", "", _WORDS.sub("", PurePath(name).name).lower())
