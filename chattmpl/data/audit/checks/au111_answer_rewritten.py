from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView
from chattmpl.laws.outcome import first_difference
from chattmpl.template.special_tokens import CONTROL


class AnswerRewritten(Check):
    """An earlier answer is not trained as it is sampled.

    With `--rows one` or `--mask-from tags`, renders each trained answer that other messages follow as the last message
    too, and reports the rows in which the text up to its end differs. By default each such answer has its own row. The
    key is `stop` (only its stop token differs) or `text`. `amount` counts the answers, of the first 64 of a row.

    ## Why is this bad?

    The model learns a text, or a stop token, that it is never asked to sample, or after a prompt that it will not see.
    Templates of reasoning models drop the reasoning of earlier turns. GPT-OSS ends the last answer with `<|return|>`,
    and earlier ones with `<|end|>`.

    ## What to do

    Leave the two options out: `chattmpl encode` then writes a row for each prompt that inference has.
    `--retention all` keeps all reasoning, if serving keeps it too.
    """

    severity = "warning"
    message = "an earlier answer is not trained as it is sampled ({key})"
    hint = (
        "drop --rows one and --mask-from tags to get a row for each prompt, or keep all reasoning with --retention all"
    )
    unit = "answers"

    def check_row(self, view: RowView) -> RowFindings:
        found: dict[str, list[tuple[int, str, str]]] = {}
        for turn, sampled, written in view.rewritten_turns():
            at = first_difference(sampled, written)
            stop = next((match.start() for match in CONTROL.finditer(sampled) if match.end() == len(sampled)), None)
            key, at = ("text", at) if stop is None or at < stop else ("stop", stop)
            found.setdefault(key, []).append((turn, sampled[at:], written[at:]))
        for key, answers in found.items():
            turn, sampled, written = answers[0]
            detail = f"messages[{turn}] is sampled as {sampled[:20]!r} and written as {written[:20]!r}"
            yield RowFinding(key, detail, len(answers))
