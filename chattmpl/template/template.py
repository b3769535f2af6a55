"""The core `Template`, which compiles, renders and exports, and the `Rendering` that it makes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Self, cast

from chattmpl.budget import Budget, pause_gc
from chattmpl.compiler.policies import RUNTIME, VARIABLE, Retention, check_policy
from chattmpl.compiler.program import Program, compile_program
from chattmpl.conversation.models import Conversation, Message
from chattmpl.errors import RenderError, TemplateError, UsageError, did_you_mean
from chattmpl.provenance.containers import InputTracer
from chattmpl.provenance.origin import Run
from chattmpl.source import Source
from chattmpl.template.family import Family
from chattmpl.template.resolver import TemplateSource, find_template
from chattmpl.template.spans import Span, lost_fields, spans_of
from chattmpl.template.special_tokens import SpecialTokens, read_by

if TYPE_CHECKING:
    from chattmpl.compiler.export import Target

Clock = datetime | Callable[[], datetime] | None
"""The time that ``strftime_now`` formats: a fixed time, a function that returns it, or None for the wall clock."""

_ALWAYS = ("messages", "tools", "documents", "add_generation_prompt")
"""Variables that every template gets."""

_TOKEN = re.compile(r"\b[A-Za-z]\w*_token\b")
_REASONING = re.compile(r"messages\[\d+\]\.(?:reasoning_content|reasoning|thinking)\b")
_PLACE = re.compile(r"\[(?:role=(\w+)|(\d+):)?\]")
"""An index in the path of a limit: any index, one of a message with a role, or any from a number on."""


class Template:
    """A compiled chat template.

    It keeps no state between renders, so threads can share one.

    Attributes:
        name: the family's name, or the name of the source.
        family: the facts of the shipped family, or None for any other template.
        retention: the name of the retention policy, or None for a template without a reasoning block.
        tokens: special tokens that every render passes to the template, such as ``{"bos_token": "<s>"}``.
        budget: the bounds of each render; a larger one than the default holds for the compilation as well.
        tool_use: the template for conversations with tools, if the model has two, as transformers chooses it; None if
            this one is for all.
    """

    def __init__(self, resolved: TemplateSource, retention: str | None = None, budget: Budget | None = None) -> None:
        self.name = resolved.family.name if resolved.family else resolved.source.name
        self.family: Family | None = resolved.family
        self.tokens = {name: token for name, token in resolved.tokens.items() if token is not None}
        self.budget = budget or Budget()
        self.resolved = resolved
        # A render may have fewer steps, as those that probe a template do, but compiling takes what it takes.
        steps = max(self.budget.steps, Budget.steps)
        self.program: Program = compile_program(resolved.source, _retention(resolved.family, retention), steps)
        if retention is not None and not self.program.has_reasoning:
            raise TemplateError(
                f"{self.name} has no {{% reasoning %}} block, and so no place for the retention policy {retention!r}",
                hint="put {% reasoning %}…{% endreasoning %} around what renders a message's reasoning",
            )
        self.retention = self.program.retention.policy if self.program.has_reasoning else None
        tool_use = None if resolved.tool_use is None else type(self)(resolved.tool_use, retention, budget)
        self.tool_use = cast("Self | None", tool_use)

    @classmethod
    def load(
        cls, which: Any, *, retention: str | None = None, variant: str | None = None, budget: Budget | None = None
    ) -> Self:
        """Load a template by its name or path.

        Args:
            which: a family (``"qwen3"``), a .jinja file, a model directory, a tokenizer_config.json, a family's
                folder, or a tokenizer object.
            retention: the retention policy, one of `chattmpl.compiler.policies.NAMES`. The default is what the
                family's upstream does, and ``all`` for any other template.
            variant: the name of one of several templates, such as ``tool_use``. By default it is chosen for each
                conversation as in transformers: ``tool_use`` where there are tools, else ``default``.
            budget: the bounds of each render; a larger one than the default holds for the compilation as well.

        Raises:
            UsageError: if there is no such template or policy.
            TemplateError: if the template does not compile.
        """
        return cls(find_template(which, variant), retention, budget)

    @classmethod
    def from_source(
        cls,
        source: str,
        *,
        name: str = "<string>",
        retention: str | None = None,
        tokens: dict[str, str] | None = None,
        budget: Budget | None = None,
    ) -> Self:
        """Compile a template from its text; ``tokens`` are special tokens, such as ``{"bos_token": "<s>"}``."""
        return cls(TemplateSource(Source(source, name), dict(tokens or {}), explicit=True), retention, budget)

    @property
    def source(self) -> str:
        """The source text, in the dialect, with newlines as Jinja reads them."""
        return self.program.source.text

    @property
    def given(self) -> Source:
        """The source as it was found, with its own newlines and delimiters."""
        return self.resolved.source

    def __reduce__(self) -> tuple[Any, ...]:
        # A compiled program is not pickled: it is compiled again where the template is loaded.
        return type(self), (self.resolved, self.retention, self.budget)

    def with_retention(self, retention: str) -> Self:
        """Return this template under another retention policy."""
        return type(self)(self.resolved, retention, self.budget)

    def with_source(self, source: TemplateSource) -> Self:
        """Return the template of another source under the same policy and budget."""
        return type(self)(source, self.retention, self.budget)

    def with_tokens(self, tokens: SpecialTokens) -> Self:
        """Return this template with the special tokens of a tokenizer; see `TemplateSource.with_tokens`."""
        resolved = self.resolved.with_tokens(tokens)
        return self if resolved == self.resolved else self.with_source(resolved)

    @property
    def alone(self) -> Self:
        """This template without the one for conversations with tools."""
        return self if self.tool_use is None else self.with_source(replace(self.resolved, tool_use=None))

    def with_tool_use(self, template: Self) -> Self:
        """Return this template with another one for conversations with tools."""
        return self.with_source(replace(self.resolved, tool_use=template.resolved))

    def for_tools(self, tools: object) -> Self:
        """Return the template for a conversation with these tools."""
        return self if tools is None or self.tool_use is None else self.tool_use

    @property
    def variants(self) -> tuple[Self, ...]:
        """This template, and the one for conversations with tools if there is one."""
        return (self,) if self.tool_use is None else (self, self.tool_use)

    @property
    def reads_clock(self) -> bool:
        """True if a rendering depends on the time."""
        return any("strftime_now" in each.source for each in self.variants)

    @cached_property
    def unknown_tokens(self) -> list[str]:
        """The names of special tokens that the template reads, and of which neither text nor absence is known."""
        known = self.resolved.tokens.keys()
        # Which names are variables is known from the syntax tree, which is not parsed if no such name is in the text.
        read = {
            name
            for each in self.variants
            if not known >= set(_TOKEN.findall(each.source))
            for name in read_by(each.program.variables)
        }
        return sorted(read - known)

    def require_tokens(self, kwargs: Mapping[str, Any]) -> None:
        """Refuse to render with special tokens that are not known, which would silently be empty.

        Args:
            kwargs: template kwargs, which may define them.

        Raises:
            TemplateError: if the template reads one that is not known.
        """
        unknown = [name for name in self.unknown_tokens if name not in kwargs]
        if unknown:
            raise unknown_tokens_error(self.name, unknown)

    def __repr__(self) -> str:
        policy = f", retention={self.retention!r}" if self.retention else ""
        return f"Template({self.name!r}{policy})"

    def render(
        self,
        conversation: Any,
        add_generation_prompt: bool = False,
        clock: Clock = None,
        *,
        continue_final_message: bool = False,
        **template_kwargs: Any,
    ) -> Rendering:
        """Render a conversation and record the origin of every character.

        Args:
            conversation: a `Conversation`, a dict with ``messages`` (and ``tools``, ``documents``,
                ``chat_template_kwargs``), or a list of messages.
            add_generation_prompt: append the text after which the model samples its next turn.
            clock: the time that ``strftime_now`` formats; the wall clock if None.
            continue_final_message: end the text where the final message's content ends, for the model to continue it.
                The template renders the content with a marker at its end, and the text ends before the marker, as in
                transformers: a trace that the content closes stays closed, and white space that the template strips
                before the next tag stays stripped.
            **template_kwargs: variables of the template; they override those of the conversation, and None means
                absent. ``tools`` and ``documents`` replace those of the conversation.

        Raises:
            ConversationError: for something that is not a conversation.
            UsageError: for a kwarg that the template does not read.
            RenderError: if the template raises, or exceeds its budget, or does not render the content to continue.
        """
        if continue_final_message and add_generation_prompt:
            raise UsageError("continue_final_message and add_generation_prompt are mutually exclusive", hint="drop one")
        conversation = _with_tools(Conversation.coerce(conversation), template_kwargs)
        content, read = _marked(conversation) if continue_final_message else ("", conversation)
        chosen, kwargs = self._for(conversation, template_kwargs)
        text, runs, leaves = chosen._run(read, add_generation_prompt, clock, kwargs)
        given = {**(conversation.chat_template_kwargs or {}), **template_kwargs}
        unknown = tuple(name for name in chosen.unknown_tokens if name not in given)
        lost = lost_fields(leaves.leaves, runs)
        rendering = chosen._rendering_class(text, spans_of(runs), lost, conversation, chosen, unknown)
        if not continue_final_message:
            return rendering
        if text.count(_MARKER) > 1:
            return self.render(conversation, False, clock, **template_kwargs).up_to_final_content()
        return rendering.up_to_marker(content)

    @property
    def _rendering_class(self) -> type[Rendering]:
        return Rendering

    def writers(
        self, conversation: Any, add_generation_prompt: bool = False, clock: Clock = None, **template_kwargs: Any
    ) -> list[tuple[int, int | None]]:
        """Return the statement that writes each part of the text; the arguments are those of `render`.

        Returns:
            For each piece of the text its end, and the offset in the source of the output tag or text that wrote it,
            both in characters; the offset is None where it is not known.
        """
        conversation = _with_tools(Conversation.coerce(conversation), template_kwargs)
        chosen, kwargs = self._for(conversation, template_kwargs)
        _, runs, _ = chosen._run(conversation, add_generation_prompt, clock, kwargs)
        pieces, end = [], 0
        for length, _, statement in runs:
            end += length
            if length:
                pieces.append((end, None if statement is None else statement.offset))
        return pieces

    def _for(self, conversation: Conversation, given: dict[str, Any]) -> tuple[Self, dict[str, Any]]:
        """Return the template for a conversation, and the kwargs that it reads."""
        kwargs = {name: value for name, value in given.items() if value is not None}
        self.check_kwargs(kwargs)
        chosen = self.for_tools(conversation.tools)
        if self.tool_use is not None:
            kwargs = {name: value for name, value in kwargs.items() if chosen.reads(name)}
        return chosen, kwargs

    def _run(
        self, conversation: Conversation, prompt: bool, clock: Clock, kwargs: dict[str, Any]
    ) -> tuple[str, list[Run], InputTracer]:
        """Return the text, its runs, and the leaves of the conversation."""
        with pause_gc():
            leaves = InputTracer()
            variables = self.variables(conversation, prompt, kwargs, leaves)
            # A message and its role are no leaves.
            values = len(leaves.leaves) + 2 * len(conversation.messages)
            text, runs = self.program.run(variables, partial(now_of, clock), self.budget, values)
        return text, runs, leaves

    def export(self, target: Target = "train") -> str:
        """Return the template as plain Jinja for other engines.

        Args:
            target: ``train`` keeps generation tags, ``inference`` has none; both render the same text.

        Raises:
            TemplateError: for a template that has no such form.
        """
        return self.program.export(target)

    def variables(
        self, conversation: Conversation, prompt: bool, kwargs: dict[str, Any], leaves: InputTracer
    ) -> dict[str, Any]:
        """Return the variables of a render; ``leaves`` collects the origin of each value."""
        data = conversation.to_template_input()
        variables: dict[str, Any] = {**self.tokens, "add_generation_prompt": prompt}
        for name, value in {**data["kwargs"], **kwargs}.items():
            if value is None:
                continue
            known = name in self.program.variables
            trusted = name in self.tokens or name.endswith("_token")
            path = f"chat_template_kwargs.{name}"
            variables[name] = value if trusted else leaves.wrap(value, None, path, name, lost=not known)
        variables["messages"] = leaves.wrap_messages(data["messages"])
        for name in ("tools", "documents"):
            variables[name] = None if data[name] is None else leaves.wrap(data[name], None, name)
        return variables

    def _is_token(self, name: str) -> bool:
        return name.endswith("_token") or name in self.tokens

    def reads(self, name: str) -> bool:
        """Return whether this template, apart from the one for tools, reads a kwarg."""
        return self._is_token(name) or name in self.program.variables

    def check_kwargs(self, kwargs: dict[str, Any]) -> None:
        """Refuse kwargs that would silently change nothing.

        Raises:
            UsageError: for a name that the template does not read, a boolean in quotes, or an unknown policy.
        """
        for name, value in kwargs.items():
            if self._is_token(name):
                continue
            known = frozenset().union(*(each.program.variables for each in self.variants)) - {*_ALWAYS}
            if name not in known:
                hint = did_you_mean(name, known) or (
                    f"it reads {', '.join(sorted(known))}" if known else "it reads no kwargs"
                )
                raise UsageError(f"the template {self.name} reads no kwarg {name!r}", hint=hint)
            if isinstance(value, str) and value.lower() in ("true", "false"):
                raise UsageError(
                    f"{name} is the string {value!r}, which a template takes for true",
                    hint=f"pass {name}={value.capitalize()}",
                )
            mode = self.family.modes.get(name) if self.family else None
            if name == VARIABLE and self.retention == RUNTIME:
                check_policy(value)
            if name == VARIABLE or mode is None:
                continue
            if all(isinstance(known, bool) for known in mode.values) and not isinstance(value, bool):
                raise UsageError(f"{name} must be True or False, not {value!r}", hint=mode.description)


@dataclass(frozen=True)
class Rendering:
    """A rendered conversation, with the origin of every character.

    Attributes:
        text: the rendered text.
        spans: contiguous ranges in order that cover the text.
        lost: paths of the fields of the conversation of which no character was rendered. Roles and types, which are
            obeyed rather than rendered, the payload of media parts, empty strings, booleans and nulls do not count.
        conversation: the conversation that was rendered.
        template: the template that rendered it.
        unknown_tokens: names of special tokens that the template reads, and that were not known, so they are empty.
    """

    text: str
    spans: tuple[Span, ...]
    lost: tuple[str, ...]
    conversation: Conversation
    template: Template
    unknown_tokens: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        position = 0
        for span in self.spans:
            if span.start != position or span.end <= position:
                raise AssertionError(f"spans are not contiguous at character {position}")
            position = span.end
        if position != len(self.text):
            raise AssertionError(f"spans cover {position} of {len(self.text)} characters")

    @cached_property
    def generated(self) -> tuple[tuple[int, int], ...]:
        """The half-open character ranges that the model samples; adjacent ranges of one turn are joined."""
        ranges: list[tuple[int, int]] = []
        turn: int | None = None
        for span in self.spans:
            if not span.generated:
                continue
            if ranges and ranges[-1][1] == span.start and turn == span.turn:
                ranges[-1] = (ranges[-1][0], span.end)
            else:
                ranges.append((span.start, span.end))
            turn = span.turn
        return tuple(ranges)

    def to_dict(self) -> dict[str, Any]:
        """Return the rendering as JSON: ``text``, ``spans``, ``generated`` and ``lost``."""
        return {
            "text": self.text,
            "spans": [span.to_dict() for span in self.spans],
            "generated": [list(pair) for pair in self.generated],
            "lost": list(self.lost),
        }

    def cut(self, end: int) -> Self:
        """Return the rendering up to a character offset."""
        kept = tuple(span._replace(end=min(span.end, end)) for span in self.spans if span.start < end)
        return replace(self, text=self.text[:end], spans=kept)

    def up_to_marker(self, content: str) -> Self:
        """Return the rendering up to the marker at the end of a final content, for the model to continue.

        White space before the marker belongs to the text if the template left that after the marker as it was.

        Args:
            content: the final content, without the marker.

        Raises:
            RenderError: if the template does not render it as it is.
        """
        end = self.text.find(_MARKER)
        if end < 0:
            raise _nothing_to_continue()
        before = self.text[:end]
        if content.strip() not in before:
            raise RenderError(
                "the final message cannot be continued: the template changes its content",
                hint="give it the content that the template renders, or use add_generation_prompt instead",
            )
        return self.cut(end if self.text.startswith(_MARKER + " ", end) else len(before.rstrip()))

    def up_to_final_content(self) -> Self:
        """Return the rendering up to the last character of the final message's content, for the model to continue.

        Raises:
            RenderError: if no character of that content was rendered.
        """
        last = len(self.conversation.messages) - 1
        for span in reversed(self.spans):
            if span.message == last and span.field is not None and span.field.partition("[")[0] == "content":
                return self.cut(span.end)
        raise _nothing_to_continue()


_MARKER = "CHATTMPL_END_OF_CONTENT"
"""Marks the end of a final content that is continued, followed by a space."""


def _marked(conversation: Conversation) -> tuple[str, Conversation]:
    """Return the text of the final content, and the conversation with the marker and a space after that text.

    The last part that has a text gets the marker.
    """
    *earlier, final = conversation.messages or [Message(role="assistant")]
    content: Any = final.content
    if isinstance(content, list):
        at = next((at for at in reversed(range(len(content))) if isinstance(content[at].get("text"), str)), None)
        if at is None:
            raise _nothing_to_continue()
        text: str = content[at]["text"]
        parts = [*content[:at], {**content[at], "text": f"{text}{_MARKER} "}, *content[at + 1 :]]
        return text, conversation.with_messages([*earlier, final.model_copy(update={"content": parts})])
    if content is None:
        raise _nothing_to_continue()
    marked = final.model_copy(update={"content": f"{content}{_MARKER} "})
    return content, conversation.with_messages([*earlier, marked])


def _nothing_to_continue() -> RenderError:
    return RenderError(
        "there is nothing to continue: the template renders no content of the final message",
        hint="give the final message some content, or use add_generation_prompt instead",
    )


def _retention(family: Family | None, policy: str | None) -> Retention:
    facts = family.retention if family else None
    if facts is None:
        return Retention(policy=policy or "all")
    return Retention(policy or facts.default, facts.default, facts.query, facts.without_query)


def unknown_tokens_error(name: str, unknown: Sequence[str]) -> TemplateError:
    """Return the error about special tokens that a template reads, and that no tokenizer defines."""
    noun = "special token" if len(unknown) == 1 else "special tokens"
    return TemplateError(
        f"{name} reads the {noun} {', '.join(unknown)}, which no tokenizer defines",
        hint="name a model directory as the tokenizer, with a tokenizer_config.json that has "
        f"{unknown[0]} (null if there is none), or set the template kwarg, as in --set {unknown[0]}='<s>'",
    )


def _with_tools(conversation: Conversation, kwargs: dict[str, Any]) -> Conversation:
    """Move ``tools`` and ``documents`` from the kwargs into the conversation."""
    beside = {name: kwargs.pop(name) for name in ("tools", "documents") if name in kwargs}
    if not beside:
        return conversation
    return Conversation.coerce({**conversation.dump(), **beside})


def now_of(clock: Clock) -> datetime:
    """Return the current time of a clock."""
    if clock is None:
        return datetime.now()
    return clock() if callable(clock) else clock


# -- lost fields


def why_lost(rendering: Rendering, path: str) -> str | None:
    """Return the declaration that a lost field falls under, a retention policy or a limit of the family, or None.

    Args:
        rendering: the rendering that lost it.
        path: the field, as `Rendering.lost` names it.
    """
    policy = rendering.template.retention
    if policy not in (None, "all") and _REASONING.match(path):
        return f"the retention policy {policy!r} drops it; --retention all keeps it"
    if rendering.template.family is None:
        return None
    return _declared(rendering.template.family, rendering.conversation, path)


def _declared(family: Family, conversation: Conversation, path: str) -> str | None:
    """Return the family's reason for which it cannot render the field."""
    for limit in family.limits:
        if any(_matches(pattern, conversation, path) for pattern in limit.fields):
            return f"{family.name} declares it: {limit.why}"
    return None


def _matches(pattern: str, conversation: Conversation, path: str) -> bool:
    """Return whether a limit such as ``messages[role=tool].name`` or ``documents`` covers the field."""
    places: list[tuple[str | None, int]] = []
    expression = ""
    position = 0
    for place in _PLACE.finditer(pattern):
        expression += re.escape(pattern[position : place.start()]) + r"\[(\d+)\]"
        places.append((place[1], int(place[2] or 0)))
        position = place.end()
    expression += re.escape(pattern[position:])
    match = re.match(rf"{expression}(?![^.\[])", path)
    if match is None:
        return False
    return all(
        int(index) >= first and (role is None or conversation.messages[int(index)].role == role)
        for (role, first), index in zip(places, match.groups(), strict=True)
    )
