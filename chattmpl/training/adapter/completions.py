"""Completions: what a model samples after a prompt as it is at inference, greedily, up to a stop token."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.encode import encode, load_tokenizer
from chattmpl.encode.fast_tokenizer import FastTokenizer
from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.parse import parse
from chattmpl.template.template import Template


@dataclass(frozen=True)
class Completion:
    """What a model sampled.

    Attributes:
        text: what it sampled, its stop token included.
        stop: the stop token that ended it; None where it ran into the limit of tokens.
        tokens: how many tokens it sampled.
        conversation: the prompt's messages and the one that the text is; None where it cannot be parsed.
        refusal: why it cannot be parsed; None where it can.
    """

    text: str
    stop: str | None
    tokens: int
    conversation: Conversation | None = None
    refusal: str | None = None

    @property
    def message(self) -> Any:
        """The message that the text is; None where it cannot be parsed."""
        return None if self.conversation is None else self.conversation.messages[-1]


def raw_tokenizer(tokenizer: Any) -> Any:
    """The ``tokenizers.Tokenizer`` inside a fast tokenizer of transformers, or the one of that name or file."""
    if isinstance(tokenizer, str | Path):
        tokenizer = load_tokenizer(tokenizer)
    if isinstance(tokenizer, FastTokenizer):
        return tokenizer.raw
    return getattr(tokenizer, "backend_tokenizer", tokenizer)


def decode(tokenizer: Any, ids: Iterable[int]) -> str:
    """The text of tokens, control tokens included, with nothing tidied up."""
    text: str = raw_tokenizer(tokenizer).decode([int(token) for token in ids], skip_special_tokens=False)
    return text


def stop_ids(template: Template, tokenizer: Any, stop_tokens: Sequence[str] | None = None) -> dict[int, str]:
    """The tokens at which sampling ends, by id.

    Args:
        template: the template.
        tokenizer: the tokenizer.
        stop_tokens: for a template that is no family. Of a family's those are left out that also stand inside of what
            is sampled, such as the end of a channel.

    Raises:
        UsageError: no stop token is known, or the tokenizer has none of them.
    """
    if stop_tokens is None:
        if template.family is None:
            raise UsageError(f"the stop tokens of {template.name} are not known", hint="give stop_tokens")
        inner = _inside(template)
        stop_tokens = [token for token in template.family.generation.stop_tokens if token not in inner]
    raw = raw_tokenizer(tokenizer)
    found = {raw.token_to_id(token): token for token in stop_tokens}
    found.pop(None, None)
    if not found:
        raise UsageError(
            f"the tokenizer has none of the stop tokens {', '.join(stop_tokens)}",
            hint="add them to it as special tokens; without one a model does not stop",
        )
    return found


def _inside(template: Template) -> str:
    """What is sampled in a turn that reasons and answers, without its end."""
    turn = {"role": "assistant", "reasoning_content": "why", "content": "so"}
    rendering = template.render([{"role": "user", "content": "?"}, turn])
    sampled = "".join(rendering.text[start:end] for start, end in rendering.generated)
    return sampled[: sampled.rfind("so") + 2]


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
    advanced: Callable[[int], None] | None = None,
) -> list[Completion]:
    """What the model samples after each conversation, greedily; parsed where the template is a family.

    Nothing of the model's ``generation_config`` counts, such as a repetition penalty or tokens that it suppresses.

    Args:
        model: a causal language model of transformers.
        tokenizer: its tokenizer.
        template: the template.
        conversations: prompts.
        stop_tokens: see `stop_ids`.
        max_new_tokens: most tokens of a completion.
        batch_size: how many are sampled at once, padded on the left.
        template_kwargs: variables of the template.
        clock: what time the template is told that it is.
        advanced: is told how many more are done.

    Raises:
        UsageError: see `stop_ids`.
        RenderError: the template refuses a conversation.
    """
    stops = stop_ids(template, tokenizer, stop_tokens)
    kwargs = dict(template_kwargs or {})
    # What a prompt and its completion are rendered with is one and the same.
    clock = clock or datetime.now()
    prompts = [encode(template.render(each, True, clock, **kwargs), tokenizer).input_ids for each in conversations]
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    sampled: dict[int, list[int]] = {}
    with _evaluating(model), _plain(model):
        for first in range(0, len(order), batch_size):
            some = order[first : first + batch_size]
            outputs = _sample(model, [prompts[index] for index in some], list(stops), max_new_tokens)
            sampled.update(zip(some, outputs, strict=True))
            if advanced is not None:
                advanced(len(some))
    return [
        _completion(template, tokenizer, conversation, sampled[index], stops, {**kwargs, "clock": clock})
        for index, conversation in enumerate(conversations)
    ]


def _sample(model: Any, prompts: Sequence[Sequence[int]], stops: list[int], limit: int) -> list[list[int]]:
    import torch
    from transformers import GenerationConfig

    longest = max(map(len, prompts))
    filler = stops[0]
    ids = torch.tensor([[filler] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    config = GenerationConfig(
        max_new_tokens=limit, do_sample=False, num_beams=1, eos_token_id=stops, pad_token_id=filler, use_cache=True
    )
    output = model.generate(ids.to(model.device), attention_mask=mask.to(model.device), generation_config=config)
    return [_until_stop(row[longest:].tolist(), stops) for row in output]


def _until_stop(ids: list[int], stops: Sequence[int]) -> list[int]:
    ends = [index for index, token in enumerate(ids) if token in stops]
    return ids[: ends[0] + 1] if ends else ids


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
    if template.family is None or template.family.parse is None:
        return Completion(text, stop, len(ids), refusal="the template is no family with a [parse] table")
    try:
        said = parse(template, text, completion=True, generation_prompt=False, prompt=prompt, **options)
    except ChatTmplError as error:
        return Completion(text, stop, len(ids), refusal=error.message)
    return Completion(text, stop, len(ids), said)


@contextmanager
def _plain(model: Any) -> Iterator[None]:
    """Puts the generation config of a model aside.

    transformers fills in its values wherever ours has none, and for many, such as the tokens to suppress, none is the
    only value that does nothing.
    """
    from transformers import GenerationConfig

    # The model itself may stand inside of another one, as with peft.
    aside = [
        (module, module.generation_config)
        for module in model.modules()
        if isinstance(vars(module).get("generation_config"), GenerationConfig)
    ]
    for module, _ in aside:
        module.generation_config = GenerationConfig()
    try:
        yield
    finally:
        for module, config in aside:
            module.generation_config = config


@contextmanager
def _evaluating(model: Any) -> Any:
    import torch

    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)
