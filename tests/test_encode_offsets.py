"""Offsets cover exactly the characters that a token stands for, with every kind of tokenizer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, normalizers

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
from support.small_tokenizers import (
    SlowBytes,
    byte_level_bpe,
    metaspace_bpe,
    unigram_with_control_pieces,
    with_control,
    word_pieces,
)
from support.snapshots import error_of

TEXT = Template.from_source("{% for m in messages %}{{ m.content }}{% endfor %}")
HARD = "  Naïve café — 日本語 😀\u200d👩🏽 e\u0301 \r\n\x00\t▁▁ <0x41> the end "
LETTERS = st.text(alphabet=st.characters(codec="utf-8"), max_size=20)
SPARSE = st.text(alphabet=st.sampled_from(" ab\n\r\t\x00é日😀e\u0301\u0308\u200d▁\ufeffﬁ"), max_size=12)
BYTE_LEVEL = with_control(byte_level_bpe())


def encoded(text: str, tokenizer: object = BYTE_LEVEL) -> Encoding:
    """A text as it is, encoded."""
    return TEXT.render([{"role": "user", "content": text}]).encode(tokenizer)


def own_offsets(text: str, tokenizer: Tokenizer) -> list[tuple[int, int]]:
    """What the tokenizer says, without trimming."""
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
    assert encoded(text).offsets == own_offsets(text, BYTE_LEVEL)


@given(LETTERS | SPARSE)
def test_a_byte_level_tokenizer_leaves_no_character_out(text: str) -> None:
    encoding = encoded(text)
    covered = {index for start, end in encoding.offsets for index in range(start, end)}
    assert covered == set(range(len(text)))
    assert encoding.starts_c == sorted(encoding.starts_c)
    assert encoding.ends_c == sorted(encoding.ends_c)


def test_tokens_with_a_part_of_a_character_cover_that_character() -> None:
    encoding = encoded("a𓀀b")
    assert encoding.offsets == [(0, 1), *[(1, 2)] * 4, (2, 3)]


def test_offsets_are_not_trimmed_where_the_tokenizer_trims_them() -> None:
    trimming = byte_level_bpe(trim_offsets=True)
    assert trimming.encode("a the").offsets != own_offsets("a the", trimming)
    assert encoded("a the", trimming).offsets == own_offsets("a the", trimming)


def test_a_trimming_tokenizer_that_changes_the_text_is_not_trimmed_either() -> None:
    trimming = byte_level_bpe(trim_offsets=True, normalizer=normalizers.Lowercase())
    assert "".join(encoded("A THE  END", trimming).tokens) == "A THE  END"


def test_a_mark_that_was_composed_with_its_letter_belongs_to_the_token_of_the_letter() -> None:
    composing = byte_level_bpe(normalizer=normalizers.NFC())
    text = "e\u0301x"
    assert own_offsets(text, composing)[0] == (0, 1)
    encoding = encoded(text, composing)
    assert set(encoding.offsets[:-1]) == {(0, 2)}
    assert encoding.offsets[-1] == (2, 3)


@given(SPARSE)
def test_a_normaliser_leaves_no_character_uncovered(text: str) -> None:
    composing = byte_level_bpe(normalizer=normalizers.NFC())
    encoding = encoded("x" + text, composing)
    covered = {index for start, end in encoding.offsets for index in range(start, end)}
    assert {char for index, char in enumerate(encoding.text) if index not in covered and not char.isspace()} == set()
    assert encoding.starts_c == sorted(encoding.starts_c)
    assert encoding.ends_c == sorted(encoding.ends_c)


@pytest.mark.parametrize("scheme", ["always", "first", "never"])
def test_the_space_that_a_tokenizer_puts_in_front_has_no_character(scheme: str) -> None:
    tokenizer = metaspace_bpe(scheme)
    text = "the fox is é\n ok"
    encoding = encoded(text, tokenizer)
    assert encoding.input_ids == tokenizer.encode(text).ids
    assert encoding.starts_c[0] == 0
    assert encoding.ends_c[-1] == len(text)
    assert [token for token in encoding.tokens if "é" in token] == ["é", "é"]


@given(text=SPARSE)
@pytest.mark.parametrize(
    "tokenizer", [metaspace_bpe("always"), metaspace_bpe("first"), unigram_with_control_pieces()], ids=str
)
def test_other_tokenizers_get_offsets_that_cover_each_character(tokenizer: Tokenizer, text: str) -> None:
    encoding = encoded(text, tokenizer)
    assert encoding.input_ids == tokenizer.encode(text).ids
    covered = {index for start, end in encoding.offsets for index in range(start, end)}
    assert covered >= {index for index, char in enumerate(text) if not char.isspace()}


def test_dropped_white_space_is_in_no_range() -> None:
    encoding = encoded("the  fox \n dog ", word_pieces())
    covered = {index for start, end in encoding.offsets for index in range(start, end)}
    assert covered == {index for index, char in enumerate(encoding.text) if not char.isspace()}


def test_a_lowercasing_tokenizer_keeps_the_characters_of_the_text() -> None:
    encoding = encoded("The FOX Café", word_pieces())
    assert "".join(encoding.tokens) == "TheFOXCafé"


def test_ids_are_never_touched_by_placing_them() -> None:
    assert encoded(HARD).input_ids == BYTE_LEVEL.encode(HARD).ids


# Without offsets


@given(LETTERS | SPARSE)
def test_a_slow_tokenizer_is_placed_by_the_bytes_of_its_tokens(text: str) -> None:
    assert encoded(text, SLOW).offsets == encoded(text).offsets


SLOW = SlowBytes()


def test_a_slow_tokenizer_that_drops_white_space_is_placed_around_it() -> None:
    encoding = encoded(" the\n é fox  ", SlowBytes(drops_spaces=True))
    assert encoding.text[encoding.starts_c[-1] : encoding.ends_c[-1]].strip() != ""
    covered = {index for start, end in encoding.offsets for index in range(start, end)}
    assert covered >= {index for index, char in enumerate(encoding.text) if not char.isspace()}


def test_a_slow_tokenizer_that_changes_the_text_is_refused_where_it_does() -> None:
    assert str(error_of(lambda: encoded("fox Dog", SlowBytes(lowercase=True)))) == (
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
    assert encoded(text, tokenizer).offsets == offsets


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
    assert encoded("plain and naïve 日本", adapted).ends_c[-1] == 18
