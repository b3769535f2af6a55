"""The law `steady`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

from chattmpl.laws.law import CLOCK, Case, Law
from chattmpl.laws.outcome import Holds, Outcome


class Steady(Law):
    """The same input gives the same output.

    No wall clock; None means the same as absent; the order of keys and the null padding that Arrow adds to dicts change
    nothing.
    """

    name = "steady"
    order = 8

    def check(self, case: Case) -> Outcome:
        """Render again at another time, and the same conversation written in other ways."""
        text = case.rendering.text
        later = case.render(case.conversation, clock=CLOCK + dt.timedelta(days=400, hours=7))
        if later.text != text:
            return self.broken(
                case,
                "another time of day renders another text",
                expected=text,
                got=later.text,
                place=case.place_of_difference(case.rendering, later),
                hint="take the date from a kwarg, and leave it out where there is none",
                sites=frozenset({"clock"}),
            )
        for change, written in self._ways(case):
            other = case.render(written)
            if other.text != text:
                return self.broken(
                    case,
                    f"{change} changes the text",
                    expected=text,
                    got=other.text,
                    place=case.place_of_difference(case.rendering, other),
                    hint="test for values, not for keys",
                    sites=frozenset({f"steady:{change}"}),
                )
        return Holds()

    @staticmethod
    def _ways(case: Case) -> Iterator[tuple[str, dict[str, Any]]]:
        """The conversation written in ways that mean the same."""
        ways: list[tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = [
            ("a key with the value None", lambda message: {**message, "name": message.get("name"), "tool_calls": None}
             if not message.get("tool_calls") else message),
            ("the order of a message's keys", lambda message: dict(reversed(message.items()))),
        ]  # fmt: skip
        for name, way in ways:
            dumped = case.conversation.dump()
            yield name, {**dumped, "messages": [way(message) for message in dumped["messages"]]}
        if case.conversation.tools:
            dumped = case.conversation.dump()
            yield "null padding in tools", {**dumped, "tools": [_padded(tool) for tool in dumped["tools"]]}


def _padded(tool: Any) -> Any:
    """A tool as Arrow gives it back: each property has all keys that any property has."""
    if isinstance(tool, dict):
        return {key: _padded(value) for key, value in tool.items()} | {"strict": tool.get("strict")}
    return [_padded(item) for item in tool] if isinstance(tool, list) else tool
