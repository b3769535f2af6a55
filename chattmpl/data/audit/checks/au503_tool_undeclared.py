from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView


class ToolUndeclared(Check):
    """A called tool is not declared.

    In rows that declare tools (in `tools`, or in the template kwargs `xml_tools` and `python_tools`), reports calls of
    other tools. The key is the name.

    ## Why is this bad?

    The model learns to invent tools.
    """

    severity = "warning"
    message = "the tool {key} is called but not declared"
    hint = "declare the tool, or remove the row"
    needs_row = False

    def check_row(self, view: RowView) -> RowFindings:
        kwargs = view.kwargs
        given = [view.conversation.tools if view.conversation else None, kwargs.get("xml_tools")]
        if kwargs.get("python_tools"):
            return  # Python code may call any tool
        tools = [tool for some in given if isinstance(some, list) for tool in some]
        if not tools or not all(isinstance(tool, dict) for tool in tools):
            return
        known = {(tool.get("function") or tool).get("name") for tool in tools}
        for index, message in enumerate(view.messages):
            for call in message.get("tool_calls") or ():
                name = (call.get("function") or call).get("name")
                if name not in known:
                    yield RowFinding(str(name), f"messages[{index}]")
