"""Incremental parsing of a text that arrives in pieces."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from chattmpl.conversation.models import Conversation, Message
from chattmpl.errors import NotRepresentable, UsageError
from chattmpl.parse.completion import grammar_after, keep_reasoning, render_prompt
from chattmpl.parse.conversation import ParseRequest
from chattmpl.parse.incremental import Delta, TurnReader
from chattmpl.parse.turn_grammar import schemas_of


class Parser:
    """A parser that is fed pieces of a text, cut anywhere, and parses the whole text in the end.

    Args:
        finish: parses the whole text.
        messages: returns the complete messages of the beginning of a conversation.
        completion: reads a completion instead.
    """

    def __init__(
        self,
        finish: Callable[[str], Conversation],
        messages: Callable[[str], list[Message]],
        completion: CompletionReader | None = None,
    ) -> None:
        self._finish = finish
        self._messages = messages
        self._completion = completion
        self._parts: list[str] = []
        self._deltas: list[Delta] = []
        self._taken = 0
        self._known: tuple[int, list[Message]] | None = None

    @property
    def text(self) -> str:
        """The text fed so far."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    def feed(self, text: str) -> None:
        """Add a piece of text; raise `UsageError` if ``text`` is not a string."""
        if not isinstance(text, str):
            raise UsageError(f"feed takes text, not {type(text).__name__}", hint="decode the tokens first")
        if text:
            self._parts.append(text)
            self._known = None
            if self._completion is not None:
                with contextlib.suppress(RecursionError):  # `finish` says that values are nested too deeply
                    self._deltas += self._completion.feed(text)

    def deltas(self) -> list[Delta]:
        """Return the additions to a completion since the last call, as the OpenAI API writes them.

        Each is ``{"reasoning_content": text}``, ``{"content": text}``, or ``{"tool_calls": [call]}``, where ``call``
        has the ``index`` of the call: first with its ``id`` (if the text has one), ``type`` and name, then with parts
        of its ``arguments``, which are JSON text. Later text only adds to them, and after `finish` all together are
        the message.
        """
        deltas = self._deltas[self._taken :]
        self._taken = len(self._deltas)
        return deltas

    @property
    def messages(self) -> list[Message]:
        """The messages known so far: the one message of a completion, as far as it goes, else the complete turns.

        Later text only adds to the message of a completion. The arguments of its calls are JSON text until `finish`.
        Of a conversation the last turn may still change, if its content contains text that looks like its end.
        """
        if self._known is None:
            if self._completion is None:
                known = self._messages(self.text)
            else:
                message = joined(self._deltas)
                known = Conversation.coerce([message], clean_nulls="never").messages if len(message) > 1 else []
            self._known = len(self._parts), known
        return list(self._known[1])

    def finish(self) -> Conversation:
        """Parse the whole text; the rest of the message is in `deltas` then.

        Raises:
            NotRepresentable: see `chattmpl.parse.parse`.
        """
        conversation = self._finish(self.text)
        if self._completion is not None:
            message = conversation.messages[-1]
            self._deltas += remaining(joined(self._deltas), message.dump(), self.text)
            self._known = len(self._parts), [message]
        return conversation


class CompletionReader:
    """A reader of the beginning of a completion, which may repeat the prompt or the generation prompt."""

    def __init__(self, request: ParseRequest, prompt: Any, generation_prompt: bool | None) -> None:
        request = replace(request, template=keep_reasoning(request.template))
        rendered = render_prompt(request, prompt)
        schemas = schemas_of(request.kwargs.get("tools") or rendered.conversation.tools)
        self._turn = TurnReader(grammar_after(request, rendered), schemas)
        prefixes = [] if generation_prompt is False else [rendered.text, rendered.generation_prompt]
        self._prefixes = [prefix for prefix in prefixes if prefix]
        self._required = bool(generation_prompt)
        self._held = ""

    def feed(self, text: str) -> list[Delta]:
        """Read a piece; return the deltas that have become certain."""
        if not self._prefixes:
            return self._turn.feed(text)
        self._held += text
        if any(len(self._held) < len(prefix) and prefix.startswith(self._held) for prefix in self._prefixes):
            return []
        length = next((len(prefix) for prefix in self._prefixes if self._held.startswith(prefix)), 0)
        if self._required and not length:
            return []
        self._prefixes = []
        return self._turn.feed(self._held[length:])


def joined(deltas: list[Delta]) -> dict[str, Any]:
    """Return the message that deltas are together; the arguments of its calls are JSON text."""
    texts: dict[str, list[str]] = {}
    calls: list[dict[str, Any]] = []
    arguments: list[list[str]] = []
    for delta in deltas:
        for name in ("reasoning_content", "content"):
            if name in delta:
                texts.setdefault(name, []).append(delta[name])
        for part in delta.get("tool_calls", ()):
            if part["index"] == len(calls):
                calls.append({"function": {}})
                arguments.append([])
            call, function = calls[part["index"]], part.get("function", {})
            call.update({name: part[name] for name in ("id", "type") if name in part})
            call["function"].update({name: function[name] for name in ("name",) if name in function})
            arguments[part["index"]].append(function.get("arguments", ""))
    message: dict[str, Any] = {"role": "assistant", **{name: "".join(parts) for name, parts in texts.items()}}
    for call, parts in zip(calls, arguments, strict=True):
        call["function"]["arguments"] = "".join(parts)
    return {**message, "tool_calls": calls} if calls else message


def remaining(shown: dict[str, Any], message: dict[str, Any], text: str) -> list[Delta]:
    """Return the deltas that complete what was shown to a message.

    Raises:
        NotRepresentable: the message is not a continuation of what was shown.
    """
    deltas: list[Delta] = []
    for name in ("reasoning_content", "content"):
        known, whole = shown.get(name, ""), message.get(name) or ""
        if not whole.startswith(known):
            raise _contradiction()
        if len(whole) > len(known):
            deltas.append({name: whole[len(known) :]})
    known_calls, calls = shown.get("tool_calls", []), message.get("tool_calls") or []
    if len(known_calls) > len(calls):
        raise _contradiction()
    for index, call in enumerate(calls):
        function = call["function"]
        given = function["arguments"]
        whole = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        if index >= len(known_calls):
            first = {name: call[name] for name in ("id", "type") if call.get(name) is not None}
            known, part = "", {"index": index, **first, "function": {"name": function["name"], "arguments": whole}}
            deltas.append({"tool_calls": [part]})
            continue
        known = known_calls[index]["function"]["arguments"]
        identifier = known_calls[index].get("id")
        if known_calls[index]["function"]["name"] != function["name"] or identifier not in (None, call.get("id")):
            raise _contradiction()
        if identifier is None and call.get("id") is not None:
            deltas.append({"tool_calls": [{"index": index, "id": call["id"]}]})
        if not known and whole:
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": whole}}]})
        elif known != whole and (isinstance(given, str) or not _same_json(known, given)):
            raise _contradiction()
    return deltas


def _same_json(text: str, value: Any) -> bool:
    try:
        return bool(json.loads(text) == value)
    except ValueError:
        return False


def _contradiction() -> NotRepresentable:
    return NotRepresentable("the whole text is another message than its beginning")
