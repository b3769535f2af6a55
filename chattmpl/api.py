"""The public `Template` and `Rendering`: the core classes, with annotate, retain, parse and encode as methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

from chattmpl.conversation.models import Conversation
from chattmpl.template import template as core
from chattmpl.template.template import Clock

# Each method imports what it needs: rendering alone starts in two thirds of the time.
if TYPE_CHECKING:
    from chattmpl.budget import Budget
    from chattmpl.encode import EncodeOptions, Encoding
    from chattmpl.parse import Parser
    from chattmpl.parse.response_template import ResponseTemplate
    from chattmpl.probing import TemplateFacts
    from chattmpl.rewrite.annotate.verifier import AnnotationProof
    from chattmpl.rewrite.result import Rewrite
    from chattmpl.rewrite.retain.verifier import RetentionProof


@dataclass(frozen=True)
class Rendering(core.Rendering):
    """A rendered conversation, with the origin of every character; see `chattmpl.template.template.Rendering`."""

    template: Template

    def encode(self, tokenizer: object, **options: Unpack[EncodeOptions]) -> Encoding:
        """Encode the text into token ids and a mask of those that the model samples.

        The arguments, results and errors are those of `chattmpl.encode.encode`.
        """
        from chattmpl.encode import encode

        return encode(self, tokenizer, **options)


class Template(core.Template):
    """A compiled chat template: load, render, export, annotate, retain, parse; see `chattmpl.template.template`."""

    @classmethod
    def load(
        cls,
        which: Any,
        *,
        retention: str | None = None,
        variant: str | None = None,
        budget: Budget | None = None,
        tokenizer: object = None,
    ) -> Self:
        """Load a template; see `chattmpl.template.template.Template.load`.

        With a tokenizer, or what `chattmpl.encode.load_tokenizer` takes, the template gets its special tokens, as in
        transformers; without it, those of the model directory that the template is in.
        """
        if tokenizer is None:
            return super().load(which, retention=retention, variant=variant, budget=budget)
        from chattmpl.encode.tokenizer_loader import naming_family, special_tokens_of

        with naming_family(tokenizer):
            template = super().load(which, retention=retention, variant=variant, budget=budget)
        return template.with_tokens(special_tokens_of(tokenizer))

    def render(
        self,
        conversation: Any,
        add_generation_prompt: bool = False,
        clock: Clock = None,
        *,
        continue_final_message: bool = False,
        **template_kwargs: Any,
    ) -> Rendering:
        """Render a conversation; see `chattmpl.template.template.Template.render`."""
        rendering = super().render(
            conversation, add_generation_prompt, clock, continue_final_message=continue_final_message, **template_kwargs
        )
        assert isinstance(rendering, Rendering)
        return rendering

    @property
    def _rendering_class(self) -> type[Rendering]:
        return Rendering

    def annotate(
        self,
        *,
        repair: bool = False,
        strict: bool = False,
        stop_tokens: tuple[str, ...] = (),
        examples: int = 60,
        for_: Literal["all-turns", "last-turn"] = "all-turns",
    ) -> Rewrite[Self, AnnotationProof]:
        """Put generation tags around what the model samples; no text changes.

        Args:
            repair: replace tags that break a law of the mask.
            strict: refuse a template that breaks a law for some conversations, whatever its tags.
            stop_tokens: the tokens that end the assistant's turns, where they do not look like control tokens.
            examples: number of conversations that hypothesis generates for the proof.
            for_: the assistant turns of a conversation that tags are for. ``last-turn`` is for trainers that make one
                row for each turn, and possible where the template changes its history.

        Returns:
            The new ``template`` and its ``proof``.

        Raises:
            CannotAnnotate: if no placement could be proven, with the law and a counterexample.
        """
        from chattmpl.rewrite.annotate.annotator import annotate

        return annotate(self, repair=repair, strict=strict, stop_tokens=stop_tokens, examples=examples, for_=for_)

    def retain(
        self, policy: str, *, strict: bool = False, stop_tokens: tuple[str, ...] = (), examples: int = 60
    ) -> Rewrite[Self, RetentionProof]:
        """Rewrite which earlier reasoning traces are rendered.

        Args:
            policy: one of `chattmpl.compiler.policies.POLICIES`.
            strict: for ``all``, refuse where the laws sampled and prefix fail for a reason other than traces.
            stop_tokens: the tokens that end the assistant's turns, where they do not look like control tokens.
            examples: number of conversations that hypothesis generates for the proof.

        Returns:
            The new ``template`` and its ``proof``.

        Raises:
            CannotRetain: if there is no place for the policy, or no change could be proven, with a counterexample.
            UsageError: for a policy that does not exist.
        """
        from chattmpl.rewrite.retain.retainer import retain

        return retain(self, policy, strict=strict, stop_tokens=stop_tokens, examples=examples)

    def parse(
        self,
        text: str,
        *,
        completion: bool = False,
        exact: bool | None = None,
        generation_prompt: bool | None = None,
        prompt: Any = None,
        clock: Clock = None,
        **template_kwargs: Any,
    ) -> Conversation:
        """Return the conversation that renders to this text with the same arguments.

        A completion may also be written as models and servers write it: with other spaces and line breaks around
        markup, JSON of another layout or order, escapes, without ids. The result is then a `ParsedConversation` whose
        ``differs`` shows where the template writes the message differently.

        Args:
            text: a whole rendering or, with ``completion``, what a model sampled, with or without its stop token.
            completion: read one message of the assistant as it was sampled, whatever the retention policy.
            exact: refuse a completion that the template writes differently. A whole text is always read exactly.
            generation_prompt: whether a whole text ends with the generation prompt, or a completion begins with it
                (or with the whole prompt); None accepts both.
            prompt: the conversation that a completion answers; the result is that conversation with the answer.
            clock: see `render`.
            **template_kwargs: the kwargs that the text was rendered with, and ``tools`` and ``documents`` where the
                text does not show them as data. The schemas of tools decide whether bare ``12`` is text or a number.

        Raises:
            NotRepresentable: if no conversation renders to this text, with the place and the reason.
            UsageError: for a template from whose renderings no grammar can be derived, and as in `render`.
        """
        from chattmpl.parse import parse

        return parse(
            self,
            text,
            completion=completion,
            exact=exact,
            generation_prompt=generation_prompt,
            prompt=prompt,
            clock=clock,
            **template_kwargs,
        )

    def parser(
        self,
        *,
        completion: bool = False,
        generation_prompt: bool | None = None,
        prompt: Any = None,
        clock: Clock = None,
        **template_kwargs: Any,
    ) -> Parser:
        """Return a parser for streamed text: ``feed(text)``, the ``messages`` so far, and ``finish()``.

        The arguments are those of `parse`, whose result ``finish()`` returns and whose errors it raises.
        """
        from chattmpl.parse import parser

        return parser(
            self,
            completion=completion,
            generation_prompt=generation_prompt,
            prompt=prompt,
            clock=clock,
            **template_kwargs,
        )

    @property
    def facts(self) -> TemplateFacts:
        """Facts about this template, found by rendering small conversations when they are first asked for."""
        from chattmpl.probing import facts_of

        return facts_of(self)

    def response_template(self) -> ResponseTemplate:
        """Return the ``response_template`` with which transformers' ``tokenizer.parse_response`` reads completions.

        Returns:
            ``data``, the value in ``tokenizer_config.json``, and ``left_out``, what the format cannot express.

        Raises:
            UsageError: no grammar can be derived from the template, or the format cannot express it.
        """
        from chattmpl.parse.response_template import response_template

        return response_template(self)
