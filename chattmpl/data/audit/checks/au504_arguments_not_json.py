"""AU504."""

from __future__ import annotations

import json
from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Note
from chattmpl.data.audit.row_view import View


class ArgumentsNotJson(Kind):
    """The arguments of a tool call are no JSON object.

    ## What it does

    Reports rows with a tool call whose arguments are a string that is not the JSON of an object (key `not JSON` or
    `no object`), or the JSON of a string of JSON (key `encoded twice`).

    ## Why is this bad?

    The model learns arguments that no parser reads.

    ## What to do

    Give arguments as an object.
    """

    code = "AU504"
    name = "arguments-not-json"
    severity = "error"
    says = "the arguments of a tool call are no JSON object ({key})"
    hint = "give arguments as an object"
    needs_row = False

    def row(self, view: View) -> Iterator[Note]:
        """What is wrong with one row."""
        for index, message in enumerate(view.messages):
            for call in message.get("tool_calls") or ():
                arguments = (call.get("function") or call).get("arguments")
                if isinstance(arguments, str) and arguments.strip() and (key := _wrong(arguments)):
                    yield Note(key, f"messages[{index}]")


def _wrong(arguments: str) -> str | None:
    try:
        value = json.loads(arguments)
    except ValueError:
        return "not JSON"
    if isinstance(value, str):
        return "encoded twice"
    return None if isinstance(value, dict) else "no object"
