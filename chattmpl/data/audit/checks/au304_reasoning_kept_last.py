from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView


class ReasoningKeptLast(Check):
    """Only the last turn keeps its reasoning.

    Reports rows with answers to several questions of which only the last keeps its reasoning: because the retention
    policy drops the earlier traces (key `template`, with `--rows one` or `--mask-from tags`), or because the data
    contain no others (key `data`).

    ## Why is this bad?

    In the first case, one row per conversation trains the earlier turns on text that inference never produces. In the
    second, the model learns that reasoning ends a conversation.

    ## What to do

    Leave the two options out: `chattmpl encode` then writes a row for each prompt that inference has.
    `--retention all` keeps all traces, if serving does so too.
    """

    severity = "warning"
    message = {
        "data": "only the last of several answers has reasoning",
        "template": "the template keeps the reasoning of only the last of several answers",
    }
    hint = "drop --rows one and --mask-from tags to get a row for each prompt, or keep all traces with --retention all"
    unit = "traces"

    def check_row(self, view: RowView) -> RowFindings:
        users = [index for index, message in enumerate(view.messages) if message.get("role") == "user"]
        answers = [index for index, _ in view.asked if users and index > users[0]]
        if not answers or answers[0] > users[-1] or max(view.thinking, default=-1) < users[-1]:
            return
        earlier = [index for index in view.thinking if index < users[-1]]
        if not earlier:
            yield RowFinding("data", f"messages[{max(view.thinking)}]", hint="add reasoning to the earlier answers")
            return
        if view.lost_reasoning.issuperset(earlier) and max(view.thinking) not in view.lost_reasoning:
            yield RowFinding("template", f"messages[{earlier[0]}]", len(earlier))
