"""AU503."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Note
from chattmpl.data.audit.row_view import View


class ToolUndeclared(Kind):
    """A tool is called that the row does not declare.

    ## What it does

    In rows that declare tools (in `tools`, or in the template kwargs `xml_tools` and `python_tools`), reports calls
    of others; the key is the name.

    ## Why is this bad?

    The model learns to make tools up.

    ## What to do

    Declare the tool, or drop the row.
    """

    code = "AU503"
    name = "tool-undeclared"
    severity = "warning"
    says = "the tool {key} is called and not declared"
    hint = "declare the tool, or drop the row"
    needs_row = False

    def row(self, view: View) -> Iterator[Note]:
        """What is wrong with one row."""
        kwargs = view.kwargs
        given = [view.conversation.tools if view.conversation else None, kwargs.get("xml_tools")]
        if kwargs.get("python_tools"):
            return  # their code calls what it likes
        tools = [tool for some in given if isinstance(some, list) for tool in some]
        if not tools or not all(isinstance(tool, dict) for tool in tools):
            return
        known = {(tool.get("function") or tool).get("name") for tool in tools}
        for index, message in enumerate(view.messages):
            for call in message.get("tool_calls") or ():
                name = (call.get("function") or call).get("name")
                if name not in known:
                    yield Note(str(name), f"messages[{index}]")
