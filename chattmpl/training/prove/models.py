"""A tokenizer and a model, made on the spot: nothing is downloaded."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from chattmpl.template.template import Rendering, Template
from chattmpl.training.prove.sizes import Size
from chattmpl.training.prove.trainer import CLOCK

PAD = "<|chattmpl_pad|>"
_SIGNS = r"[\n=;+,?]"

_LONG = 2000
"""Characters that a template writes into every conversation, above which its lines are tokens."""
_LINE = 24
"""Characters of the shortest such line."""


def make_tokenizer(template: Template, renderings: Sequence[Rendering], merges: int) -> Any:
    """A byte-level BPE tokenizer of the template's control tokens and of what is common in rendered conversations.

    Digits, newlines and the signs of the tasks are tokens of their own, and so is what a prompt ends with: no token
    lies across the edge of a generated span. Other words are not kept apart, so that what a template writes in every
    conversation takes few tokens. Where that is thousands of characters (Command A), each of its lines is a token, for
    else a model of this size would read little else.

    Args:
        template: a family; its control, stop and other special tokens become special tokens.
        renderings: conversations.
        merges: most tokens besides bytes and control tokens.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    family = template.family
    assert family is not None, "abilities_of refuses other templates"
    generation = family.generation
    named = (*generation.control_tokens, *generation.stop_tokens, *family.tokens.values())
    special = list(dict.fromkeys([PAD, *(token for token in named if token)]))
    # The trainer does not know that special tokens end words.
    edges = re.compile("|".join(re.escape(token) for token in special))
    asked = template.render([{"role": "user", "content": "?"}], add_generation_prompt=True, clock=CLOCK).text
    ending = edges.split(asked)[-1]
    parting = _SIGNS if ending == "" or re.fullmatch(_SIGNS, ending[-1]) else f"{re.escape(ending)}|{_SIGNS}"
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Split(Regex(parting), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    raw.decoder = decoders.ByteLevel()
    size = len(special) + len(alphabet) + merges
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=4, initial_alphabet=sorted(alphabet), special_tokens=special, show_progress=False
    )
    lines = _frequent_lines(renderings, edges)
    parts = re.compile("|".join([edges.pattern, *(re.escape(line) for line in lines)]))
    raw.train_from_iterator((parts.split(rendering.text) for rendering in renderings), trainer)
    raw.add_tokens([AddedToken(line, normalized=False) for line in lines])
    return PreTrainedTokenizerFast(tokenizer_object=raw, pad_token=PAD, eos_token=generation.stop_tokens[0])


def _frequent_lines(renderings: Sequence[Rendering], edges: re.Pattern[str]) -> list[str]:
    """Lines that the template writes around what is sampled in one talk of twenty, if they are most of the text."""
    found: Counter[str] = Counter()
    for rendering in renderings:
        starts = [0, *(end for _, end in rendering.generated)]
        ends = [*(start for start, _ in rendering.generated), len(rendering.text)]
        around = [rendering.text[start:end] for start, end in zip(starts, ends, strict=True)]
        found.update({line for text in around for part in edges.split(text) for line in part.splitlines(keepends=True)})
    lines = [line for line, count in found.items() if len(line) >= _LINE and 20 * count >= len(renderings)]
    lines = [line for line in lines if not any(_is_sampled(line, rendering) for rendering in renderings)]
    written = sum(len(line) * found[line] for line in lines)
    return sorted(lines, key=len, reverse=True) if written > _LONG * len(renderings) else []


def _is_sampled(line: str, rendering: Rendering) -> bool:
    """Whether a line stands anywhere where a part of it is sampled."""
    places = (match.start() for match in re.finditer(f"(?={re.escape(line)})", rendering.text))
    return any(start < place + len(line) and place < end for place in places for start, end in rendering.generated)


def make_model(tokenizer: Any, size: Size, seed: int) -> Any:
    """A Llama with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM, set_seed

    set_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=size.hidden,
            intermediate_size=3 * size.hidden,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            max_position_embeddings=4096,
            tie_word_embeddings=True,
            initializer_range=0.05,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
