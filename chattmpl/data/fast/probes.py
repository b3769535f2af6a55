"""Conversations for the differential check of the fast path, chosen to show where renderers differ.

They are generated from a fixed seed, so every process checks the same ones.
"""

import random
from collections.abc import Iterable
from typing import Any

from chattmpl.probing.modes import NOT_MODES

_PLAIN = ("Hello.", "What is 2 + 2?", "It is 4, since 1 + 1 + 2 = 4.", "A list:\n- one\n- two\n\nThat is all.", "12.50")
_HOSTILE = (
    *("", " ", "\n", "\n\n", "  padded  ", "\n\nlines\n\n", "\t", "a\r\nb", "\r"),
    *("\u00a0", "\u2028", "\u0085", "\ufeff"),
    *("é", "e\u0301", "日本語", "😀", "👩🏽\u200d🚀", "Привет", "שלום", "ß", "İ", "\U00010400", "Σίσυφος ΟΔΟΣ"),
    *("{{ x }}", "{% if %}", "{#", "}}", "%s", "{0}", "\\n", '"', "'", "<b>", "&amp;", "`", "/", "</", "<", ">"),
    *("<think>", "</think>", "<think>\nwhy\n</think>\n\nso", "/think", "/no_think", "<tool_call>", "[INST]"),
    *('{"a": 1}', "[1, 2]", "null", "true", "None", "1.0", "-1", "x" * 40, "one two  three   four"),
)  # fmt: skip
_OTHER_VALUES: tuple[Any, ...] = (
    1,
    -2,
    2.5,
    1.0,
    1e22,
    1e-7,
    10**17,
    10**30,
    True,
    False,
    [],
    {},
    [1, "a", None, 2.0],
    {"x": {"y": [True]}},
)
_EFFORTS = ("low", "medium", "high")

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather of a 'city' in \"degrees\".",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {
                    "type": "string",
                    "description": "Which city, as <b>text</b> & more.",
                    "enum": ["Oslo", "Rome"],
                },
                "days": {"type": "integer", "default": 3, "minimum": 0.5},
                "where": {"type": "array", "items": {"type": ["string", "null"]}},
            },
            "required": ["city"],
        },
    },
}
_FLAT_TOOL = {"name": "größe", "description": "", "parameters": {"type": "object", "properties": {}}}


class _Generator:
    """Generator of conversations with plain or with hostile texts."""

    def __init__(self, seed: int, hostile: bool) -> None:
        self.random = random.Random(seed)
        self.hostile = hostile

    def text(self) -> str:
        if not self.hostile:
            return self.random.choice(_PLAIN)
        pieces = self.random.choices((*_HOSTILE, *_PLAIN), k=self.random.randint(0, 4))
        return self.random.choice(("", " ")).join(pieces)

    def call(self, arguments: str) -> dict[str, Any]:
        made: Any = {self.random.choice(("city", "a b", "n", "items")): self.text() for _ in range(2)}
        if arguments == "other":
            made = {f"k{index}": value for index, value in enumerate(self.random.sample(_OTHER_VALUES, 4))} | made
        elif arguments == "text":
            made = self.random.choice(('{"city": "Oslo", "n": 1.0}', "{}", ""))
        elif arguments == "none":
            made = {}
        call: dict[str, Any] = {"type": "function", "function": {"name": "get_weather", "arguments": made}}
        return {"id": f"call{self.random.randint(10000, 99999)}", **call} if self.random.random() < 0.8 else call

    def messages(self, rounds: int, *, reasoning: bool, calls: str = "") -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []
        if self.random.random() < 0.6:
            messages.append({"role": "system", "content": self.text()})
        for _ in range(rounds):
            messages.append({"role": "user", "content": self.text()})
            if calls:
                messages += self.calls_and_results(calls, reasoning)
            messages.append(self.answer(reasoning))
        return messages

    def answer(self, reasoning: bool) -> dict[str, Any]:
        answer: dict[str, Any] = {"role": "assistant", "content": self.text()}
        if reasoning and self.random.random() < 0.8:
            answer["reasoning_content"] = self.text()
        return answer

    def calls_and_results(self, arguments: str, reasoning: bool) -> list[dict[str, Any]]:
        request = self.answer(reasoning)
        request["tool_calls"] = [self.call(arguments) for _ in range(self.random.randint(1, 2))]
        if self.random.random() < 0.3:
            del request["content"]
        results: list[dict[str, Any]] = [request]
        for call in request["tool_calls"]:
            result = {"role": "tool", "content": self.text(), "name": call["function"]["name"]}
            results.append({**result, "tool_call_id": call["id"]} if "id" in call else result)
        return results


def probes(variables: Iterable[str]) -> list[dict[str, Any]]:
    """Return the conversations for a template that reads these variables; plain ones come first."""
    conversations: list[dict[str, Any]] = []
    for hostile in (False, True):
        generator = _Generator(7 + hostile, hostile)
        for rounds in (1, 2, 3) * (5 if hostile else 1):
            for reasoning in (False, True):
                conversations += [{"messages": generator.messages(rounds, reasoning=reasoning)}]
        for arguments in ("strings", "none", "text", "other") * (3 if hostile else 1):
            messages = generator.messages(2, reasoning=True, calls=arguments)
            conversations += [
                {"messages": messages},
                {"messages": messages, "tools": [TOOL, _FLAT_TOOL][: generator.random.randint(1, 2)]},
            ]
        conversations += _unusual(generator)
    for kwargs in _kwargs_to_try(variables):
        conversations.append({"messages": generator.messages(2, reasoning=True), "chat_template_kwargs": kwargs})
    return conversations


def _unusual(generator: _Generator) -> list[dict[str, Any]]:
    """Return conversations with parts, documents, unknown keys, unusual orders of roles, or without an answer."""
    parts = [{"type": "text", "text": generator.text()} for _ in range(2)]
    roles = ("user", "assistant", "developer", "system")
    question, answer, developer, system = ({"role": role, "content": generator.text()} for role in roles)
    document = {"title": generator.text(), "text": generator.text()}
    return [
        {"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": parts}]},
        {"messages": [question, answer], "documents": [document]},
        {"messages": [question, answer], "tools": []},
        {"messages": [{**question, "name": "Ann", "lang": "en"}, {**answer, "score": "high"}]},
        {"messages": [question]},
        {"messages": [system, question, answer, system, question, answer]},
        {"messages": [developer, question, answer]},
        {"messages": [answer, question]},
        {"messages": [question, question, answer, answer]},
        {"messages": [question, {"role": "assistant"}]},
        {"messages": [question, {"role": "tool", "content": generator.text(), "tool_call_id": "c1"}, answer]},
    ]


def _kwargs_to_try(variables: Iterable[str]) -> list[dict[str, Any]]:
    """Return values for the kwargs that a template reads, chosen by their names."""
    found: list[dict[str, Any]] = []
    for name in sorted(variables):
        if name in NOT_MODES or name.endswith("_token"):
            continue
        values: tuple[Any, ...] = (True, False, "text", 3)
        if "effort" in name:
            values = _EFFORTS
        found += [{name: value} for value in values]
    return found
