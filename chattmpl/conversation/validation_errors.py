"""Misfits: what is wrong with a field of a conversation, with the path to it, from the validators to the error."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from chattmpl.errors import ConversationError, did_you_mean
from chattmpl.source import Place

Path = tuple[str | int, ...]

ROLES = ("system", "developer", "user", "assistant", "tool")

_FOREIGN_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "ai": "assistant",
    "chatbot": "assistant",
    "function": "tool",
    "observation": "tool",
    "ipython": "tool",
}

_EXPECTED = {
    "messages": "a list of messages",
    "tools": "a list of JSON schemas",
    "documents": "a list of dicts",
    "chat_template_kwargs": "a dict",
    "template": "a string",
    "role": "a string",
    "content": "a string, a list of parts or null",
    "reasoning_content": "a string or null",
    "tool_calls": "a list of tool calls",
    "tool_call_id": "a string",
    "name": "a string",
    "id": "a string",
    "type": "a string",
    "train": "true or false",
    "weight": "a finite number, 0 or more",
    "function": "a dict with 'name' and 'arguments'",
    "arguments": "a dict, a string of JSON or null",
}
_EXPECTED_ITEM = {
    "messages": "a message (a dict with 'role' and 'content')",
    "tools": "a JSON schema (a dict)",
    "documents": "a dict with 'title' and 'text'",
    "content": "a content part (a dict with 'type')",
    "tool_calls": "a tool call (a dict with 'function')",
}


class FieldError(ConversationError):
    """A conversation, or a record of a data set, with a field that is wrong.

    Args:
        problem: what is wrong with the field, without its path.
        path: keys and indices that lead to the field, from the outermost.
        on_key: the key is wrong, not the value.
        place: where in a file, if it came from one.
        hint: the way out.
    """

    def __init__(
        self,
        problem: str,
        path: Path = (),
        *,
        on_key: bool = False,
        place: Place | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(f"{dotted(path)}: {problem}" if path else problem, place=place, hint=hint)
        self.problem = problem
        self.path = path
        self.on_key = on_key


def dotted(path: Path) -> str:
    """A path as people write it: ``messages[1].tool_calls[0].function``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def misfit(problem: str, *, path: Path = (), hint: str | None = None, on_key: bool = False) -> PydanticCustomError:
    """The error that a validator raises; ``path`` starts at the model that is validated."""
    context = {"problem": problem, "path": path, "hint": hint, "on_key": on_key}
    return PydanticCustomError("misfit", "{problem} ({hint})" if hint else "{problem}", context)


def unknown_role(role: str) -> tuple[str, str]:
    """The problem and the hint for a role that is none of ours."""
    folded = role.strip().lower()
    if folded in _FOREIGN_ROLES:
        hint = f"{role!r} is {_FOREIGN_ROLES[folded]!r} here"
    else:
        hint = did_you_mean(folded, ROLES) or f"the roles are {', '.join(ROLES)}"
    return f"unknown role {role!r}", hint


def explain(error: ValidationError) -> FieldError:
    """The first thing that is wrong, as one error of ours with a path that holds no pydantic terms."""
    details = [(detail, _field_path(detail["loc"])) for detail in error.errors(include_url=False)]
    for detail, path in details:
        if detail["type"] == "misfit":
            context = detail.get("ctx", {})
            whole = path + context["path"]
            return FieldError(context["problem"], whole, on_key=context["on_key"], hint=context["hint"])
    # A union reports each of its branches; the one that got furthest is the one that was meant.
    return _explain_type(*max(details, key=lambda pair: len(pair[1])))


def _field_path(location: Path) -> Path:
    """A location without the tags that unions and dicts put in, such as ``list[dict[str,any]]`` and ``[key]``."""
    path = tuple(step for step in location if isinstance(step, int) or step in _EXPECTED)
    return path[: path.index("arguments") + 1] if "arguments" in path else path


def _explain_type(detail: ErrorDetails, path: Path) -> FieldError:
    value: Any = detail["input"]
    if detail["type"] == "missing":
        present = ", ".join(map(repr, value)) if isinstance(value, dict) and value else "none"
        return FieldError(f"{path[-1]!r} is missing", path[:-1], hint=f"the keys are {present}")
    if detail["type"] == "recursion_loop":
        return FieldError("contains itself", path)
    if "[key]" in detail["loc"]:
        return FieldError(f"has a key that is no string: {_shown(value)}", path)
    name = path[-1] if path else ""
    if name == "role" and isinstance(value, str):
        problem, hint = unknown_role(value)
        return FieldError(problem, path, hint=hint)
    if isinstance(name, int):
        expected = _EXPECTED_ITEM.get(str(path[-2]) if len(path) > 1 else "messages", "something else")
    else:
        expected = _EXPECTED.get(name, "a conversation (a dict with 'messages')")
    return FieldError(f"must be {expected}, not {_shown(value)}", path)


def _shown(value: Any) -> str:
    """A value in an error: its JSON type, and itself if it is short."""
    if value is None:
        return "null"
    if isinstance(value, (str, bool, int, float)):
        text = repr(value)
        return f"{text if len(text) <= 40 else text[:40] + '…'}"
    return {"list": "a list", "dict": "a dict"}.get(type(value).__name__, type(value).__name__)
