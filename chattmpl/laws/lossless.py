import re
from collections.abc import Iterator
from typing import Any

from chattmpl.errors import ChatTmplError
from chattmpl.laws.law import Case, Law
from chattmpl.laws.outcome import Holds, Outcome
from chattmpl.template.template import Rendering, why_lost

_INDEX = re.compile(r"\[\d+\]")
_MESSAGE = re.compile(r"messages\[(\d+)\]")
_HINT = "render it, or declare the loss under [[limits]] in family.toml"
_FOLDED = ("documents", "tools[].function.parameters", "messages[].tool_calls[].function.arguments")
"""Kinds of fields whose keys are not separate causes."""
_IDS = ("messages[].tool_calls[].id", "messages[].tool_call_id")
"""Kinds of fields of which one is useless without the other."""


class Lossless(Law):
    """Every field of the conversation is rendered, or its loss is declared.

    A loss is declared by a retention policy, or by a limit in the family's ``family.toml``. Any other loss is silent:
    the data was collected and paid for, and the model never sees it.
    """

    name = "lossless"
    order = 5
    problems = {
        "not-rendered": ("{subject} not rendered", _HINT),
        "dropped-from-history": ("{subject} rendered in the last message, but not in history", _HINT),
    }

    def check(self, case: Case) -> Outcome:
        """Return the first kind of field that is lost without a declaration."""
        return self.outcomes(case)[0]

    def outcomes(self, case: Case) -> list[Outcome]:
        """Return a counterexample for each kind of field that is lost without a declaration."""
        blank = _blank(case)
        lost = (path for path in case.rendering.lost if path not in blank)
        silent = [path for path in lost if why_lost(case.rendering, path) is None]
        whole = _whole(case, silent)
        found: dict[tuple[str, bool], Outcome] = {}
        for path in silent:
            around = (parent for parent in whole if path == parent or path.startswith((f"{parent}.", f"{parent}[")))
            parent = next(around, path)
            past = self._only_in_history(case, path)
            key = (kind(case, parent), past is not None)
            if key not in found:
                found[key] = self._lost(case, parent, key[0], past)
        return list(found.values()) or [Holds()]

    def _lost(self, case: Case, path: str, field: str, past: Rendering | None) -> Outcome:
        index = _MESSAGE.match(path)
        role = f" ({case.messages[int(index[1])].role})" if index and "tool" not in path else ""
        words = {"subject": f"{path}{role} {'are' if path.endswith('s') else 'is'}"}
        if past is None:
            sites = frozenset({f"field:{field}"})
            return self.broken(case, "not-rendered", words=words, path=path, field=field, sites=sites)
        return self.broken(
            case,
            "dropped-from-history",
            words=words,
            path=path,
            field=field,
            expected=past.text,
            got=case.rendering.text,
            place=case.place_of_difference(past, case.rendering),
            sites=case.sites(past, case.rendering),
        )

    @staticmethod
    def _only_in_history(case: Case, path: str) -> Rendering | None:
        """Return the rendering up to the field's message, if the template renders the field there."""
        index = _MESSAGE.match(path)
        if index is None or int(index[1]) == len(case.messages) - 1:
            return None
        try:
            head = case.head(int(index[1]) + 1)
        except ChatTmplError:
            return None
        return None if path in head.lost or head.text == case.rendering.text[: len(head.text)] else head


def kind(case: Case, path: str) -> str:
    """Return the kind of field that a path names: without indices, and with the role where it matters."""
    if path in ("tools", "documents"):
        return path
    plain = _INDEX.sub("[]", path)
    index = _MESSAGE.match(path)
    role = case.messages[int(index[1])].role if index else None
    if plain == "messages[].tool_calls[]":
        return "messages[].tool_calls[1:]"
    if plain == "messages[]" or plain.startswith("messages[].content"):
        # Parts of content are lost as content is, unless the content around them is not.
        return plain.replace("messages[]", f"messages[role={role}]")
    if plain in _IDS:
        return _IDS[0]
    return next((start for start in _FOLDED if plain.startswith(start)), plain)


def _whole(case: Case, lost: list[str]) -> list[str]:
    """Return the paths of fields that are lost as a whole, the outermost first: a message, its calls, the tools."""
    gone = set(lost)
    data = case.conversation.dump()
    parents: list[tuple[str, Any]] = [(name, data.get(name)) for name in ("tools", "documents")]
    for index, message in enumerate(data["messages"]):
        if message["role"] != "assistant":
            beside = {key: value for key, value in message.items() if key not in ("role", "name", "tool_call_id")}
            parents.append((f"messages[{index}]", beside))
        calls = message.get("tool_calls") or []
        parents.append((f"messages[{index}].tool_calls", calls))
        parents += [(f"messages[{index}].tool_calls[{number}]", call) for number, call in enumerate(calls)]
        parents.append((f"messages[{index}].content", message.get("content")))
    found = []
    for path, value in parents:
        leaves = list(_leaves(value, path))
        if len(leaves) > 0 and gone.issuperset(leaves):
            found.append(path)
    return found


def _blank(case: Case) -> set[str]:
    """Return the paths of texts that are only white space, which may be trimmed without losing anything."""
    found = set()
    for index, message in enumerate(case.conversation.dump()["messages"]):
        for name in ("content", "reasoning_content"):
            value = message.get(name)
            if isinstance(value, str):
                found |= {f"messages[{index}].{name}"} if not value.strip() else set()
            elif isinstance(value, list):
                parts = [(number, part) for number, part in enumerate(value) if isinstance(part, dict)]
                texts = [(number, part["text"]) for number, part in parts if isinstance(part.get("text"), str)]
                found |= {f"messages[{index}].{name}[{number}].text" for number, text in texts if not text.strip()}
    return found


def _leaves(value: Any, path: str) -> Iterator[str]:
    """Yield the paths of the texts in a value that templates print."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in ("type", "role"):
                yield from _leaves(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{index}]")
    elif isinstance(value, str) and value:
        yield path
