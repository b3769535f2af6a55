"""Train exports with real tokenizers: transformers makes the same ids and the same mask of them as we do."""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import Any

import pytest

from chattmpl import Rendering, Template
from chattmpl.errors import RenderError
from support.goldens import CLOCK
from support.samples import Sample, samples
from support.tokenizers import real_tokenizer_path

pytestmark = pytest.mark.upstream

TOKENIZERS = {
    "chatml": "qwen3",
    "hybrid": "qwen3",
    "qwen3": "qwen3",
    "smollm3": "qwen3",
    "llama3": "llama3_1",
    "gemma3": "gemma3",
    "deepseek_r1": "deepseek_v3",
    "gpt_oss": "gptoss",
    "command_a_reasoning": "qwen3",  # its own is not to be had, and any will do
}


@cache
def tokenizer_of(family: str) -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.PreTrainedTokenizerFast(tokenizer_file=str(real_tokenizer_path(TOKENIZERS[family])))


@pytest.fixture(autouse=True)
def _a_stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    utils = pytest.importorskip("transformers.utils.chat_template_utils")

    class Stopped(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Stopped:
            return cls(*CLOCK.timetuple()[:6], tzinfo=tz)

    monkeypatch.setattr(utils, "datetime", Stopped)


def theirs(tokenizer: Any, export: str, sample: Sample) -> tuple[list[int], list[int]]:
    made = tokenizer.apply_chat_template(
        sample.messages,
        tools=sample.tools,
        documents=sample.documents,
        chat_template=export,
        add_generation_prompt=sample.add_generation_prompt,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
        **sample.kwargs,
    )
    return made["input_ids"], made["assistant_masks"]


def is_exact_there(tokenizer: Any, rendering: Rendering) -> bool:
    """Whether the mask of transformers can be right.

    It looks up the token of the first and of the last character of a span. That fails where a character is in no token,
    for the pre-tokenizer drops it, where it is in several, and where the last token is the first of all.
    """
    offsets = tokenizer.backend_tokenizer.encode(rendering.text, add_special_tokens=False).offsets
    for first, end in rendering.generated:
        starting = [index for index, (left, right) in enumerate(offsets) if left <= first < right]
        ending = [index for index, (left, right) in enumerate(offsets) if left < end <= right]
        if len(starting) != 1 or len(ending) != 1 or ending == [0]:
            return False
    return True


@pytest.mark.parametrize("family", TOKENIZERS)
def test_transformers_makes_the_same_ids_and_mask_of_the_train_export(family: str) -> None:
    template = Template.load(family)
    tokenizer, export = tokenizer_of(family), template.export("train")
    rendered = compared = trained = 0
    for sample in samples(family):
        try:
            rendering = sample.ours(template)
        except RenderError:
            continue
        rendered += 1
        encoding = rendering.encode(tokenizer, control_tokens="allow")
        ids, mask = theirs(tokenizer, export, sample)
        assert encoding.input_ids == ids, sample.id
        if is_exact_there(tokenizer, rendering):
            assert encoding.assistant_masks == mask, sample.id
            compared += 1
            trained += any(mask)
    assert rendered >= 60
    assert compared >= rendered * 0.95
    assert trained >= compared * 0.5
