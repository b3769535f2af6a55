"""The law `roundtrip`."""

from __future__ import annotations

from typing import Any

from chattmpl.errors import NotRepresentable, UsageError
from chattmpl.laws.law import CLOCK, Case, Law
from chattmpl.laws.outcome import DoesNotApply, Holds, Outcome
from chattmpl.parse import parse


class Roundtrip(Law):
    """A rendering can be parsed, and the parsed conversation renders to the same text again.

    Text that cannot be parsed back exactly is refused by name, never guessed; that a rendering of the template itself
    is refused is what breaks the law.
    """

    name = "roundtrip"
    order = 9

    def check(self, case: Case) -> Outcome:
        """Parse the whole conversation, with the tools, documents and kwargs that it was rendered with."""
        conversation = case.conversation
        kwargs: dict[str, Any] = {**(conversation.chat_template_kwargs or {}), **case.kwargs}
        kwargs = {name: value for name, value in kwargs.items() if name in case.template.program.variables}
        kwargs |= {"tools": conversation.tools, "documents": conversation.documents}
        kwargs = {name: value for name, value in kwargs.items() if value not in (None, [])}
        text = case.rendering.text
        try:
            # What is no family is refused whatever it is given, and its kwargs may have the names of our arguments.
            given = kwargs if case.template.family is not None else {}
            parsed = parse(case.template, text, clock=CLOCK, **given)
        except UsageError as error:
            return DoesNotApply(error.message)
        except NotRepresentable as error:
            return self.broken(
                case,
                f"its rendering cannot be parsed: {error.message}",
                hint=error.hint or "see docs/parsing.md for the [parse] table of a family",
                got=text,
                expected=None if error.place is None else text[: error.place.start],
                sites=frozenset({"unparsed"}),
            )
        again = case.template.render(parsed, clock=CLOCK, **kwargs).text
        if again != text:
            return self.broken(case, "the parsed conversation renders to another text", expected=text, got=again)
        return Holds()
