"""Conversations that show where engines differ: rendered both ways before the fast path is trusted.

They are made from a fixed seed, so that every process tries the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

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


class _Maker:
    """Makes conversations of one kind."""

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
                messages += self.calling(calls, reasoning)
            messages.append(self.answer(reasoning))
        return messages

    def answer(self, reasoning: bool) -> dict[str, Any]:
        answer: dict[str, Any] = {"role": "assistant", "content": self.text()}
        if reasoning and self.random.random() < 0.8:
            answer["reasoning_content"] = self.text()
        return answer

    def calling(self, arguments: str, reasoning: bool) -> list[dict[str, Any]]:
        asking = self.answer(reasoning)
        asking["tool_calls"] = [self.call(arguments) for _ in range(self.random.randint(1, 2))]
        if self.random.random() < 0.3:
            del asking["content"]
        results: list[dict[str, Any]] = [asking]
        for call in asking["tool_calls"]:
            result = {"role": "tool", "content": self.text(), "name": call["function"]["name"]}
            results.append({**result, "tool_call_id": call["id"]} if "id" in call else result)
        return results


def probes(variables: Iterable[str]) -> list[dict[str, Any]]:
    """The conversations to try with a template that reads these variables; plain ones come first."""
    made: list[dict[str, Any]] = []
    for hostile in (False, True):
        maker = _Maker(7 + hostile, hostile)
        for rounds in (1, 2, 3) * (5 if hostile else 1):
            for reasoning in (False, True):
                made += [{"messages": maker.messages(rounds, reasoning=reasoning)}]
        for arguments in ("strings", "none", "text", "other") * (3 if hostile else 1):
            messages = maker.messages(2, reasoning=True, calls=arguments)
            made += [
                {"messages": messages},
                {"messages": messages, "tools": [TOOL, _FLAT_TOOL][: maker.random.randint(1, 2)]},
            ]
        made += _rarer(maker)
    for kwargs in _kwargs(variables):
        made.append({"messages": maker.messages(2, reasoning=True), "chat_template_kwargs": kwargs})
    return made


def _rarer(maker: _Maker) -> list[dict[str, Any]]:
    """Parts, documents, other keys, prompts without an answer, other orders of roles."""
    parts = [{"type": "text", "text": maker.text()} for _ in range(2)]
    question, answer = {"role": "user", "content": maker.text()}, {"role": "assistant", "content": maker.text()}
    developer, system = {"role": "developer", "content": maker.text()}, {"role": "system", "content": maker.text()}
    document = {"title": maker.text(), "text": maker.text()}
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
        {"messages": [question, {"role": "tool", "content": maker.text(), "tool_call_id": "c1"}, answer]},
    ]


def _kwargs(variables: Iterable[str]) -> list[dict[str, Any]]:
    """Values for the kwargs that a template reads, by what their names say."""
    found: list[dict[str, Any]] = []
    for name in sorted(variables):
        if name in ("messages", "tools", "documents", "add_generation_prompt") or name.endswith("_token"):
            continue
        values: tuple[Any, ...] = (True, False, "text", 3)
        if "effort" in name:
            values = _EFFORTS
        found += [{name: value} for value in values]
    return found
