"""A tokenizer and a model, made on the spot: nothing is downloaded."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from chattmpl.extra.prove.sizes import Size
from chattmpl.extra.prove.training import CLOCK
from chattmpl.template import Template

PAD = "<|chattmpl_pad|>"
_SIGNS = r"[\n=;+,?]"


def make_tokenizer(template: Template, texts: Iterable[str], merges: int) -> Any:
    """A byte-level BPE tokenizer of the template's control tokens and of what is common in texts.

    Digits, newlines and the signs of the tasks are tokens of their own, and so is what a prompt ends with: no token
    lies across the edge of a generated span. Other words are not kept apart, so that what a template writes in every
    conversation takes few tokens.

    Args:
        template: a family; its control, stop and other special tokens become special tokens.
        texts: rendered conversations.
        merges: most tokens besides bytes and control tokens.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
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
    raw.train_from_iterator((edges.split(text) for text in texts), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, pad_token=PAD, eos_token=generation.stop_tokens[0])


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
