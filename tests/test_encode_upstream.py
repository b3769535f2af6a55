"""With the tokenizers of real models, and beside transformers where it is right."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from chattmpl import Rendering, Template
from chattmpl.encode import encode
from chattmpl.encode.fast_tokenizer import FastTokenizer
from support.fetched import REAL_TOKENIZERS, real_tokenizer_path

pytestmark = pytest.mark.upstream

FAMILY = {
    "qwen3": "qwen3",
    "llama3_1": "llama3",
    "gemma3": "gemma3",
    "deepseek_v3": "deepseek_r1",
    "gptoss": "gpt_oss",
}
EACH = pytest.mark.parametrize("name", REAL_TOKENIZERS)
TEXTS = (
    "What is 2 + 2?  It's 4.\n\n\n\tdef f(x):\r\n        return x\n",
    "Naïve café — 日本語 😀👩🏽\u200d🚀 Привет, мир! ﷽ 𓀀 \u0958 ▁▁ <b>bold</b> <table>",
    " leading and trailing \n",
    "",
    "12345 3.14159 \x00\x7f\u00a0\u2028\ufeff",
)
HOSTILE = st.lists(
    st.sampled_from(
        [
            *("<|im_end|>", "<|im_start|>", "<think>", "</think>", "<tool_call>", "<|eot_id|>", "<|start_header_id|>"),
            *(
                "<start_of_turn>",
                "<end_of_turn>",
                "<bos>",
                "<｜User｜>",
                "<｜end▁of▁sentence｜>",
                "<|start|>",
                "<|end|>",
            ),
            *("<|", "|>", "<", ">", "<｜", "end", " ", "\n", "\n\n", "  ", "▁", "<table>", "e\u0301", "日", "x"),
        ]
    )
    | st.text(alphabet=st.characters(codec="utf-8"), max_size=3),
    max_size=5,
).map("".join)


@cache
def real(name: str) -> Tokenizer:
    return Tokenizer.from_file(str(real_tokenizer_path(name)))


@cache
def adapted(name: str) -> FastTokenizer:
    return FastTokenizer(real(name))


@cache
def template(name: str) -> Template:
    return Template.load(FAMILY[name])


def render(name: str, *contents: str) -> Rendering:
    roles = ("user", "assistant")
    return template(name).render([{"role": roles[at % 2], "content": content} for at, content in enumerate(contents)])


def control(name: str, ids: list[int]) -> list[int]:
    wanted = adapted(name).control_ids(template(name).source)
    return [token for token in ids if token in wanted]


@EACH
def test_ids_and_offsets_are_the_tokenizers_own(name: str) -> None:
    rendering = render(name, *TEXTS)
    encoding = rendering.encode(adapted(name))
    own = real(name).encode(rendering.text, add_special_tokens=False)
    assert encoding.input_ids == own.ids
    assert encoding.escaped == ()
    # \u0958 is decomposed by NFC, and its parts are placed by us a little more generously
    differing = [pair for pair in zip(encoding.offsets, own.offsets, strict=True) if pair[0] != pair[1]]
    assert all(ours[0] <= theirs[0] and theirs[1] <= ours[1] for ours, theirs in differing)
    assert len(differing) <= 1


@EACH
@settings(max_examples=200)
@given(contents=st.lists(HOSTILE, min_size=1, max_size=3))
def test_no_text_of_a_message_becomes_a_control_token(name: str, contents: list[str]) -> None:
    rendering = render(name, *contents)
    ids = rendering.encode(adapted(name)).input_ids
    assert control(name, ids) == control(name, render(name, *("x" for _ in contents)).encode(adapted(name)).input_ids)


@EACH
@settings(max_examples=200)
@given(contents=st.lists(HOSTILE, min_size=1, max_size=3))
def test_allow_is_the_tokenizer_on_the_whole_text(name: str, contents: list[str]) -> None:
    rendering = render(name, *contents)
    ids = rendering.encode(adapted(name), control_tokens="allow").input_ids
    assert ids == real(name).encode(rendering.text, add_special_tokens=False).ids


@EACH
@settings(max_examples=200)
@given(contents=st.lists(HOSTILE, min_size=1, max_size=3))
def test_a_token_is_trained_if_and_only_if_it_has_a_generated_character(name: str, contents: list[str]) -> None:
    rendering = render(name, *contents)
    encoding = rendering.encode(adapted(name))
    generated = {index for start, end in rendering.generated for index in range(start, end)}
    assert encoding.assistant_masks == [
        int(any(index in generated for index in range(start, end))) for start, end in encoding.offsets
    ]


@pytest.mark.parametrize("name", ["llama3_1", "gptoss"])
@settings(max_examples=200)
@given(content=HOSTILE)
def test_escaped_text_is_what_a_tokenizer_that_ignores_its_special_tokens_gives(name: str, content: str) -> None:
    """All added tokens of these two are special, so there is a switch that turns them off."""
    ignoring = _ignoring(name)
    message = Template.from_source("{% for m in messages %}{{ m.content }}{% endfor %}")
    encoding = message.render([{"role": "user", "content": content}]).encode(adapted(name))
    assert encoding.input_ids == ignoring.encode(content, add_special_tokens=False).ids


@cache
def _ignoring(name: str) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(real_tokenizer_path(name)))
    tokenizer.encode_special_tokens = True
    return tokenizer


@EACH
@settings(max_examples=100)
@given(contents=st.lists(st.sampled_from([*TEXTS, ":) ok", "\n\nok", " x"]), min_size=2, max_size=4))
def test_split_is_prompt_and_answer_encoded_apart(name: str, contents: list[str]) -> None:
    rendering = render(name, *contents)
    encoding = rendering.encode(adapted(name), straddle="split")
    edges = [0, *(edge for pair in rendering.generated for edge in pair), len(rendering.text)]
    parts = [rendering.text[start:end] for start, end in pairwise(edges)]
    assert encoding.input_ids == [
        token for part in parts for token in real(name).encode(part, add_special_tokens=False).ids
    ]
    assert encoding.straddles == ()


@pytest.fixture(scope="module")
def transformers() -> Any:
    return pytest.importorskip("transformers")


@EACH
def test_a_tokenizer_of_transformers_gives_the_same_ids_and_mask_as_there(name: str, transformers: Any) -> None:
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(real_tokenizer_path(name)))
    family = template(name)
    messages = [
        {"role": "user", "content": TEXTS[1]},
        {"role": "assistant", "content": "First answer, naïve 日本."},
        {"role": "user", "content": "And?"},
        {"role": "assistant", "content": "Second answer."},
    ]
    theirs = tokenizer.apply_chat_template(
        messages,
        chat_template=family.export("train"),
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
        **family.tokens,
    )
    ours = encode(family.render(messages), tokenizer)
    assert ours.input_ids == theirs["input_ids"]
    assert ours.assistant_masks == theirs["assistant_masks"]
    assert sum(ours.assistant_masks) > 0


def test_a_slow_tokenizer_of_transformers_gets_offsets_and_escapes(transformers: Any) -> None:
    tokenizer = transformers.ByT5Tokenizer()
    chat = Template.from_source(
        "{% for m in messages %}{{ m.role }}: {% if m.role == 'assistant' %}{% generation %}{{ m.content }}</s>"
        "{% endgeneration %}{% else %}{{ m.content }}{% endif %}\n{% endfor %}"
    )
    rendering = chat.render([{"role": "user", "content": "naïve </s> 日"}, {"role": "assistant", "content": "oké"}])
    encoding = rendering.encode(tokenizer)
    assert [escape.text for escape in encoding.escaped] == ["</s>"]
    assert encoding.input_ids.count(tokenizer.eos_token_id) == 1
    trained = [at for at, mask in enumerate(encoding.assistant_masks) if mask]
    assert (encoding.starts_c[trained[0]], encoding.ends_c[trained[-1]]) == rendering.generated[0]
    assert tokenizer.decode(encoding.input_ids) == rendering.text
