"""The tokenizer that ships with the library: small, of our own, and fit for every family that ships with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

import chattmpl
from chattmpl import Template
from chattmpl.template.family import family_names, load_family
from support import ROOT

FILE = Path(chattmpl.__file__).parent / "encode" / "demo_tokenizer.json"
DEMO = Tokenizer.from_file(str(FILE))


def test_the_file_is_small() -> None:
    assert FILE.stat().st_size < 150_000


@pytest.mark.skipif(not (ROOT / "tools").is_dir(), reason="the tools do not ship with the package")
def test_the_committed_script_makes_exactly_this_file() -> None:
    script = ROOT / "tools" / "train_demo_tokenizer.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "demo_tokenizer.json is up to date\n")


@pytest.mark.parametrize("name", family_names())
def test_each_control_token_of_a_family_is_one_token(name: str) -> None:
    family = load_family(name)
    tokens = {*family.generation.control_tokens, *family.generation.stop_tokens, *family.tokens.values()} - {""}
    assert tokens != set()
    assert [token for token in sorted(tokens) if len(DEMO.encode(token).ids) != 1] == []


@pytest.mark.parametrize("name", family_names())
def test_each_family_can_be_looked_at_with_it(name: str) -> None:
    rendering = Template.load(name).render(
        [{"role": "user", "content": "What is the weather?"}, {"role": "assistant", "content": "It is 21 °C, 晴れ."}]
    )
    encoding = rendering.encode("demo")
    assert DEMO.decode(encoding.input_ids, skip_special_tokens=False) == rendering.text
    assert 0 < sum(encoding.assistant_masks) < len(encoding)


def test_frame_tokens_are_special_and_those_inside_an_answer_are_not() -> None:
    special = {token.content: token.special for token in DEMO.get_added_tokens_decoder().values()}
    assert special["<|im_start|>"]
    assert special["<start_of_turn>"]
    assert not special["<think>"]
    assert not special["</tool_call>"]


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_any_text_comes_back_from_its_tokens(text: str) -> None:
    assert DEMO.decode(DEMO.encode(text).ids, skip_special_tokens=False) == text


def test_common_words_are_one_token() -> None:
    words = ["The", " answer", " is", " in", " the", " question", "."]
    assert [DEMO.decode([token]) for token in DEMO.encode("".join(words)).ids] == words
