"""Tokenizers of every kind: loading, and the offsets of their tokens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, normalizers, pre_tokenizers

from chattmpl import Template
from chattmpl.encode import Encoding, load_tokenizer
from chattmpl.encode.fast_tokenizer import FastTokenizer
from chattmpl.encode.offsets import (
    BYTE_ALPHABET,
    TokenBytes,
    close_gaps,
    decode_byte_level,
    decode_latin1,
    decode_metaspace,
)
from chattmpl.errors import EncodeError
from support.small_tokenizers import (
    SlowBytes,
    byte_level_bpe,
    metaspace_bpe,
    unigram_with_control_pieces,
    with_control,
    word_pieces,
)
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
        ("{", "is not JSON"),
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


def test_a_hub_id_is_a_model_directory(tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(name: str, **options: Any) -> str:
        asked.append(name)
        return str(tmp_path)

    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"bos_token": "<s>"}')
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert load_tokenizer("someone/once") is load_tokenizer("someone/once")
    assert load_tokenizer("someone/once").special_tokens["bos_token"] == "<s>"
    assert asked == ["someone/once"]


def test_a_hub_that_gives_nothing_is_an_error_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(name: str, **options: Any) -> str:
        raise OSError("no such model\nand more")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setattr("chattmpl.template.hub.is_reachable", lambda: True)
    assert str(error_of(lambda: load_tokenizer("someone/never"))) == (
        "there is no file 'someone/never', and the hub returned no tokenizer of that name (no such model)\n"
        "hint: pass a tokenizers.Tokenizer, a transformers tokenizer, a tokenizer.json, a model directory, a hub id, "
        "or 'demo'; 'demo' needs no network"
    )


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "https://nowhere.invalid"])
def test_a_hub_that_cannot_be_reached_is_one_error_at_once(endpoint: str) -> None:
    """In a process of its own, since the address of the hub is read when its client is imported."""
    program = "from chattmpl.encode import load_tokenizer\nload_tokenizer('someone/model')"
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    started = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, "HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert time.monotonic() - started < 20
    assert "Retry" not in ended.stderr
    assert "the hub cannot be reached for a tokenizer of that name" in ended.stderr
    assert "hf download someone/model" in ended.stderr


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


TEXT = Template.from_source("{% for m in messages %}{{ m.content }}{% endfor %}")
HARD = "  Naïve café — 日本語 😀\u200d👩🏽 e\u0301 \r\n\x00\t▁▁ <0x41> the end "
LETTERS = st.text(alphabet=st.characters(codec="utf-8"), max_size=20)
SPARSE = st.text(alphabet=st.sampled_from(" ab\n\r\t\x00é日😀e\u0301\u0308\u200d▁\ufeffﬁ"), max_size=12)
BYTE_LEVEL = with_control(byte_level_bpe())


def encoded_text(text: str, tokenizer: object = BYTE_LEVEL) -> Encoding:
    """A text as it is, encoded_text."""
    return TEXT.render([{"role": "user", "content": text}]).encode(tokenizer)


def own_offsets(text: str, tokenizer: Tokenizer) -> list[tuple[int, int]]:
    """Return the offsets of the tokenizer itself, without trimming."""
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    tokenizer.post_processor = None
    offsets: list[tuple[int, int]] = tokenizer.encode(text, add_special_tokens=False).offsets
    return offsets


def test_the_byte_alphabet_spells_every_byte_once() -> None:
    assert sorted(BYTE_ALPHABET.values()) == list(range(256))
    assert decode_byte_level("Ġa") == b" a"
    assert decode_byte_level("Ċ") == b"\n"


def test_vocabulary_strings_are_read_as_the_bytes_that_they_spell() -> None:
    assert decode_metaspace("▁the") == b" the"
    assert decode_metaspace("<0x0A>") == b"\n"
    assert decode_metaspace("<0x0A>b") == b"<0x0A>b"
    assert decode_latin1("Ã©") == "é".encode()
    assert decode_latin1("<日>") == "<日>".encode()


@given(LETTERS | SPARSE)
def test_byte_lengths_give_the_offsets_that_the_tokenizer_gives(text: str) -> None:
    assert encoded_text(text).offsets == own_offsets(text, BYTE_LEVEL)


@given(LETTERS | SPARSE)
def test_a_byte_level_tokenizer_leaves_no_character_out(text: str) -> None:
    encoding = encoded_text(text)
    covered = {index for start, end in encoding.offsets for index in range(start, end)}
    assert covered == set(range(len(text)))
    assert encoding.starts_c == sorted(encoding.starts_c)
    assert encoding.ends_c == sorted(encoding.ends_c)


def test_tokens_with_a_part_of_a_character_cover_that_character() -> None:
    encoding = encoded_text("a𓀀b")
    assert encoding.offsets == [(0, 1), *[(1, 2)] * 4, (2, 3)]


def test_offsets_are_not_trimmed_where_the_tokenizer_trims_them() -> None:
    trimming = byte_level_bpe(trim_offsets=True)
    assert trimming.encode("a the").offsets != own_offsets("a the", trimming)
    assert encoded_text("a the", trimming).offsets == own_offsets("a the", trimming)


def test_a_trimming_tokenizer_that_changes_the_text_is_not_trimmed_either() -> None:
    trimming = byte_level_bpe(trim_offsets=True, normalizer=normalizers.Lowercase())
    assert "".join(encoded_text("A THE  END", trimming).tokens) == "A THE  END"


def test_a_mark_that_was_composed_with_its_letter_belongs_to_the_token_of_the_letter() -> None:
    composing = byte_level_bpe(normalizer=normalizers.NFC())
    text = "e\u0301x"
    assert own_offsets(text, composing)[0] == (0, 1)
    encoding = encoded_text(text, composing)
    assert set(encoding.offsets[:-1]) == {(0, 2)}
    assert encoding.offsets[-1] == (2, 3)


@given(SPARSE)
def test_a_normaliser_leaves_no_character_uncovered(text: str) -> None:
    composing = byte_level_bpe(normalizer=normalizers.NFC())
    encoding = encoded_text("x" + text, composing)
    covered = {index for start, end in encoding.offsets for index in range(start, end)}
    assert {char for index, char in enumerate(encoding.text) if index not in covered and not char.isspace()} == set()
    assert encoding.starts_c == sorted(encoding.starts_c)
    assert encoding.ends_c == sorted(encoding.ends_c)


@pytest.mark.parametrize("scheme", ["always", "first", "never"])
def test_the_space_that_a_tokenizer_puts_in_front_has_no_character(scheme: str) -> None:
    tokenizer = metaspace_bpe(scheme)
    text = "the fox is é\n ok"
    encoding = encoded_text(text, tokenizer)
    assert encoding.input_ids == tokenizer.encode(text).ids
    assert encoding.starts_c[0] == 0
    assert encoding.ends_c[-1] == len(text)
    assert [token for token in encoding.tokens if "é" in token] == ["é", "é"]


@given(text=SPARSE)
@pytest.mark.parametrize(
    "tokenizer", [metaspace_bpe("always"), metaspace_bpe("first"), unigram_with_control_pieces()], ids=str
)
def test_other_tokenizers_get_offsets_that_cover_each_character(tokenizer: Tokenizer, text: str) -> None:
    encoding = encoded_text(text, tokenizer)
    assert encoding.input_ids == tokenizer.encode(text).ids
    covered = {index for start, end in encoding.offsets for index in range(start, end)}
    assert covered >= {index for index, char in enumerate(text) if not char.isspace()}


def test_dropped_white_space_is_in_no_range() -> None:
    encoding = encoded_text("the  fox \n dog ", word_pieces())
    covered = {index for start, end in encoding.offsets for index in range(start, end)}
    assert covered == {index for index, char in enumerate(encoding.text) if not char.isspace()}


def test_a_lowercasing_tokenizer_keeps_the_characters_of_the_text() -> None:
    encoding = encoded_text("The FOX Café", word_pieces())
    assert "".join(encoding.tokens) == "TheFOXCafé"


def test_ids_are_never_touched_by_placing_them() -> None:
    assert encoded_text(HARD).input_ids == BYTE_LEVEL.encode(HARD).ids


# Without offsets


@given(LETTERS | SPARSE)
def test_a_slow_tokenizer_is_placed_by_the_bytes_of_its_tokens(text: str) -> None:
    assert encoded_text(text, SLOW).offsets == encoded_text(text).offsets


SLOW = SlowBytes()


def test_a_slow_tokenizer_that_drops_white_space_is_placed_around_it() -> None:
    encoding = encoded_text(" the\n é fox  ", SlowBytes(drops_spaces=True))
    assert encoding.text[encoding.starts_c[-1] : encoding.ends_c[-1]].strip() != ""
    covered = {index for start, end in encoding.offsets for index in range(start, end)}
    assert covered >= {index for index, char in enumerate(encoding.text) if not char.isspace()}


def test_a_slow_tokenizer_that_changes_the_text_is_refused_where_it_does() -> None:
    assert str(error_of(lambda: encoded_text("fox Dog", SlowBytes(lowercase=True)))) == (
        "rendered text:1:4: this tokenizer has no offsets, and from here on its tokens do not spell the text\n"
        "   1 | fox Dog\n"
        "     |    ^\n"
        "hint: use a fast tokenizer (tokenizer.json), which has offsets even if it changes the text"
    )


class Latin:
    """ByT5's kind: one token a byte, its string the Latin-1 character of the byte."""

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        return list(text.encode())

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [chr(token) for token in ids]


