"""The metadata of GGUF files: read whole, or one error, in time and memory that the file's size bounds."""

from __future__ import annotations

import struct
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattmpl.errors import TemplateError
from chattmpl.template.gguf import StringArray, read_metadata
from chattmpl.template.resolver import find_templates
from support.command import run_here

TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"


def string(text: str, order: str = "<") -> bytes:
    return struct.pack(f"{order}Q", len(text.encode())) + text.encode()


def pair(key: str, kind: int, value: bytes, order: str = "<") -> bytes:
    return string(key, order) + struct.pack(f"{order}I", kind) + value


def strings(items: list[str], order: str = "<") -> bytes:
    return struct.pack(f"{order}IQ", 8, len(items)) + b"".join(string(item, order) for item in items)


def file_of(*pairs: bytes, version: int = 3, count: int | None = None, order: str = "<") -> bytes:
    number = len(pairs) if count is None else count
    return b"GGUF" + struct.pack(f"{order}IQQ", version, 0, number) + b"".join(pairs)


PAIRS = (
    pair("general.architecture", 8, string("llama")),
    pair("general.alignment", 4, struct.pack("<I", 32)),
    pair("tokenizer.ggml.scores", 9, struct.pack("<IQ3f", 6, 3, 0, 1, 2)),
    pair("nested", 9, struct.pack("<IQ", 9, 1) + strings(["a"])),
    pair("tokenizer.ggml.tokens", 9, strings(["<unk>", "<s>", "</s>"])),
    pair("tokenizer.ggml.eos_token_id", 4, struct.pack("<I", 2)),
    pair("tokenizer.ggml.bos_token_id", 4, struct.pack("<I", 99)),
    pair("tokenizer.chat_template", 8, string(TEMPLATE)),
    pair("tokenizer.chat_template.tool_use", 8, string("{{ é }}")),
)
GOOD = file_of(*PAIRS)


def read(data: bytes, folder: Path) -> dict[str, Any]:
    path = folder / "model.gguf"
    path.write_bytes(data)
    return read_metadata(path)


def test_the_metadata_are_numbers_strings_and_arrays_of_strings(tmp_path: Path) -> None:
    metadata = read(GOOD, tmp_path)
    assert metadata["general.architecture"] == "llama"
    assert metadata["general.alignment"] == 32
    assert "tokenizer.ggml.scores" not in metadata
    tokens = metadata["tokenizer.ggml.tokens"]
    assert isinstance(tokens, StringArray)
    assert [tokens[index] for index in range(3)] == ["<unk>", "<s>", "</s>"]
    with pytest.raises(IndexError, match="3"):
        tokens[3]


def test_the_templates_and_tokens_of_a_file_are_found(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(GOOD)
    found = list(find_templates([str(path)]))
    assert [(item.source.text, item.variant) for item in found] == [(TEMPLATE, None), ("{{ é }}", "tool_use")]
    assert found[0].tokens == {"eos_token": "</s>"}


def test_a_special_token_that_is_named_by_no_id_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    others = [each for each in PAIRS if b"bos_token_id" not in each]
    path.write_bytes(file_of(*others, pair("tokenizer.ggml.bos_token_id", 8, string("<s>"))))
    with pytest.raises(
        TemplateError, match=r"model.gguf: tokenizer.ggml.bos_token_id must be the id of a token, not '<s>'"
    ):
        list(find_templates([str(path)]))


def test_a_file_may_be_big_endian(tmp_path: Path) -> None:
    data = file_of(pair("a", 8, string("b", ">"), ">"), pair("c", 9, strings(["d"], ">"), ">"), order=">")
    metadata = read(data, tmp_path)
    assert metadata["a"] == "b"
    assert metadata["c"][0] == "d"


HUGE = 2**62
DAMAGED = {
    "empty": b"",
    "no magic": b"nothing of the kind" * 9,
    "magic alone": b"GGUF",
    "zeros": b"GGUF" + bytes(60),
    "version 1": file_of(version=1),
    "pairs": file_of(PAIRS[0], count=HUGE),
    "string": file_of(pair("a", 8, struct.pack("<Q", HUGE) + b"x")),
    "key": file_of(struct.pack("<Q", 2**40) + b"x"),
    "strings": file_of(pair("a", 9, struct.pack("<IQ", 8, HUGE))),
    "bytes": file_of(pair("a", 9, struct.pack("<IQ", 0, 1_000_000_000))),
    "numbers": file_of(pair("a", 9, struct.pack("<IQ", 12, HUGE) + bytes(64))),
    "arrays": file_of(pair("a", 9, struct.pack("<IQ", 9, 1) * 1000)),
    "type": file_of(pair("a", 99, bytes(8))),
    "text": file_of(pair("a", 8, struct.pack("<Q", 2) + b"\xff\xff")),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_one_error_and_costs_no_more_than_its_size(name: str, tmp_path: Path) -> None:
    tracemalloc.start()
    with pytest.raises(TemplateError, match="not a GGUF file, or a damaged one"):
        read(DAMAGED[name], tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    done = run_here(["lint", str(tmp_path / "model.gguf")])
    assert (done.code, done.out, done.err.count("error:")) == (2, "", 1)


@given(cut=st.integers(0, len(GOOD)), at=st.integers(0, len(GOOD) - 1), value=st.binary(min_size=1, max_size=8))
def test_no_change_of_a_file_makes_it_slow_or_breaks_the_reader(
    cut: int, at: int, value: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("gguf")
    start = time.process_time()
    for data in (GOOD[:cut], GOOD[:at] + value + GOOD[at + len(value) :]):
        try:
            for item in read(data, folder).values():
                if isinstance(item, StringArray) and item.length:
                    assert isinstance(item[item.length - 1], str)
        except TemplateError as error:
            assert "damaged" in error.message  # noqa: PT017 — most changes are refused
    assert time.process_time() - start < 1
