"""Errors in the fields of a conversation: the path to the field, the problem, and spelling suggestions for keys."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Literal, Self, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from chattmpl.errors import ConversationError, did_you_mean
from chattmpl.source import Place

FieldPath = tuple[str | int, ...]
"""Keys and indices that lead to a field, outermost first."""

Role = Literal["system", "developer", "user", "assistant", "tool"]
ROLES: tuple[str, ...] = get_args(Role)

ROLE_OF_SENDER = {
    **{role: role for role in ROLES},
    **dict.fromkeys(("human", "prompter"), "user"),
    **dict.fromkeys(("gpt", "chatgpt", "bing", "bard", "model", "bot", "ai", "chatbot"), "assistant"),
    **dict.fromkeys(("observation", "function_response", "tool_response", "function", "ipython"), "tool"),
    **dict.fromkeys(("function_call", "tool_call"), "function_call"),
}
"""Roles for the sender of ShareGPT turns, which files spell in many ways."""

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

_ERROR_TYPE = "chattmpl_field"
"""The type by which pydantic's error details show that `validation_error` made them."""

_CORRECT_WORDS = frozenset({"context", "comment", "height", "time"})
"""Keys of real data that are one or two letters away from a known key and are not misspellings of it."""


class FieldError(ConversationError):
    """An invalid field of a conversation or of a dataset record.

    Args:
        problem: the problem, without the path.
        path: keys and indices that lead to the field, outermost first.
        on_key: the key is wrong, not its value.
        place: the position in the file, if the conversation was read from one.
        hint: how to fix it.
    """

    def __init__(
        self,
        problem: str,
        path: FieldPath = (),
        *,
        on_key: bool = False,
        place: Place | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(f"{dotted(path)}: {problem}" if path else problem, place=place, hint=hint)
        self.problem = problem
        self.path = path
        self.on_key = on_key

    def moved(self, path: FieldPath, place: Place | None = None) -> Self:
        """Return the error with another path and place, as the caller of the reader sees the field."""
        return type(self)(self.problem, path, on_key=self.on_key, place=place, hint=self.hint)


def dotted(path: FieldPath) -> str:
    """Format a path as in Python code: ``messages[1].tool_calls[0].function``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def validation_error(
    problem: str, *, path: FieldPath = (), hint: str | None = None, on_key: bool = False
) -> PydanticCustomError:
    """Return the error for a validator to raise; ``path`` starts at the model being validated."""
    context = {"problem": problem, "path": path, "hint": hint, "on_key": on_key}
    return PydanticCustomError(_ERROR_TYPE, "{problem} ({hint})" if hint else "{problem}", context)


def unknown_role(role: str) -> tuple[str, str]:
    """Return the problem and the hint for a role that does not exist."""
    folded = role.strip().lower()
    if (known := ROLE_OF_SENDER.get(folded)) in ROLES:
        return f"unknown role {role!r}", f"did you mean {known!r}?"
    return f"unknown role {role!r}", did_you_mean(folded, ROLES) or f"the roles are {', '.join(ROLES)}"


def to_field_error(error: ValidationError) -> FieldError:
    """Convert the first error that pydantic found, with a path free of pydantic's own terms."""
    details = [(detail, _field_path(detail["loc"])) for detail in error.errors(include_url=False)]
    for detail, path in details:
        if detail["type"] == _ERROR_TYPE:
            context = detail.get("ctx", {})
            whole = path + context["path"]
            return FieldError(context["problem"], whole, on_key=context["on_key"], hint=context["hint"])
    # A union reports each of its branches; the intended one is the one that validated furthest.
    return _type_error(*max(details, key=lambda pair: len(pair[1])))


def _field_path(location: FieldPath) -> FieldPath:
    """Return a location without the tags that unions and dicts add, such as ``list[dict[str,any]]`` and ``[key]``."""
    path = tuple(step for step in location if isinstance(step, int) or step in _EXPECTED)
    return path[: path.index("arguments") + 1] if "arguments" in path else path


def _type_error(detail: ErrorDetails, path: FieldPath) -> FieldError:
    value: Any = detail["input"]
    if detail["type"] == "missing":
        hint = found_keys(value if isinstance(value, dict) else ())
        return FieldError(f"{path[-1]!r} is missing", path[:-1], hint=hint)
    if detail["type"] == "recursion_loop":
        return FieldError("contains itself", path)
    if "[key]" in detail["loc"]:
        return FieldError(f"has a key that is not a string: {shown(value)}", path)
    name = path[-1] if path else ""
    if name == "role" and isinstance(value, str):
        problem, hint = unknown_role(value)
        return FieldError(problem, path, hint=hint)
    if isinstance(name, int):
        expected = _EXPECTED_ITEM.get(str(path[-2]) if len(path) > 1 else "messages", "something else")
    else:
        expected = _EXPECTED.get(name, "a conversation (a dict with 'messages')")
    return FieldError(f"must be {expected}, not {shown(value)}", path)


def shown(value: Any) -> str:
    """Return a value as errors show it: a short scalar itself, else its JSON type."""
    if value is None:
        return "null"
    if isinstance(value, (str, bool, int, float)):
        text = repr(value)
        return f"{text if len(text) <= 40 else text[:40] + '…'}"
    return {"list": "a list", "dict": "a dict"}.get(type(value).__name__, type(value).__name__)


def found_keys(keys: Iterable[str]) -> str:
    """Return the hint that lists the keys of a dict that lacks one."""
    return f"the keys found are {', '.join(map(repr, keys)) or 'none'}"


@lru_cache(maxsize=4096)
def find_misspelling(keys: tuple[str, ...], known: frozenset[str]) -> tuple[str, str] | None:
    """Return the first key that looks like a misspelling of a missing known key, with that known key, or None.

    Unknown keys are allowed in most places, since templates may read any key. An unknown key that resembles a known
    one missing from the same dict is different: every template would silently ignore it.

    Cached, since the rows of a dataset repeat the same keys.
    """
    missing = sorted(known.difference(keys))
    for key in keys:
        if isinstance(key, str) and key not in known and (intended := intended_word(key, missing)):
            return key, intended
    return None


def intended_word(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that an unknown one is a misspelling of, or None."""
    if word in _CORRECT_WORDS:
        return None
    folded = _folded(word)
    for candidate in known:
        allowed = 2 if len(candidate) >= 7 else 1
        if folded == _folded(candidate) or _distance(word, candidate, allowed) <= allowed:
            return candidate
    return None


def _folded(word: str) -> str:
    return word.replace("_", "").replace("-", "").replace(" ", "").lower()


def _distance(a: str, b: str, limit: int) -> int:
    """Count the edits (insert, delete, replace, swap neighbours) between two words; inexact above the limit."""
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    before_last: list[int] = []
    last = list(range(len(b) + 1))
    for i, char in enumerate(a, 1):
        row = [i]
        for j, other in enumerate(b, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (char != other))
            if i > 1 and j > 1 and char == b[j - 2] and a[i - 2] == other:
                cost = min(cost, before_last[j - 2] + 1)
            row.append(cost)
        before_last, last = last, row
    return last[-1]
