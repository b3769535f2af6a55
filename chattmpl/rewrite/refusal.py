"""Refusals of annotate and retain, each with its cause as data."""

import copyreg
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from chattmpl.diagnostic import wording
from chattmpl.errors import TemplateError
from chattmpl.laws.outcome import Counterexample
from chattmpl.source import Place


@dataclass(frozen=True)
class _Text:
    """Message and hint, with placeholders for the details of one refusal."""

    message: str
    hint: str | None = None


class Refusal(Enum):
    """Cause of a refusal. Its value holds the message and the hint, which are for people only."""

    NOT_RENDERED = _Text("the template cannot render {what}: {error}")
    UNPROVEN = _Text("no rewrite could be proven: {failure}")
    # annotate
    INVALID_TAGS = _Text(
        "the generation tags of the template are wrong: {failure}", "replace them with chattmpl annotate --repair"
    )
    LAW_IMPOSSIBLE = _Text("the law {law} cannot hold for messages[{turn}] of {what}: {obstacle}", "{fix}")
    LAW_EXEMPTED = _Text("the law {law} cannot hold for some conversations: {obstacle}", "{fix}")
    ANSWER_DROPPED = _Text(
        "the law sampled cannot hold: the template renders no content of the assistant's messages",
        "render the assistant's messages",
    )
    NO_STOP_TOKEN = _Text(
        "the law stop cannot hold: no stop token follows the assistant's messages",
        "if the stop token does not look like a control token, pass it with --stop-token TEXT",
    )
    NOTHING_GENERATED = _Text("no part of the template writes text that the model samples")
    NOT_TRACEABLE = _Text("the template renders a different text when its outputs are split into their operands")
    NO_CONDITION = _Text(
        "line {line} writes sampled text for some messages only, and no condition distinguishes them",
        "write the sampled text in a separate output",
    )
    SHARED_OUTPUT = _Text(
        "this output writes sampled and other text, and cannot be split", "write the sampled text in a separate output"
    )
    SHARED_MACRO = _Text(
        "the macro {name} writes sampled and other text, and transformers ignores tags in macros",
        "inline the macro where it is called, or pass the operands of the output one by one",
    )
    ACCUMULATED = _Text(
        "the template collects its text in {name} and writes it at once, so no tag can enclose a part of it",
        "write each text where it is collected",
    )
    NOT_WRITABLE = _Text("the generation tags cannot be written: {error}")
    # retain
    NO_TRACES = _Text(
        "the template never renders reasoning, so there is no place for a retention policy",
        "put {% reasoning %}…{% endreasoning %} where a message's reasoning should be rendered",
    )
    TRACES_UNRENDERED = _Text(
        "the template reads {keys}, but renders no reasoning in any of its modes{calls}",
        "put {% reasoning %}…{% endreasoning %} where a message's reasoning should be rendered",
    )
    TRACES_IN_PARTS = _Text("the template renders reasoning only as parts of the content, which no policy can drop")
    TRACE_CLOSED = _Text(
        "the generation prompt closes the trace, or starts differently from a turn with a trace, so no turn in "
        "history can be as it was sampled",
        "a policy needs a template that renders a message's reasoning in its own place",
    )
    NO_CHANGE = _Text(
        "no change of up to three conditions yields the policy; {tried} were tried{failure}",
        "put {% reasoning %}…{% endreasoning %} around what renders the trace, and export with --retention",
    )
    LAW_BROKEN = _Text(
        "the law {law} does not hold, for a reason other than traces: {failure}", "without --strict this is a note"
    )


class CannotRewrite(TemplateError):
    """A template that is not rewritten, since no rewrite exists or none could be proven.

    Args:
        refusal: the cause.
        details: values of the placeholders in its message and hint.
        law: the name of the law that cannot hold, for `CannotAnnotate`; None for any other cause.
        policy: the name of the policy, for `CannotRetain`.
        place: the place in the template, if one is to blame.
        counterexample: the conversation that shows it, and both texts where two are compared.
    """

    def __init__(
        self,
        refusal: Refusal,
        details: Mapping[str, Any] | None = None,
        *,
        law: str | None = None,
        policy: str | None = None,
        place: Place | None = None,
        counterexample: Counterexample | None = None,
    ) -> None:
        values = dict(details or {})
        hint = None if refusal.value.hint is None else wording(refusal.value.hint, values)
        if not hint:
            hint = counterexample.hint if counterexample is not None else None
        place = place or (counterexample.place if counterexample is not None else None)
        message = wording(refusal.value.message, values)
        super().__init__(message, place=place, hint=hint)
        self.refusal, self.details, self.law, self.policy = refusal, values, law, policy
        self.counterexample = None if counterexample is None else replace(counterexample, message=message, hint=hint)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by attributes: the constructors of subclasses have keyword arguments."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class CannotAnnotate(CannotRewrite):
    """A template in which no placement of generation tags is valid, or none could be proven."""


class CannotRetain(CannotRewrite):
    """A template that has no place for a retention policy, or for which no change could be proven."""
