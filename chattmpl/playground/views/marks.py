"""CSS classes that connect rendered text with the template lines and fields that it came from.

A piece of rendered text, a line of the template and a value of the conversation share a class if they belong together:
``L12`` for line 12 of the template, ``F3`` for field number 3. The page highlights elements with the same class.
"""

import json
from collections.abc import Iterable
from typing import Any

from chattmpl.conversation.json_text import JsonEntry, JsonText
from chattmpl.conversation.normalization import REASONING_NAMES
from chattmpl.playground.views.inputs import Rendered, conversation_text
from chattmpl.provenance.origin import field_path
from chattmpl.report.picture import field_steps
from chattmpl.template.spans import Span

_PATH = tuple[str | int, ...]


class Marks:
    """The classes of one rendering.

    Args:
        rendered: the rendering.
    """

    def __init__(self, rendered: Rendered) -> None:
        self.rendered = rendered
        self.fields: dict[str, str] = {}
        for span in rendered.rendering.spans:
            if path := field_path(span.message, span.field):
                self.fields.setdefault(path, f"F{len(self.fields)}")

    def of(self, span: Span) -> str:
        """Return the classes of the characters of a span."""
        field = self.fields.get(field_path(span.message, span.field), "")
        return " ".join(filter(None, (f"L{span.line}" if span.line else "", field)))

    def template(self) -> list[dict[str, Any]]:
        """Return decorations of the template's editor: the lines that wrote text."""
        lines: dict[int, bool] = {}
        for span in self.rendered.marked.spans:
            if span.line:
                lines[span.line] = lines.get(span.line, False) or span.generated
        return [
            {"kind": "line", "line": line, "class": f"wrote L{line}" + (" wrote-made" if made else "")}
            for line, made in sorted(lines.items())
        ]

    def conversation(self) -> list[dict[str, Any]]:
        """Return decorations of the conversation's editor: the values that were rendered or lost."""
        text = conversation_text(self.rendered.state)
        source = JsonText(text)
        entries = {entry.path: entry for entry in source.entries()}
        prefix: _PATH = () if text.lstrip().startswith("{") else ("messages",)
        wanted = [(path, name) for path, name in self.fields.items()]
        wanted += [(path, "lost") for path in self.rendered.rendering.lost]
        made: dict[tuple[int, int], set[str]] = {}
        strings = _strings(text, entries.values())
        data = self.rendered.conversation.dump()
        for path, name in wanted:
            steps = field_steps(path)
            entry = _entry(entries, steps, prefix) or strings.get(_string_at(data, steps))
            if entry is not None and entry.value[0] < entry.value[1]:
                made.setdefault(entry.value, set()).add(name)
        return [
            {"kind": "mark", "from": start, "to": end, "class": " ".join(sorted({"value", *names}))}
            for (start, end), names in sorted(made.items())
        ]


def _strings(text: str, entries: Iterable[JsonEntry]) -> dict[str | None, JsonEntry]:
    """Return the strings that occur once in a text, to find values in shapes other than messages."""
    found: dict[str | None, list[JsonEntry]] = {}
    for entry in entries:
        start, end = entry.value
        if text[start] == '"':
            found.setdefault(str(json.loads(text[start:end])), []).append(entry)
    return {value: held[0] for value, held in found.items() if len(held) == 1}


def _string_at(data: Any, path: _PATH) -> str | None:
    """Return the string at a path, or None."""
    for step in path:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data if isinstance(data, str) else None


def _entry(entries: dict[_PATH, JsonEntry], path: _PATH, prefix: _PATH) -> JsonEntry | None:
    """Return the value at a path, or the innermost value around it that is not the list of messages."""
    if prefix and path[:1] == prefix:
        path = path[1:]
    least = 2 if not prefix else 1
    while len(path) > least:
        for known in _spellings(path):
            if known in entries:
                return entries[known]
        path = path[:-1]
    return entries.get(path) if path and path[0] != "messages" else None


def _spellings(path: _PATH) -> list[_PATH]:
    """Return the spellings of a path that are loaded as this one."""
    if path[-1] == "reasoning_content":
        return [(*path[:-1], name) for name in ("reasoning_content", *REASONING_NAMES)]
    return [path]
