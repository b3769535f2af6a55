"""What a job, a survey and `chattmpl.training.adapter.prepare` open in the same way: an encoder, and the sources."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from chattmpl.data.encoder import Encoder
from chattmpl.data.job.options import Options
from chattmpl.data.mixture import Mixture, Source
from chattmpl.data.unroll import Prompts
from chattmpl.template.template import Template


def encoder_of(template: Template, tokenizer: Any, options: Options, keep: Sequence[str]) -> Encoder:
    """The encoder that options ask for, not prepared yet.

    Args:
        template: what renders.
        tokenizer: what `chattmpl.encode.load_tokenizer` takes.
        options: what is asked for.
        keep: what is wanted of a row besides tokens and mask; see `Encoder`.
    """
    return Encoder(
        template,
        tokenizer,
        fast=options.fast,
        straddle=options.straddle,  # type: ignore[arg-type]
        control_tokens=options.control_tokens,  # type: ignore[arg-type]
        mask=options.mask,  # type: ignore[arg-type]
        template_kwargs=options.template_kwargs,
        clock=options.clock,
        keep=keep,
    )


def prompts_of(template: Template, tokenizer: Any, options: Options) -> Prompts:
    """What makes prompts for unrolling, as the options ask for it."""
    return Prompts(
        template,
        tokenizer,
        clock=options.clock,
        kwargs=options.template_kwargs,
        control_tokens=options.control_tokens,  # type: ignore[arg-type]
    )


def prepared(encoder: Encoder, note: Callable[[str], None]) -> Encoder:
    """The encoder, ready; what it warns of is told."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        encoder.prepare()
    for warning in caught:
        note(str(warning.message))
    return encoder


def with_kwargs_of(mixture: Mixture) -> tuple[Source, ...]:
    """The sources of a mixture, with its template kwargs below their own."""
    above = mixture.chat_template_kwargs
    return tuple(
        source.model_copy(update={"chat_template_kwargs": {**above, **source.chat_template_kwargs}})
        for source in mixture.sources
    )
