"""Second, simple answers to where text came from: characters that no template writes and that survive rendering.

What the model samples is found with a marker before and behind every generation tag's content, and the origin of text
by making fields of characters that occur nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

BEGIN, END = "\ue000", "\ue001"
_FIRST = 0x3400
"""From here on the sentinels: rare ideographs, which neither Python's nor JSON's notation of a string escapes."""

_TAG = re.compile(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}")

Owner = tuple[int | None, str]
"""Index of a message, or None, and the path of a field in it, as spans have them."""


def with_markers(source: str) -> str:
    """The template with ``BEGIN`` and ``END`` written where its generation tags stand, which become plain scopes."""

    def rewritten(tag: re.Match[str]) -> str:
        left, end, right = tag.groups()
        if end:
            return f"{{%{left} endif %}}{{{{ '{END}' }}}}{{% endwith {right}%}}"
        return f"{{%{left} with %}}{{{{ '{BEGIN}' }}}}{{% if true {right}%}}"

    return _TAG.sub(rewritten, source)


def without_markers(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The text that has no markers, and the ranges between them, neighbours joined and empty ones left out."""
    plain = ""
    ranges: list[tuple[int, int]] = []
    start = 0
    for piece in re.split(f"([{BEGIN}{END}])", text):
        if piece == BEGIN:
            start = len(plain)
        elif piece == END and len(plain) > start:
            joins = ranges and ranges[-1][1] == start
            start = ranges.pop()[0] if joins else start
            ranges.append((start, len(plain)))
        elif piece not in (BEGIN, END):
            plain += piece
    return plain, ranges


@dataclass
class Sentinels:
    """A conversation in which every string is made of a character of its own.

    Attributes:
        owners: by character, the fields that hold it: one, or for the id of a call all that repeat it. The name of an
            argument belongs to the object that has it.
        names: the characters that make up names of arguments.
        conversation: the changed conversation.
    """

    owners: dict[str, set[Owner]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    conversation: dict[str, Any] = field(default_factory=dict)
    _ids: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, conversation: Mapping[str, Any]) -> Sentinels:
        """The same conversation in shape, roles and types."""
        made = cls()
        messages = [
            {key: made._changed(value, index, _REASONING.get(key, key), key) for key, value in message.items()}
            for index, message in enumerate(conversation["messages"])
        ]
        beside = {key: made._changed(value, None, key, key) for key, value in conversation.items() if key != "messages"}
        made.conversation = {**beside, "messages": messages}
        return made

    def _changed(self, value: Any, message: int | None, path: str, key: str) -> Any:
        if isinstance(value, str):
            return value if key in _OBEYED or not value else self._string(value, (message, path), key)
        if isinstance(value, list):
            return [self._changed(item, message, f"{path}[{at}]", key) for at, item in enumerate(value)]
        if isinstance(value, dict):
            names = {name: name for name in value}
            if ".arguments" in path:
                names = {name: self._name(name, (message, path)) for name in value}
            return {
                names[name]: self._changed(item, message, f"{path}.{names[name]}", name) for name, item in value.items()
            }
        return value

    def _name(self, old: str, owner: Owner) -> str:
        if old in _OBEYED:
            return old
        name = self._string(old, owner, "")
        self.names.add(name[0])
        return name

    def _string(self, old: str, owner: Owner, key: str) -> str:
        if key in ("id", "tool_call_id"):
            char = self._ids.setdefault(old, self._char())
            self.owners.setdefault(char, set()).add(owner)
            return char * 9  # some templates want an id of this length
        char = self._char()
        self.owners[char] = {owner}
        if key in ("content", "text", *_REASONING):
            inside = next((tag for tag in ("</think>", "<think>", "\n", " ") if tag in old), "")
            return f"{char}{char}{inside}{char}"
        return char * 3

    def _char(self) -> str:
        return chr(_FIRST + len(self.owners))


_OBEYED = frozenset({"role", "type", "required", "enum", "url"})
"""Keys whose values say what a thing is, and the address of an image: they are not there to be rendered."""

_REASONING = dict.fromkeys(("reasoning_content", "thinking", "reasoning"), "reasoning_content")
"""The name that spans have for the reasoning of a message, by the name in the data."""
