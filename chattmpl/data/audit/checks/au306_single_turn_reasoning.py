"""AU306."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Whole
from chattmpl.data.audit.settings import Settings
from chattmpl.data.audit.totals import Totals


class SingleTurnReasoning(Kind):
    """All rows with reasoning answer one question only.

    ## What it does

    Reports it where no row with reasoning has answers to more than one question. Where no row of the data has, it
    is for information.

    ## Why is this bad?

    The model learns that reasoning belongs to first answers: in a conversation it stops reasoning, or copies the
    absence of earlier traces.

    ## What to do

    Add conversations of several turns with reasoning.
    """

    code = "AU306"
    name = "single-turn-reasoning"
    severity = "warning"
    says = "reasoning stands in rows with one answered question only{detail}"
    hint = "add conversations of several turns with reasoning"

    def whole(self, totals: Totals, settings: Settings) -> Iterator[Whole]:
        """What is wrong with all rows together."""
        each = totals.sources.items()
        reasoning = sum(source.reasoning for _, source in each)
        if not reasoning or any(source.reasoning_multi for _, source in each):
            return
        multi = sum(source.multi for _, source in each)
        examples = tuple(example for _, source in each for example in source.first_reasoning)
        counts = {name: source.reasoning for name, source in each if source.reasoning}
        detail = f", while {multi:,} rows without it answer more" if multi else ""
        yield Whole("", reasoning, examples, detail, None if multi else "info", counts)
