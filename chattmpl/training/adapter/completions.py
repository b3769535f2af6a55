"""Greedy completions of conversations: rendered prompts as at inference, sampled up to a stop token, and parsed."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from chattmpl.conversation.models import Conversation, Message
from chattmpl.encode import encode, load_tokenizer
from chattmpl.encode.fast_tokenizer import FastTokenizer
from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.parse import parse
from chattmpl.probing.corpus import ASK, SAY, TRACES, with_trace
from chattmpl.probing.facts import facts_of
from chattmpl.template.template import Rendering, Template


class MissingStopTokens(UsageError):
    """A tokenizer that has none of the stop tokens, so that a model could not stop."""


@dataclass(frozen=True)
class Completion:
    """A completion sampled from a model.

    Attributes:
        text: the sampled text, including its stop token.
        stop: the stop token that ended it; None if it reached the limit of tokens.
        tokens: number of sampled tokens.
        conversation: messages of the prompt and the parsed completion; None if it cannot be parsed.
        refusal: reason that it cannot be parsed; None if it can.
    """

    text: str
    stop: str | None
    tokens: int
    conversation: Conversation | None = None
    refusal: str | None = None

    @property
    def message(self) -> Message | None:
        """The parsed completion; None if it cannot be parsed."""
        return None if self.conversation is None else self.conversation.messages[-1]


def raw_tokenizer(tokenizer: Any) -> Any:
    """Return the ``tokenizers.Tokenizer`` of a fast tokenizer of transformers, or of a tokenizer name or path."""
    if isinstance(tokenizer, str | Path):
        tokenizer = load_tokenizer(tokenizer)
    if isinstance(tokenizer, FastTokenizer):
        return tokenizer.raw
    return getattr(tokenizer, "backend_tokenizer", tokenizer)


def decode(tokenizer: Any, ids: Iterable[int]) -> str:
    """Return the text of tokens, including control tokens, without clean-up."""
    text: str = raw_tokenizer(tokenizer).decode([int(token) for token in ids], skip_special_tokens=False)
    return text


def stop_ids(template: Template, tokenizer: Any, stop_tokens: Sequence[str] | None = None) -> dict[int, str]:
    """Return the tokens at which sampling ends, by id.

    Args:
        template: the template.
        tokenizer: its tokenizer.
        stop_tokens: stop tokens; by default those of the template, except those that also occur inside a sampled turn,
            such as the end of a channel.

    Raises:
        UsageError: the template renders no assistant turn, and no stop tokens are passed.
        MissingStopTokens: the tokenizer has none of them.
    """
    if stop_tokens is None:
        facts = facts_of(template)
        own = template.family.generation.stop_tokens if template.family else facts.stop_tokens
        found_tokens = own or facts.next_turn_stops
        if not found_tokens:
            raise UsageError(f"the stop tokens of {template.name} are unknown", hint="pass stop_tokens")
        inner = _render_inside(template)
        stop_tokens = [token for token in found_tokens if token not in inner]
    raw = raw_tokenizer(tokenizer)
    found = {raw.token_to_id(token): token for token in stop_tokens}
    found.pop(None, None)
    if not found:
        raise MissingStopTokens(
            f"the tokenizer has none of the stop tokens {', '.join(stop_tokens)}",
            hint="add them as special tokens; without one, a model does not stop",
        )
    return found


def _render_inside(template: Template) -> str:
    """Return the sampled text of a turn with reasoning and an answer, without what ends the turn."""
    rendering = facts_of(template).prober.outcome([ASK, with_trace(SAY, TRACES[0])])
    if not isinstance(rendering, Rendering):
        return ""
    sampled = "".join(rendering.text[start:end] for start, end in rendering.generated)
    return sampled.rpartition(SAY["content"])[0]


def complete(
    model: Any,
    tokenizer: Any,
    template: Template,
    conversations: Sequence[Any],
    *,
    stop_tokens: Sequence[str] | None = None,
    max_new_tokens: int = 256,
    batch_size: int = 32,
    template_kwargs: Mapping[str, Any] | None = None,
    clock: datetime | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Completion]:
    """Sample a completion of each conversation greedily, and parse it.

    The model's ``generation_config`` is ignored, including repetition penalties and suppressed tokens.

    Args:
        model: causal language model of transformers.
        tokenizer: its tokenizer.
        template: the template.
        conversations: prompts.
        stop_tokens: see `stop_ids`.
        max_new_tokens: largest number of tokens of a completion.
        batch_size: number of completions sampled at once, padded on the left.
        template_kwargs: template kwargs.
        clock: time for templates that read the clock; now by default.
        progress: receives the number of completions of each batch.

    Raises:
        UsageError: see `stop_ids`.
        RenderError: the template refuses a conversation.
    """
    stops = stop_ids(template, tokenizer, stop_tokens)
    kwargs = dict(template_kwargs or {})
    # A prompt must be rendered with the same time when its completion is parsed.
    clock = clock or datetime.now()
    prompts = [encode(template.render(each, True, clock, **kwargs), tokenizer).input_ids for each in conversations]
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    sampled: dict[int, list[int]] = {}
    with _evaluation_mode(model), _without_generation_config(model):
        for first in range(0, len(order), batch_size):
            batch = order[first : first + batch_size]
            outputs = _sample(model, [prompts[index] for index in batch], list(stops), max_new_tokens)
            sampled.update(zip(batch, outputs, strict=True))
            if progress is not None:
                progress(len(batch))
    return [
        _completion(template, tokenizer, conversation, sampled[index], stops, {**kwargs, "clock": clock})
        for index, conversation in enumerate(conversations)
    ]


def _sample(model: Any, prompts: Sequence[Sequence[int]], stops: list[int], limit: int) -> list[list[int]]:
    import torch
    from transformers import GenerationConfig

    longest = max(map(len, prompts))
    pad = stops[0]
    ids = torch.tensor([[pad] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    config = GenerationConfig(
        max_new_tokens=limit, do_sample=False, num_beams=1, eos_token_id=stops, pad_token_id=pad, use_cache=True
    )
    output = model.generate(ids.to(model.device), attention_mask=mask.to(model.device), generation_config=config)
    return [_until_stop(row[longest:].tolist(), stops) for row in output]


def _until_stop(ids: list[int], stops: Sequence[int]) -> list[int]:
    end = next((index for index, token in enumerate(ids) if token in stops), len(ids))
    return ids[: end + 1]


def _completion(
    template: Template,
    tokenizer: Any,
    prompt: Any,
    ids: list[int],
    stops: Mapping[int, str],
    options: Mapping[str, Any],
) -> Completion:
    text = decode(tokenizer, ids)
    stop = stops.get(ids[-1]) if ids else None
    try:
        parsed = parse(template, text, completion=True, generation_prompt=False, prompt=prompt, **options)
    except ChatTmplError as error:
        return Completion(text, stop, len(ids), refusal=error.message)
    return Completion(text, stop, len(ids), parsed)


@contextmanager
def _without_generation_config(model: Any) -> Iterator[None]:
    """Replace the generation config of a model, and of models inside it, as with peft, by an empty one.

    transformers fills in its values wherever the config that is passed to ``generate`` has none; and for many, such as
    the tokens to suppress, none is the only value without effect.
    """
    from transformers import GenerationConfig

    originals = [
        (module, module.generation_config)
        for module in model.modules()
        if isinstance(vars(module).get("generation_config"), GenerationConfig)
    ]
    for module, _ in originals:
        module.generation_config = GenerationConfig()
    try:
        yield
    finally:
        for module, config in originals:
            module.generation_config = config


@contextmanager
def _evaluation_mode(model: Any) -> Iterator[None]:
    import torch

    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)
