import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

from chattmpl.laws.law import Case, Law
from chattmpl.laws.outcome import Holds, Outcome
from chattmpl.probing.corpus import CLOCK

_HINT = "test for values, not for keys"


class Steady(Law):
    """The same input gives the same output.

    The template does not read the wall clock, None is the same as absent, and neither the order of keys nor the null
    padding that Arrow adds to dicts changes the text.
    """

    name = "steady"
    severity = "warning"
    order = 8
    problems = {
        "clock": (
            "another time of day changes the text",
            "take the date from a template kwarg, and leave it out if there is none",
        ),
        "none-key": ("a key with the value None changes the text", _HINT),
        "key-order": ("the order of the keys in a message changes the text", _HINT),
        "null-padding": ("null padding in tools changes the text", _HINT),
    }

    def check(self, case: Case) -> Outcome:
        """Render at another time, and render equivalent forms of the conversation."""
        for change, written, clock in self._ways(case):
            other = case.render(written, clock=clock)
            if other.text != case.rendering.text:
                return self.broken(
                    case,
                    change,
                    expected=case.rendering.text,
                    got=other.text,
                    place=case.place_of_difference(case.rendering, other),
                    sites=frozenset({"clock" if change == "clock" else f"steady:{change}"}),
                )
        return Holds()

    @staticmethod
    def _ways(case: Case) -> Iterator[tuple[str, Any, dt.datetime]]:
        """Yield equivalent forms of the conversation, each with its kind of counterexample and its time."""
        yield "clock", case.conversation, CLOCK + dt.timedelta(days=400, hours=7)
        ways: list[tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = [
            ("none-key", lambda message: {**message, "name": message.get("name"), "tool_calls": None}
             if not message.get("tool_calls") else message),
            ("key-order", lambda message: dict(reversed(message.items()))),
        ]  # fmt: skip
        for name, way in ways:
            dumped = case.conversation.dump()
            yield name, {**dumped, "messages": [way(message) for message in dumped["messages"]]}, CLOCK
        if case.conversation.tools:
            dumped = case.conversation.dump()
            yield "null-padding", {**dumped, "tools": [_padded(tool) for tool in dumped["tools"]]}, CLOCK


def _padded(tool: Any) -> Any:
    """Return a tool as Arrow returns it: each property has all keys that any property has."""
    if isinstance(tool, dict):
        return {key: _padded(value) for key, value in tool.items()} | {"strict": tool.get("strict")}
    return [_padded(item) for item in tool] if isinstance(tool, list) else tool
