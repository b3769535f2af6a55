"""Templates: load, render, export."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from chattmpl.budget import Budget
from chattmpl.compiler.gc_pause import collector_paused
from chattmpl.compiler.program import Program, Target, compile_program
from chattmpl.compiler.retention import VARIABLE, Retention, policy_named
from chattmpl.conversation.models import Conversation
from chattmpl.errors import TemplateError, UsageError, did_you_mean
from chattmpl.provenance.origin import Run
from chattmpl.provenance.tree import Leaves
from chattmpl.source import Source
from chattmpl.template.family import Family
from chattmpl.template.rendering import Rendering, lost_fields, spans_of
from chattmpl.template.rendering import continue_final_message as continued
from chattmpl.template.resolver import Found, find_template

if TYPE_CHECKING:
    from chattmpl.parse import Parser
    from chattmpl.parse.response import ResponseTemplate

_GIVEN = ("messages", "tools", "documents", "add_generation_prompt")
"""The variables that a template always gets."""


class Template:
    """A chat template, compiled.

    Templates do not change and keep no state: threads can share one.

    Attributes:
        name: what it was loaded as.
        source: its source text.
        family: what is known of it, if it is a shipped one.
        retention: the name of its retention policy; None if it has no reasoning block.
        tokens: special tokens that it gets as kwargs without being asked.
        proof: of a template that :meth:`annotate` or :meth:`retain` made, what was tried and what held; else None.
    """

    proof: Any = None

    def __init__(self, found: Found, retention: str | None = None, budget: Budget | None = None) -> None:
        self.name = found.family.name if found.family else found.source.name
        self.family: Family | None = found.family
        self.tokens = dict(found.tokens)
        self.budget = budget or Budget()
        self._found = found
        self.program: Program = compile_program(found.source, _retention(found.family, retention))
        if retention is not None and not self.program.has_reasoning:
            raise TemplateError(
                f"{self.name} has no {{% reasoning %}} block, and so no place for the retention policy {retention!r}",
                hint="put {% reasoning %}…{% endreasoning %} around what renders a message's reasoning",
            )
        self.retention = self.program.retention.policy if self.program.has_reasoning else None

    @classmethod
    def load(
        cls, which: Any, *, retention: str | None = None, variant: str | None = None, budget: Budget | None = None
    ) -> Template:
        """A template by name or place.

        Args:
            which: a family (``"qwen3"``), a .jinja file, a model directory, a tokenizer_config.json, a family's
                folder, or a tokenizer object.
            retention: which earlier reasoning traces are rendered: ``all``, ``since_last_user``, ``last``, ``none``
                or ``runtime``; by default what the family's upstream does, and ``all`` for any other template.
            variant: which of several named templates, such as ``tool_use``.
            budget: bounds for one render.

        Raises:
            UsageError: if there is no such template or policy.
            TemplateError: if it does not compile.
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
    ) -> Template:
        """A template from its text; ``tokens`` are special tokens, such as ``{"bos_token": "<s>"}``."""
        return cls(Found(Source(source, name), dict(tokens or {})), retention, budget)

    @property
    def source(self) -> str:
        """The source text, in the dialect."""
        return self.program.source.text

    @property
    def given(self) -> Source:
        """The source as it was found, newlines and delimiters included."""
        return self._found.source

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by its source and policy: it is compiled again where it is loaded."""
        return Template, (self._found, self.retention, self.budget)

    def with_retention(self, retention: str) -> Template:
        """The same template under another policy."""
        return Template(self._found, retention, self.budget)

    def __repr__(self) -> str:
        policy = f", retention={self.retention!r}" if self.retention else ""
        return f"Template({self.name!r}{policy})"

    def render(
        self,
        conversation: Any,
        add_generation_prompt: bool = False,
        clock: datetime | Callable[[], datetime] | None = None,
        *,
        continue_final_message: bool = False,
        **template_kwargs: Any,
    ) -> Rendering:
        """The text of a conversation, with the origin of every character.

        Args:
            conversation: a `Conversation`, a dict with ``messages`` (and ``tools``, ``documents``,
                ``chat_template_kwargs``), or a list of messages.
            add_generation_prompt: append what asks the model for its next turn.
            clock: what ``strftime_now`` tells: a datetime, or a callable that returns one; the wall clock if None.
            continue_final_message: end the text where the final message's content ends, for the model to go on.
            **template_kwargs: variables of the template, over those that the conversation brings; None is as absent.
                ``tools`` and ``documents`` take the place of the conversation's.

        Raises:
            ConversationError: for something that is not a conversation.
            UsageError: for a kwarg that the template does not read.
            RenderError: if the template raises, or runs past its budget.
        """
        if continue_final_message and add_generation_prompt:
            raise UsageError("continue_final_message and add_generation_prompt exclude each other", hint="drop one")
        conversation = _given(Conversation.coerce(conversation), template_kwargs)
        text, runs, leaves = self._run(conversation, add_generation_prompt, clock, template_kwargs)
        rendering = Rendering(text, spans_of(runs), lost_fields(leaves.leaves, runs), conversation, self)
        return continued(rendering) if continue_final_message else rendering

    def writers(
        self,
        conversation: Any,
        add_generation_prompt: bool = False,
        clock: datetime | Callable[[], datetime] | None = None,
        **template_kwargs: Any,
    ) -> list[tuple[int, int | None]]:
        """Which statement of the template writes what, for the arguments of :meth:`render`.

        Returns:
            For each piece of the text its end in it, and the offset in the source of the output tag or text that wrote
            it (both in characters; None where that is not known).
        """
        conversation = _given(Conversation.coerce(conversation), template_kwargs)
        _, runs, _ = self._run(conversation, add_generation_prompt, clock, template_kwargs)
        pieces, end = [], 0
        for length, _, statement in runs:
            end += length
            if length:
                pieces.append((end, None if statement is None else statement.offset))
        return pieces

    def _run(
        self,
        conversation: Conversation,
        prompt: bool,
        clock: datetime | Callable[[], datetime] | None,
        given: dict[str, Any],
    ) -> tuple[str, list[Run], Leaves]:
        """Render: the text, its runs, and the leaves of the conversation."""
        kwargs = {name: value for name, value in given.items() if value is not None}
        self._check_kwargs(kwargs)
        with collector_paused():
            leaves = Leaves()
            variables = self.variables(conversation, prompt, kwargs, leaves)
            text, runs = self.program.run(variables, _clock(clock), self.budget)
        return text, runs, leaves

    def export(self, target: Target = "train") -> str:
        """Plain Jinja for other engines: ``train`` keeps generation tags, ``inference`` has none of them.

        Raises:
            TemplateError: for a template that has no such form.
        """
        return self.program.export(target)

    def annotate(
        self, *, repair: bool = False, strict: bool = False, stop_tokens: tuple[str, ...] = (), examples: int = 60
    ) -> Template:
        """The same template with generation tags around what the model samples, and with a ``proof``.

        Args:
            repair: place tags anew where there are some that are not lawful.
            strict: accept no exceptions, as for conversations in which a law cannot hold.
            stop_tokens: what ends the assistant's turns, where that does not look like a control token.
            examples: how many conversations hypothesis makes for the proof, beside those that ship.

        Raises:
            CannotAnnotate: if there is no such placement that could be proven, with the law and a counterexample.
        """
        from chattmpl.rewrite.annotate.annotator import annotate

        return annotate(self, repair=repair, strict=strict, stop_tokens=stop_tokens, examples=examples)

    def retain(
        self, policy: str, *, strict: bool = False, stop_tokens: tuple[str, ...] = (), examples: int = 60
    ) -> Template:
        """The same template under another retention policy, rewritten for it where needed, and with a ``proof``.

        Args:
            policy: ``all``, ``since_last_user``, ``last`` or ``none``.
            strict: for ``all``, accept no conversation in which the laws sampled and prefix fail for another reason.
            stop_tokens: what ends the assistant's turns, where that does not look like a control token.
            examples: how many conversations hypothesis makes for the proof, beside those that ship.

        Raises:
            CannotRetain: if there is no place for the policy, or no change could be proven, with a counterexample.
        """
        from chattmpl.rewrite.retain.retainer import retain

        return retain(self, policy, strict=strict, stop_tokens=stop_tokens, examples=examples)

    def parse(
        self,
        text: str,
        *,
        completion: bool = False,
        generation_prompt: bool | None = None,
        prompt: Any = None,
        clock: datetime | Callable[[], datetime] | None = None,
        **template_kwargs: Any,
    ) -> Conversation:
        """The conversation that renders to this text, with the same arguments.

        Args:
            text: a whole rendering or, with ``completion``, what a model sampled, with or without its stop token.
            completion: read one message of the assistant, as it is sampled, whatever retention does with it later.
            generation_prompt: whether a whole text ends with the generation prompt, or a completion begins with it
                (or with the whole prompt); None takes either.
            prompt: of a completion, the conversation that it answers; the result is then that with the answer.
            clock: see :meth:`render`.
            **template_kwargs: what the text was rendered with; ``tools`` and ``documents`` where the text does not
                show them as data.

        Raises:
            NotRepresentable: no conversation was found that renders to exactly this text; it says where and why.
            UsageError: for a template that is no family with a ``[parse]`` table, and as in :meth:`render`.
        """
        from chattmpl.parse import parse

        options: dict[str, Any] = {"completion": completion, "generation_prompt": generation_prompt, "prompt": prompt}
        return parse(self, text, clock=clock, **options, **template_kwargs)

    def response_template(self) -> ResponseTemplate:
        """The ``response_template`` by which transformers' ``tokenizer.parse_response`` reads what the model says.

        Returns:
            ``data``, which is what ``tokenizer_config.json`` holds, and ``left_out``: what the format cannot express.

        Raises:
            UsageError: for a template that is no family with a ``[parse]`` table, or that the format cannot express.
        """
        from chattmpl.parse.response import response_template

        return response_template(self)

    def parser(
        self,
        *,
        completion: bool = False,
        generation_prompt: bool | None = None,
        prompt: Any = None,
        clock: datetime | Callable[[], datetime] | None = None,
        **template_kwargs: Any,
    ) -> Parser:
        """A parser for text that comes piece by piece: ``feed(text)``, ``messages`` so far, and ``finish()``.

        The arguments are those of :meth:`parse`, and so is what ``finish()`` returns or raises.
        """
        from chattmpl.parse import parser

        options: dict[str, Any] = {"completion": completion, "generation_prompt": generation_prompt, "prompt": prompt}
        return parser(self, clock=clock, **options, **template_kwargs)

    def variables(
        self, conversation: Conversation, prompt: bool, kwargs: dict[str, Any], leaves: Leaves
    ) -> dict[str, Any]:
        """What the template's program is run with; ``leaves`` gets the origin of each value."""
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

    def _check_kwargs(self, kwargs: dict[str, Any]) -> None:
        """Misspelt kwargs and booleans in quotes change nothing in a template, silently."""
        for name, value in kwargs.items():
            if name.endswith("_token") or name in self.tokens:
                continue
            known = self.program.variables - {*_GIVEN}
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
            if name == VARIABLE and self.retention == "runtime":
                policy_named(value, but="runtime")
            if name == VARIABLE or mode is None:
                continue
            if all(isinstance(known, bool) for known in mode.values) and not isinstance(value, bool):
                raise UsageError(f"{name} must be True or False, not {value!r}", hint=mode.description)


def _retention(family: Family | None, policy: str | None) -> Retention:
    facts = family.retention if family else None
    if facts is None:
        return Retention(policy=policy or "all")
    return Retention(policy or facts.default, facts.default, facts.query, facts.without_query)


def _given(conversation: Conversation, kwargs: dict[str, Any]) -> Conversation:
    """The conversation with tools and documents that were given beside it."""
    beside = {name: kwargs.pop(name) for name in ("tools", "documents") if name in kwargs}
    if not beside:
        return conversation
    return Conversation.coerce({**conversation.dump(), **beside})


def _clock(clock: datetime | Callable[[], datetime] | None) -> Callable[[], datetime]:
    if clock is None:
        return datetime.now
    if isinstance(clock, datetime):
        return lambda: clock
    return clock
