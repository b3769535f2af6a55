import json

from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView


class ArgumentsNotJson(Check):
    """The arguments of a tool call are not a JSON object.

    Reports rows with a tool call whose arguments are a string that is not JSON (key `not JSON`), not a JSON object (key
    `no object`), or JSON that was encoded twice (key `encoded twice`).

    ## Why is this bad?

    The model learns arguments that no parser can read.
    """

    severity = "error"
    message = "the arguments of a tool call are not a JSON object ({key})"
    hint = "store arguments as an object"
    needs_row = False

    def check_row(self, view: RowView) -> RowFindings:
        for index, message in enumerate(view.messages):
            for call in message.get("tool_calls") or ():
                arguments = (call.get("function") or call).get("arguments")
                if isinstance(arguments, str) and arguments.strip() and (key := _wrong(arguments)):
                    yield RowFinding(key, f"messages[{index}]")


def _wrong(arguments: str) -> str | None:
    try:
        value = json.loads(arguments)
    except ValueError:
        return "not JSON"
    if isinstance(value, str):
        return "encoded twice"
    return None if isinstance(value, dict) else "no object"
