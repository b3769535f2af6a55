"""The fast path with real tokenizers and real templates: nothing differs, and engines are used where they are right."""

from __future__ import annotations

import functools
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chattmpl import Template
from chattmpl.conversation.strategies import conversations
from support.extras import need
from support.fetched import real_tokenizer_path, trl_templates
from support.reference import CLOCK

need("gigatoken", "numpy")

from chattmpl.data.encoder import Encoder, Rejection, Row  # noqa: E402

pytestmark = [pytest.mark.upstream, pytest.mark.filterwarnings("ignore::chattmpl.data.encoder.UnreadDataWarning")]

FAMILIES = {
    "hybrid": "qwen3",
    "llama3": "llama3_1",
    "gemma3": "gemma3",
    "deepseek_r1": "deepseek_v3",
    "gpt_oss": "gptoss",
}
WORDS = (
    *(
        "the",
        "Weather",
        "is",
        "12.5",
        "why?",
        "It's",
        "don't",
        "naïve",
        "日本語",
        "Привет",
        "😀",
        "e\u0301",
        "\n\n",
        "  ",
    ),
    *(
        "\t",
        "x" * 60,
        "...",
        "!!!\n",
        "1234567",
        "\u00a0",
        "\u200b",
        "한국어",
        "ไทย",
        "हिन्दी",
        "\U0001fae8",
        "👩🏽\u200d🚀",
    ),
)


@functools.cache
def encoders(family: str) -> tuple[Encoder, Encoder]:
    """Return a fast and an exact encoder with the family's real tokenizer."""
    path = str(real_tokenizer_path(FAMILIES[family]))
    fast = Encoder(family, path, fast="require", check_every=0, clock=CLOCK).prepare()
    return fast, Encoder(family, path, fast="off", clock=CLOCK)


def told(result: Row | Rejection) -> Any:
    """All that a result says, to compare."""
    if isinstance(result, Rejection):
        return result
    return result.input_ids.tolist(), result.mask.tolist(), result.straddles, result.escaped


def chat(rng: random.Random) -> list[dict[str, Any]]:
    """Return a conversation of a few words of many scripts."""
    words = rng.sample(WORDS, 6)

    def text() -> str:
        return rng.choice((" ", "")).join(rng.choices(words, k=rng.randint(0, 60)))

    messages = []
    for _ in range(rng.randint(1, 3)):
        messages += [{"role": "user", "content": text()}, {"role": "assistant", "content": text()}]
        if rng.random() < 0.5:
            messages[-1]["reasoning_content"] = text()
    return messages


@pytest.mark.parametrize("family", FAMILIES)
def test_with_a_real_tokenizer_both_paths_give_the_same_rows(family: str) -> None:
    fast, exact = encoders(family)
    rng = random.Random(5)
    records = [{"messages": chat(rng)} for _ in range(150)]
    assert list(map(told, fast.encode_many(records))) == list(map(told, exact.encode_many(records)))
    assert fast.report().engine == "gigatoken"
    assert fast.report().notes == ()
    assert fast.report().fast["python"] > 20


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=40)
@given(records=st.lists(conversations(), min_size=1, max_size=5))
def test_with_a_real_tokenizer_hostile_conversations_give_the_same_rows(
    family: str, records: list[dict[str, Any]]
) -> None:
    fast, exact = encoders(family)
    assert list(map(told, fast.encode_many(records))) == list(map(told, exact.encode_many(records)))


@pytest.mark.filterwarnings("ignore::chattmpl.data.encoder.FastPathWarning")
@pytest.mark.filterwarnings("ignore::chattmpl.data.template_notes.TemplateWarning")
def test_most_templates_that_people_train_with_have_a_fast_path() -> None:
    found: dict[str, bool] = {}
    for name, source in trl_templates().items():
        template = Template.from_source(source, name=name, tokens={"bos_token": "<s>", "eos_token": "</s>"})
        encoder = Encoder(template, "demo", columns=["input_ids"], mask_from="tags").prepare()
        found[name] = encoder._fast is not None
    assert sum(found.values()) > 0.9 * len(found)