class Pieces:
    """A SentencePiece model in Python, with a space put in front."""

    words = ("▁the", "▁fox", "▁", "<0xC3>", "<0xA9>")

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        return [self.words.index(word) for word in ("▁the", "▁", "<0xC3>", "<0xA9>", "▁fox")]

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [self.words[token] for token in ids]


@pytest.mark.parametrize(
    ("tokenizer", "text", "offsets"),
    [
        (Latin(), "aé", [(0, 1), (1, 2), (1, 2)]),
        (Pieces(), "the é fox", [(0, 3), (3, 4), (4, 5), (4, 5), (5, 9)]),
        (Pieces(), " the é fox", [(0, 4), (4, 5), (5, 6), (5, 6), (6, 10)]),
        (Pieces(), "the \n é fox", [(0, 3), (3, 4), (6, 7), (6, 7), (7, 11)]),
    ],
)
def test_each_way_of_spelling_is_found_by_trying(tokenizer: Any, text: str, offsets: list[tuple[int, int]]) -> None:
    assert encoded_text(text, tokenizer).offsets == offsets


# The parts


def test_tokens_that_do_not_spell_the_text_are_not_tiled() -> None:
    table = TokenBytes({0: b"ab", 1: b"c"}.__getitem__)
    assert table.align("abc", b"abc", [0, 1]) == ([0, 2], [2, 3])
    assert table.align("abd", b"abd", [0, 1]) is None
    assert table.align("ab", b"ab", [0, 1]) is None


def test_repaired_offsets_never_go_back() -> None:
    assert close_gaps("abcd", [(0, 2), (1, 1), (2, 4)]) == ([0, 1, 2], [2, 2, 4])
    assert close_gaps("ab", []) == ([], [])


def test_the_fast_way_is_taken_without_the_tokenizers_own_offsets(monkeypatch: pytest.MonkeyPatch) -> None:
    adapted = load_tokenizer(byte_level_bpe())
    assert isinstance(adapted, FastTokenizer)
    monkeypatch.setattr("chattmpl.encode.fast_tokenizer.close_gaps", lambda *_: pytest.fail("the slow way was taken"))
    assert encoded_text("plain and naïve 日本", adapted).ends_c[-1] == 18
