"""Facts about one template, each found by rendering small conversations when it is first asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.conversation.normalization import REASONING_NAMES
from chattmpl.errors import ChatTmplError
from chattmpl.probing import control_tokens, frames, modes, reasoning, roles, tools
from chattmpl.probing.corpus import ASK, DEVELOPER, SAY, SYSTEM, TRACES, with_parts, with_trace
from chattmpl.probing.frames import Delimiter, TurnFrames
from chattmpl.probing.modes import Mode
from chattmpl.probing.prober import Fate, Prober, Treatment
from chattmpl.probing.shapes import Shape, find_shape
from chattmpl.template import special_tokens
from chattmpl.template.special_tokens import PLACEHOLDER, PLACEHOLDERS
from chattmpl.template.template import Template


class TemplateFacts:
    """Facts about a template. Each is a property, found at its first use and kept.

    A special token that is not known is written as a placeholder such as ``<|eos_token|>``.

    Args:
        tokenizer: a tokenizer from `chattmpl.encode.load_tokenizer`, for the control tokens.
        kwargs: template kwargs to render with.
        skipped: names of conversations that make no sense with these kwargs.

    Attributes:
        template: the template, with placeholders for the special tokens that are not known.
        prober: renders conversations of the corpus.
    """

    def __init__(
        self,
        template: Template,
        tokenizer: Any = None,
        *,
        kwargs: Mapping[str, Any] | None = None,
        skipped: frozenset[str] = frozenset(),
    ) -> None:
        self.template = with_placeholders(template)
        self.tokenizer = tokenizer
        self.prober = Prober(self.template, kwargs, skipped)
        self._under: dict[str, TemplateFacts] = {}

    def __repr__(self) -> str:
        return f"TemplateFacts({self.template.name!r})"

    def under(self, kwargs: Mapping[str, Any]) -> TemplateFacts:
        """Return the facts about the template under template kwargs, found once."""
        if not kwargs:
            return self
        key = repr(kwargs)
        if key not in self._under:
            self._under[key] = TemplateFacts(self.template, kwargs=kwargs)
        return self._under[key]

    # -- what it takes

    @cached_property
    def refusal(self) -> ChatTmplError | None:
        """The error that keeps a plain question from being rendered; None if it is rendered."""
        return self.prober.refusal

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """The key, ``tools`` or ``documents``, that must accompany the messages for a question to be rendered."""
        return self.prober.needs

    @cached_property
    def only_parts(self) -> bool:
        """True if the template understands content only as a list of parts."""
        return self.prober.only_parts

    def fitted(self, conversation: Conversation) -> Conversation:
        """Return a conversation in the form that the template takes: with lists of parts, where it takes only these."""
        return with_parts(conversation) if self.only_parts else conversation

    @cached_property
    def parts(self) -> roles.Parts:
        """Content in parts: texts, and the placeholders of media."""
        return roles.find_parts(self.prober)

    @cached_property
    def shape(self) -> Shape:
        """The kinds of conversations that the template supports."""
        return find_shape(self.prober)

    @cached_property
    def modes(self) -> Mapping[str, Mode]:
        """The template kwargs that the template reads, by name, with their values and effects."""
        return modes.find_modes(self.prober)

    @cached_property
    def settings(self) -> list[dict[str, Any]]:
        """The kwargs to check the template with, one value each: ``[{"enable_thinking": False}, …]``."""
        return modes.find_settings(self.template, {} if self.template.family else self.modes)

    # -- messages

    @cached_property
    def system(self) -> roles.FirstMessage:
        """A system message before the first question."""
        return roles.find_first_message(self.prober, SYSTEM)

    @cached_property
    def developer(self) -> roles.FirstMessage:
        """A developer message before the first question."""
        return roles.find_first_message(self.prober, DEVELOPER)

    def developer_places(self) -> Iterator[tuple[roles.DeveloperPlace, roles.PlacedMessage]]:
        """Yield the renderings of a developer message in each place."""
        return roles.find_developer(self.prober)

    @cached_property
    def fixed_text(self) -> roles.FixedText:
        """Sentences that the template writes itself before the first question."""
        return roles.find_fixed_text(self.prober)

    def late_system(self) -> Iterator[tuple[roles.SystemPlace, roles.PlacedMessage]]:
        """Yield the renderings, in each place, of a system message that is not the first message."""
        return roles.find_late_system(self.prober)

    @cached_property
    def repeats(self) -> Mapping[str, tuple[Fate, ChatTmplError | None]]:
        """Two messages in a row of the ``user`` and of the ``assistant``."""
        return roles.find_repeats(self.prober)

    @cached_property
    def documents(self) -> roles.Documents:
        """Documents, which are passed next to the messages."""
        return roles.find_documents(self.prober)

    @cached_property
    def tool_definitions(self) -> tools.ToolDefinitions:
        """Tool definitions: their notation and place."""
        return tools.find_tool_definitions(self.prober)

    @cached_property
    def tool_calls(self) -> tools.ToolCalls:
        """Tool calls: arguments, ids, parallel calls."""
        return tools.find_tool_calls(self.prober)

    @cached_property
    def tool_results(self) -> tools.ToolResults:
        """Tool results, alone and in a row."""
        return tools.find_tool_results(self.prober)

    def drops(self, name: str, role: str = "") -> bool:
        """Return true if the template is known to render nothing of a field, whatever the conversation.

        Args:
            name: a field of messages, or ``tools`` or ``documents``.
            role: the role of the messages; ``later system`` is a system message after the first message, and
                ``tool-calling assistant`` an assistant message with calls.
        """
        if name == "name":
            return roles.drops_name(self.prober, role)
        if name in REASONING_NAMES:
            seen = self.prober.text([ASK, with_trace(SAY, TRACES[0])])
            unknown = seen is None or TRACES[0] in seen or self.traces_unseen
            return not unknown and self.traces.carrier != "field"
        if name == "tool_calls[1:]":
            return self.tool_calls.fate == "rendered" and self.tool_calls.parallel[0] == "dropped"
        if role == "tool-calling assistant":
            return self.tool_calls.fate == "rendered" and self.tool_calls.content_beside[0] == "dropped"
        finders: dict[tuple[str, str], Callable[[], Treatment | roles.PlacedMessage]] = {
            ("tool_calls", "assistant"): lambda: self.tool_calls,
            ("content", "tool"): lambda: self.tool_results,
            ("content", "system"): lambda: self.system,
            ("content", "developer"): lambda: self.developer,
            ("content", "later system"): lambda: dict(self.late_system())["second"],
            ("tools", ""): lambda: self.tool_definitions,
            ("documents", ""): lambda: self.documents,
        }
        find = finders.get((name, role))
        return find is not None and find().fate == "dropped"

    # -- reasoning

    @cached_property
    def traces(self) -> reasoning.Traces:
        """The way in which reasoning traces are rendered."""
        return reasoning.find_traces(
            self.prober, [setting for mode in self.modes.values() for setting in mode.settings]
        )

    @cached_property
    def reasoning_keys(self) -> list[str]:
        """The names of the reasoning field that the template reads."""
        return reasoning.reasoning_keys(self.template)

    @cached_property
    def traces_unseen(self) -> bool:
        """True if the template reads traces but fails on turns with calls, where it may render them."""
        return reasoning.traces_unseen(self.prober)

    @cached_property
    def answer_with_trace(self) -> ChatTmplError | None:
        """The error that keeps an answer with a trace from being rendered; None if it is rendered."""
        made = self.prober.outcome([ASK, with_trace(SAY, TRACES[0])])
        return made if isinstance(made, ChatTmplError) else None

    @cached_property
    def prompts_reasoning(self) -> bool:
        """True if a generation prompt opens or closes a trace."""
        prompts = [prompt for prompt in (self.generation_prompt, *self.generation_prompts.values()) if prompt]
        return any(reasoning.reasoning_start(prompt) < len(prompt) for prompt in prompts)

    @cached_property
    def retention(self) -> reasoning.ObservedRetention | None:
        """The traces that the template keeps; None if it accepts none or cannot render several turns."""
        return None if self.traces.carrier is None else reasoning.find_retention(self.prober, self.traces)

    @cached_property
    def retention_by_kwarg(self) -> Mapping[str, reasoning.ObservedRetention]:
        """Other retention, by the setting that brings it, such as ``preserve_thinking=true``."""
        found: dict[str, reasoning.ObservedRetention] = {}
        usual = self.retention
        if usual is None:
            return found
        for mode in self.modes.values():
            for setting in mode.changing("history") if mode.values else ():
                traces = replace(self.traces, kwargs={**self.traces.kwargs, **setting})
                kept = reasoning.find_retention(self.prober, traces)
                if kept is not None and kept.kept != usual.kept:
                    found[f"{mode.name}={json.dumps(setting[mode.name])}"] = kept
        return found

    @cached_property
    def rewritten_answers(self) -> frozenset[str]:
        """The kinds of answers that change, or the text before them, when messages follow: one row cannot train all.

        They are ``answers`` of text alone, ``calls`` and ``reasoning``.
        """
        return frozenset(frames.rewritten_answers(self.prober))

    # -- the template's own text

    @cached_property
    def generation_prompt(self) -> str | None:
        """The text that ``add_generation_prompt`` appends; None if the template raises."""
        return frames.generation_prompt(self.prober)

    @cached_property
    def generation_prompts(self) -> Mapping[str, str]:
        """Other generation prompts, by the setting that brings them, such as ``enable_thinking=false``."""
        found = {}
        for mode in self.modes.values():
            for setting in mode.changing("generation prompt") if mode.values else ():
                prompt = frames.generation_prompt(self.prober, setting)
                if prompt is not None and prompt != self.generation_prompt:
                    found[f"{mode.name}={json.dumps(setting[mode.name])}"] = prompt
        return found

    @cached_property
    def stop_tokens(self) -> tuple[str, ...] | None:
        """The tokens that end an assistant turn, in every mode; None if no such turn is rendered."""
        changing = [setting for mode in self.modes.values() for setting in mode.changing("history")]
        return frames.find_stop_tokens(self.prober, changing)

    @cached_property
    def answer_stops(self) -> tuple[str, ...]:
        """The tokens that end a plain answer: those of the family, or the one that follows the content."""
        return frames.answer_stops(self.prober)

    @cached_property
    def turn_endings(self) -> special_tokens.Endings:
        """The ends of turns that are the last of their conversation, without and with tool calls."""
        return frames.turn_endings(self.prober)

    @cached_property
    def next_turn_stops(self) -> tuple[str, ...]:
        """The tokens that the model samples to end a turn, and with which the next turn begins; often none.

        A token that opens the turns of the assistant too is none of them.
        """
        endings = (end for ends in self.turn_endings.values() for end in ends)
        others = (self.template.tokens.get("eos_token"), self.prompt_token)
        return tuple(dict.fromkeys(end.stop for end in endings if end.append and end.stop not in others))

    @cached_property
    def bos(self) -> str | None:
        """The BOS token that the template writes; None if it writes none."""
        return frames.find_bos(self.prober)

    @cached_property
    def frames(self) -> TurnFrames | None:
        """The texts between the messages of two turns; None if these are not rendered in order."""
        return frames.find_frames(self.prober)

    @cached_property
    def turn_delimiters(self) -> Mapping[str, Delimiter]:
        """The control tokens that close a question, an answer and a system message."""
        return frames.turn_delimiters(self.prober)

    @cached_property
    def prompt_token(self) -> str | None:
        """The first control token of the generation prompt."""
        return frames.prompt_token(self.prober)

    @cached_property
    def unrequested_prompt(self) -> int | None:
        """The offset, in a rendered question and answer, of a generation prompt that was not requested."""
        return frames.unrequested_prompt(self.prober)

    @cached_property
    def control_tokens(self) -> tuple[str, ...]:
        """The control tokens that the template writes."""
        return control_tokens.find_control_tokens(self.template, self.tokenizer)

    @cached_property
    def control_pattern(self) -> re.Pattern[str]:
        """A pattern of control tokens in renderings."""
        return control_tokens.control_pattern(self.template)

    # -- for people

    def with_variables(self, text: str) -> str:
        """Return a text with the variables of special tokens in place of placeholders: ``{eos_token}``."""
        for name, token in PLACEHOLDERS.items():
            if self.template.tokens.get(name) == token:
                text = text.replace(token, f"{{{name}}}")
        return text


@lru_cache(maxsize=16)
def facts_of(template: Template) -> TemplateFacts:
    """Return the facts about a template object, found once."""
    return TemplateFacts(template)


def with_placeholders(template: Template) -> Template:
    """Return the template with placeholders for the special tokens that are not known."""
    found = template.resolved.tokens
    tokens = special_tokens.with_placeholders(found, template.program.variables)
    if tokens.keys() <= found.keys():
        return template
    return Template(replace(template.resolved, tokens=tokens), template.retention, template.budget)


def placeholders_in(template: Template) -> list[str]:
    """Return the names of special tokens that a template reads as placeholders."""
    names = special_tokens.read_by(template.program.variables)
    return [name for name in names if template.tokens.get(name) == PLACEHOLDER.format(name)]
