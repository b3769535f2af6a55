"""The tokenizer and the model of a proof, made without downloads."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chattmpl.probing.facts import facts_of
from chattmpl.template.template import Rendering, Template

CLOCK = datetime(2025, 1, 1)
"""Time given to templates, so that the same seed gives the same rows on any day."""

PAD = "<|chattmpl_pad|>"
_SIGNS = r"[\n=;+,?]"

_LONG = 2000
"""Number of characters that a template writes into every conversation above which its lines become tokens."""
_LINE = 24
"""Number of characters of the shortest such line."""


@dataclass(frozen=True)
class Size:
    """The size of a model, of its training and of its evaluation.

    Attributes:
        hidden, layers, heads: sizes of the model.
        talks: number of dialogues to train on.
        steps, batch: number of optimizer steps, and of rows in each.
        rate: highest learning rate.
        tests: number of held-out dialogues.
        merges: number of tokens besides bytes and control tokens.
        limit: largest number of tokens of a completion.
    """

    hidden: int
    layers: int
    heads: int
    talks: int
    steps: int
    batch: int
    rate: float
    tests: int
    merges: int = 600
    limit: int = 80


SIZES = {
    "tiny": Size(64, 2, 4, talks=3000, steps=300, batch=24, rate=5e-3, tests=40),
    "default": Size(128, 2, 4, talks=6000, steps=600, batch=32, rate=3e-3, tests=80),
    "gpu": Size(512, 8, 8, talks=50000, steps=4000, batch=128, rate=6e-4, tests=500),
}


def make_tokenizer(template: Template, renderings: Sequence[Rendering], merges: int) -> Any:
    """Train a byte-level BPE tokenizer with the template's control tokens on rendered conversations.

    Digits, newlines, the signs of the tasks and the end of the generation prompt are separate tokens, so that no
    token crosses the edge of a generated span. Other words are not split first, so that text which the template writes
    into every conversation takes few tokens. If that is thousands of characters (Command A), each of its lines is a
    token; otherwise a model of this size would read little else. ``merges`` limits the tokens besides bytes and control
    tokens.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    facts = facts_of(template)
    names = (*facts.control_tokens, *answer_stops(template), *(facts.stop_tokens or ()), *template.tokens.values())
    special = list(dict.fromkeys([PAD, *(token for token in names if token)]))
    # The BPE trainer does not split at special tokens.
    edges = re.compile("|".join(re.escape(token) for token in special))
    prompt = template.render([{"role": "user", "content": "?"}], add_generation_prompt=True, clock=CLOCK).text
    ending = edges.split(prompt)[-1]
    split = _SIGNS if ending == "" or re.fullmatch(_SIGNS, ending[-1]) else f"{re.escape(ending)}|{_SIGNS}"
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Split(Regex(split), "isolated"),
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
    return PreTrainedTokenizerFast(tokenizer_object=raw, pad_token=PAD, eos_token=answer_stops(template)[0])


def answer_stops(template: Template) -> tuple[str, ...]:
    """Return the tokens that end an answer: its own, or those that begin the next turn."""
    facts = facts_of(template)
    return facts.answer_stops or facts.next_turn_stops


def _frequent_lines(renderings: Sequence[Rendering], edges: re.Pattern[str]) -> list[str]:
    """Return lines outside generated spans that occur in one conversation of twenty, if they are most of the text."""
    found: Counter[str] = Counter()
    for rendering in renderings:
        starts = [0, *(end for _, end in rendering.generated)]
        ends = [*(start for start, _ in rendering.generated), len(rendering.text)]
        outside = [rendering.text[start:end] for start, end in zip(starts, ends, strict=True)]
        found.update(
            {line for text in outside for part in edges.split(text) for line in part.splitlines(keepends=True)}
        )
    lines = [line for line, count in found.items() if len(line) >= _LINE and 20 * count >= len(renderings)]
    lines = [line for line in lines if not any(_is_sampled(line, rendering) for rendering in renderings)]
    written = sum(len(line) * found[line] for line in lines)
    return sorted(lines, key=len, reverse=True) if written > _LONG * len(renderings) else []


def _is_sampled(line: str, rendering: Rendering) -> bool:
    """Return True if an occurrence of a line overlaps a generated span."""
    places = (match.start() for match in re.finditer(f"(?={re.escape(line)})", rendering.text))
    return any(start < place + len(line) and place < end for place in places for start, end in rendering.generated)


def make_model(tokenizer: Any, size: Size, seed: int) -> Any:
    """Return a Llama with random weights."""
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
