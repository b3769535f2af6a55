"""The law `lossless`."""

from __future__ import annotations

from chattmpl.laws.law import Case, Law
from chattmpl.laws.outcome import Holds, Outcome
from chattmpl.losses import why_lost


class Lossless(Law):
    """Every field of the conversation is rendered, or its loss is declared.

    A loss is declared by a retention policy, or by a limit in the family's ``family.toml``. Any other is silent: data
    that was collected, paid for, and never seen by the model.
    """

    name = "lossless"
    order = 5

    def check(self, case: Case) -> Outcome:
        """Ask for each field that no character came from whether somebody has said so."""
        silent = [path for path in case.rendering.lost if why_lost(case.rendering, path) is None]
        if not silent:
            return Holds()
        more = f" and {len(silent) - 1} more" if len(silent) > 1 else ""
        return self.broken(
            case,
            f"{silent[0]}{more} is not rendered",
            hint="render it, or declare the loss under [[limits]] in family.toml",
        )
