from inspect import signature

from chattmpl.diagnostic import Quoted
from chattmpl.errors import NotRepresentable, UsageError
from chattmpl.laws.law import Case, Law
from chattmpl.laws.outcome import DoesNotApply, Holds, Outcome
from chattmpl.laws.shrink import is_ordinary
from chattmpl.parse import parse
from chattmpl.probing.corpus import CLOCK


class Roundtrip(Law):
    """A rendering can be parsed, and the parsed conversation renders to the same text.

    The parser refuses text that it cannot parse exactly. The law is broken if it refuses a text that the template
    itself rendered, unless the user does not speak first or a result follows no call.
    """

    name = "roundtrip"
    severity = "warning"
    order = 9
    problems = {
        "not-parsed": ("the rendering cannot be parsed: {why}", "{fix}"),
        "other-text": ("the parsed conversation renders to a different text", None),
    }

    def check(self, case: Case) -> Outcome:
        """Parse the rendering with the tools, documents and kwargs of the conversation."""
        conversation = case.conversation
        kwargs = case.template.program.read_of({**(conversation.chat_template_kwargs or {}), **case.kwargs})
        kwargs |= {"tools": conversation.tools, "documents": conversation.documents}
        kwargs = {name: value for name, value in kwargs.items() if value is not None}
        text = case.rendering.text
        if not case.messages:
            return DoesNotApply("there is no message")
        if clashing := next((name for name in kwargs if name in signature(parse).parameters), None):
            return DoesNotApply(f"the template kwarg {clashing!r} is a parameter of the parser, too")
        try:
            parsed = parse(case.template, text, clock=CLOCK, **kwargs)
        except UsageError as error:
            return DoesNotApply(error.message)
        except NotRepresentable as error:
            if not is_ordinary(conversation.dump()["messages"]):
                return DoesNotApply("the user does not speak first, or a result follows no call")
            return self.broken(
                case,
                "not-parsed",
                data={"found": Quoted(text[error.place.start :]) if error.place else ""},
                words={
                    "why": error.message,
                    "fix": error.hint or "let the template let a text that no content has stand around each message",
                },
                got=text,
                expected=None if error.place is None else text[: error.place.start],
                sites=frozenset({"unparsed"}),
            )
        again = case.template.render(parsed, clock=CLOCK, **kwargs).text
        if again != text:
            return self.broken(case, "other-text", expected=text, got=again)
        return Holds()
