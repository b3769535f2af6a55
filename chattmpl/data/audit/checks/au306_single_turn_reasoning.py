from chattmpl.data.audit.check import AuditSettings, Check, DatasetFinding, DatasetFindings, Totals


class SingleTurnReasoning(Check):
    """All rows with reasoning answer only one question.

    Reports data in which no row with reasoning has answers to more than one question. This is a note if no row at all
    has.

    ## Why is this bad?

    The model learns that only first answers have reasoning: in a longer conversation it stops reasoning, or copies the
    absence of earlier traces.
    """

    severity = "warning"
    message = "all rows with reasoning answer only one question{detail}"
    hint = "add conversations of several turns with reasoning"

    def check_dataset(self, totals: Totals, settings: AuditSettings) -> DatasetFindings:
        each = totals.sources.items()
        reasoning = sum(source.reasoning for _, source in each)
        if not reasoning or any(source.reasoning_multi for _, source in each):
            return
        multi = sum(source.multi for _, source in each)
        examples = tuple(example for _, source in each for example in source.first_reasoning)
        counts = {name: source.reasoning for name, source in each if source.reasoning}
        detail = f", while {multi:,} rows without it answer more" if multi else ""
        yield DatasetFinding("", reasoning, examples, detail, None if multi else "info", counts)
