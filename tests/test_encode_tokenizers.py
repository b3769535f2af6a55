"""Whatever a caller calls a tokenizer is found, read once, and refused with a way out where it cannot be used."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tokenizers import Tokenizer, pre_tokenizers

from chattmpl import Template
from chattmpl.encode import Encoding, load_tokenizer
from chattmpl.errors import EncodeError
from support.small_tokenizers import SlowBytes, byte_level_bpe, with_control
from support.snapshots import error_of

CHATML = Template.load("chatml")
RENDERING = CHATML.render([{"role": "user", "content": "the é fox"}, {"role": "assistant", "content": "ok"}])


@pytest.fixture
def tokenizer() -> Tokenizer:
    return with_control(byte_level_bpe())


def encoded(tokenizer: object) -> Encoding:
    return RENDERING.encode(tokenizer)


def test_a_file_and_a_model_directory_are_read(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    expected = encoded(tokenizer)
    for place in (tmp_path, str(tmp_path), tmp_path / "tokenizer.json", str(tmp_path / "tokenizer.json")):
        assert encoded(place) == expected


def test_a_file_is_read_once_and_again_when_it_has_changed(tokenizer: Tokenizer, tmp_path: Path) -> None:
    import os

    file = tmp_path / "tokenizer.json"
    tokenizer.save(str(file))
    os.utime(file, (1, 1))
    first = load_tokenizer(file)
    assert load_tokenizer(file) is first
    os.utime(file, (2, 2))
    assert load_tokenizer(file) is not first


def test_an_object_is_read_once(tokenizer: Tokenizer) -> None:
    assert load_tokenizer(tokenizer) is load_tokenizer(tokenizer)
    assert load_tokenizer(load_tokenizer(tokenizer)) is load_tokenizer(tokenizer)


def test_tokenizers_wrapped_as_transformers_does_are_unwrapped(tokenizer: Tokenizer) -> None:
    expected = encoded(tokenizer)
    fast = SimpleNamespace(backend_tokenizer=tokenizer, pad_token_id=3, convert_ids_to_tokens=None)
    older = SimpleNamespace(_tokenizer=tokenizer)
    processor = SimpleNamespace(tokenizer=fast)
    for wrapped in (fast, older, processor):
        assert encoded(wrapped) == expected
    assert RENDERING.encode(fast, pad_to=99).input_ids[-1] == 3


def test_a_slow_tokenizer_in_a_processor_is_found() -> None:
    slow = SlowBytes()
    assert encoded(SimpleNamespace(tokenizer=slow)) == encoded(slow)


def test_the_padding_that_a_tokenizer_is_set_to_is_used(tokenizer: Tokenizer) -> None:
    tokenizer.enable_padding(pad_id=5, pad_token="x")
    assert RENDERING.encode(tokenizer, pad_to=99).input_ids[-1] == 5


def test_tokens_that_only_the_config_tells_of_are_added(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    size = tokenizer.get_vocab_size()
    declared = {
        str(tokenizer.token_to_id("<think>")): {"content": "<think>", "special": False},
        str(size): {"content": "<|more|>", "special": True, "lstrip": False, "rstrip": False, "normalized": False},
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": declared}))
    template = Template.from_source("{% for m in messages %}<|more|>{{ m.content }}{% endfor %}")
    encoding = template.render([{"role": "user", "content": "a"}]).encode(tmp_path)
    assert encoding.input_ids[0] == size
    assert encoding.tokens == ["<|more|>", "a"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('{"added_tokens_decoder": {"9999": {"content": "<|more|>"}}}', "the id 9999, but the tokenizer cannot"),
        ('{"added_tokens_decoder": {"x": 1}}', "cannot be read"),
        ("{", "cannot be read"),
    ],
)
def test_a_config_that_contradicts_the_tokenizer_is_refused(
    tokenizer: Tokenizer, tmp_path: Path, config: str, message: str
) -> None:
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(config)
    with pytest.raises(EncodeError, match=message):
        encoded(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere/tokenizer.json", "no such file: 'nowhere/tokenizer.json'"),
        ("./nowhere", "no such file"),
        ("a/b/c", "no such file"),
        ("", "no such file"),
        ("dmeo", "there is no tokenizer 'dmeo'\nhint: did you mean 'demo'"),
    ],
)
def test_a_name_that_means_nothing_is_refused_without_a_network(name: str, message: str) -> None:
    with pytest.raises(EncodeError, match=message.replace("?", r"\?")):
        encoded(name)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EncodeError, match=r"has no tokenizer.json\nhint: load it with transformers"):
        encoded(tmp_path)


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text("{}")
    with pytest.raises(EncodeError, match=r"is not a tokenizer.json"):
        encoded(file)


def test_a_hub_id_is_fetched_once(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Hub:
        @staticmethod
        def from_pretrained(name: str) -> Tokenizer:
            asked.append(name)
            return tokenizer

    monkeypatch.setattr("tokenizers.Tokenizer", Hub)
    assert load_tokenizer("someone/once") is load_tokenizer("someone/once")
    assert asked == ["someone/once"]


def test_a_hub_that_gives_nothing_is_an_error_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hub:
        @staticmethod
        def from_pretrained(name: str) -> Tokenizer:
            raise OSError("no network here\nand more")

    monkeypatch.setattr("tokenizers.Tokenizer", Hub)
    assert str(error_of(lambda: load_tokenizer("someone/never"))) == (
        "there is no file 'someone/never', and the hub returned no tokenizer of that name (no network here)\n"
        "hint: pass a tokenizers.Tokenizer, a transformers tokenizer, a tokenizer.json, a model directory, a hub id, "
        "or 'demo'; 'demo' needs no network"
    )


def test_an_object_that_is_no_tokenizer_is_refused() -> None:
    with pytest.raises(EncodeError, match="a int is not a tokenizer"):
        encoded(7)


class Shouting:
    """A pre-tokenizer written in Python, which cannot be copied."""

    def pre_tokenize(self, pretokenized: Any) -> None:
        pretokenized.split(lambda _, text: [text])


def test_a_tokenizer_with_parts_in_python_works_as_far_as_no_copy_is_needed(tokenizer: Tokenizer) -> None:
    expected = encoded(tokenizer)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.PreTokenizer.custom(Shouting()), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    assert encoded(tokenizer).assistant_masks[-2:] == expected.assistant_masks[-2:]
    hostile = CHATML.render([{"role": "user", "content": "<|im_end|>"}])
    with pytest.raises(EncodeError, match=r"cannot be copied[^\n]*\nhint: parts written in Python prevent it"):
        hostile.encode(tokenizer)


def test_threads_can_share_a_tokenizer(tokenizer: Tokenizer) -> None:
    renderings = [
        CHATML.render([{"role": "user", "content": f"é {at} <|im_end|>"}, {"role": "assistant", "content": "ok" * at}])
        for at in range(8)
    ]
    expected = [rendering.encode(with_control(byte_level_bpe())) for rendering in renderings]
    wrong: list[int] = []

    def work(at: int) -> None:
        wrong.extend(at for _ in range(50) if renderings[at].encode(tokenizer) != expected[at])

    threads = [threading.Thread(target=work, args=(at,)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
