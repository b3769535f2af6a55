"""Sources: files of every format give the same rows, in bounded memory, by the fast and the strict parser."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattmpl import input_files
from chattmpl.errors import ChatTmplError, ConversationError, UsageError
from support.command import run_apart
from support.extras import need

need("numpy", "orjson", "pyarrow", "zstandard")

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
import zstandard  # noqa: E402

from chattmpl.data.sources import (  # noqa: E402
    Chunk,
    DataFile,
    RawRow,
    find_files,
    json_rows,
    load,
    read,
    rows,
    scan,
    stream,
)
from chattmpl.data.sources.json_rows import UNPARSED, jsonl_rows, parse_lines, parse_value  # noqa: E402

pytestmark = pytest.mark.data

RECORDS: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": f'hé {i} ": \\'}, {"role": "assistant", "content": "x" * i + "\n"}]}
    for i in range(120)
]
LINES = "\n".join(json.dumps(record, ensure_ascii=False) for record in RECORDS) + "\n\n  \n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rows.jsonl").write_text(LINES, encoding="utf-8")
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(LINES.encode()))
    (tmp_path / "rows.jsonl.zst").write_bytes(zstandard.compress(LINES.encode()))
    (tmp_path / "rows.json").write_text("\ufeff" + json.dumps(RECORDS, ensure_ascii=False, indent=1), encoding="utf-8")
    table = pa.Table.from_pylist(RECORDS)
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=50)
    saved = tmp_path / "saved"
    saved.mkdir()
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}
    (saved / "state.json").write_text(json.dumps(state), encoding="utf-8")
    with pa.ipc.new_stream(saved / "data-00000-of-00001.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=33)
    with pa.ipc.new_file(tmp_path / "rows.arrow", table.schema) as writer:
        writer.write_table(table)
    return tmp_path


def one(path: Path) -> DataFile:
    [file] = find_files(str(path))
    return file


def in_pieces(file: DataFile, size: int) -> list[RawRow]:
    pieces = scan(file, size=size).chunks
    return [row for piece, data in zip(pieces, stream(file, pieces), strict=True) for row in rows(data, piece, file)]


@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
@pytest.mark.parametrize(
    "name",
    ["rows.jsonl", "rows.jsonl.gz", "rows.jsonl.zst", "rows.json", "rows.parquet", "rows.arrow", "saved"],
)
def test_every_kind_of_file_gives_its_rows_in_pieces_of_any_size(folder: Path, name: str, size: int) -> None:
    file = one(folder / name)
    found = in_pieces(file, size)
    assert [row.value for row in found] == RECORDS
    assert [row.number for row in found] == list(range(len(RECORDS)))
    assert scan(file, size=size).rows == len(RECORDS)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
def test_a_piece_can_be_read_from_the_middle_of_a_file(folder: Path, name: str) -> None:
    file = one(folder / name)
    pieces = scan(file, size=500).chunks
    assert len(pieces) > 10
    piece = pieces[7]
    assert [row.value for row in rows(load(file, piece), piece, file)] == RECORDS[piece.first :][: piece.rows]


def test_some_pieces_of_a_stream_can_be_left_out(folder: Path) -> None:
    for name in ("rows.jsonl.zst", "rows.parquet", "saved"):
        file = one(folder / name)
        pieces = scan(file, size=500).chunks[3::4]
        got = [row.value for p, data in zip(pieces, stream(file, pieces), strict=True) for row in rows(data, p, file)]
        assert got == [record for piece in pieces for record in RECORDS[piece.first :][: piece.rows]]


def test_lines_are_told_by_their_numbers_blank_ones_included(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\n{"a": 1}\r\n\n{"a": \n{"a": 2}')
    found = in_pieces(one(path), 4)
    assert [(row.number, row.line, row.value) for row in found] == [(0, 2, {"a": 1}), (1, 4, None), (2, 5, {"a": 2})]
    assert found[1].text == b'{"a": \n'


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"a": 1, "a": 2}', "duplicate key 'a'"),
        (b'{"a" : [{"b": 1 , "b" : 2}]}', "duplicate key 'b'"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": [1e999]}', "1e999 is not a JSON number"),
        (b'{"a": "\\ud83d"}', "half of a surrogate pair"),
        (b'{"a": "\xff"}', "byte 0xff at column 8 is not UTF-8"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "more than 4,300 digits"),
        (b'{"a": ' * 300 + b"1" + b"}" * 300, "nested more than 254 levels"),
        (b"[" * 900 + b"]" * 900, "nested more than 254 levels"),
        (b"[" * 100_000, "nested more than 254 levels"),
    ],
)
def test_a_line_that_is_no_strict_json_is_a_row_with_an_error(tmp_path: Path, line: bytes, problem: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n' + line + b'\n{"a": 3}\n')
    good, bad, last = read(one(path))
    assert (good.value, last.value) == ({"a": 1}, {"a": 3})
    assert bad.error is not None
    assert problem in str(bad.error)
    assert bad.line == 2


LONG = b'{"messages": [], "x": "\\"' + b"[]{}, " * (1 << 19) + b'"}'
LONG_ROWS = {
    "a.jsonl": (b'{"messages": []}\n%b\n\n{"messages": []}\n%b', {1: False, 2: True, 4: False, 5: True}),
    "a.json": (b'[{"messages": []},\n%b\n,\n{"messages": []},\n%b]', {1: False, 2: True, 4: False, 5: True}),
    "one.json": (b"\n%b", {2: True}),
    "first.json": (b'[%b,\n\n{"messages": []}]', {1: True, 3: False}),
    "a.csv": (b"messages,x\n[],1\n[],%b\n\n[],2\n[],%b", {2: False, 3: True, 5: False, 6: True}),
}
"""Files with rows that are too long, and for each line at which a row starts whether it is."""


def with_long_rows(name: str) -> bytes:
    return LONG_ROWS[name][0].replace(b"%b", LONG.replace(b'"', b"") if name == "a.csv" else LONG)


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("name", LONG_ROWS)
def test_a_row_that_is_too_long_is_rejected_with_its_line_and_size_and_the_others_are_read(
    name: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input_files, "LONGEST_LINE", 1 << 20)
    path = tmp_path / f"{name}{suffix}"
    pack = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[suffix]
    path.write_bytes(pack(with_long_rows(name)))
    found = {row.line: row.error and str(row.error).split("\n")[0] for row in read(one(path))}
    too_long = re.compile("the row is longer than 1 MiB: 3,14[0-9],[0-9]{3} bytes")
    assert {line: bool(error and too_long.fullmatch(error)) for line, error in found.items()} == LONG_ROWS[name][1]


def test_a_line_that_does_not_end_ends_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_files, "LONGEST_LINE", 1 << 20)
    monkeypatch.setattr(input_files, "LONGEST_SKIPPED", 2 << 20)
    for name in LONG_ROWS:
        path = tmp_path / name
        path.write_bytes(with_long_rows(name))
        with pytest.raises(ConversationError, match=rf"{name}:[0-9]: the row is longer than 2 MiB"):
            list(read(one(path)))


def test_a_quoted_value_that_does_not_end_ends_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_files, "LONGEST_LINE", 1 << 20)
    path = tmp_path / "a.csv"
    path.write_text('messages\n"' + "a,b\n" * (1 << 19), encoding="utf-8")
    with pytest.raises(ConversationError, match=r"a.csv:2: the row is longer than 1 MiB") as caught:
        list(read(one(path)))
    assert "quotation mark" in str(caught.value.hint)


def test_an_element_of_a_list_that_is_invalid_inside_is_rejected_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"messages": []},\n{"messages" []},\n{"messages": []}]', encoding="utf-8")
    assert [(row.line, row.error is None) for row in read(one(path))] == [(1, True), (2, False), (3, True)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_row_of_too_many_values_is_rejected_and_commas_in_texts_do_not_count(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    rows = ['{"messages": []}', '{"x": [' + "[]," * (1 << 20) + "1]}", '{"x": "' + "[]," * (1 << 20) + '"}']
    path.write_text("[" + ",".join(rows) + "]" if name == "a.json" else "\n".join(rows), encoding="utf-8")
    good, dense, text = read(one(path))
    assert (good.error, text.error) == (None, None)
    assert str(dense.error).startswith("the row has more than 1,048,576 values")


@pytest.mark.parametrize(
    "line",
    ['{"a": "\\":"}', '{"a\\\\": "\\\\"}', '{"a" :1}', '{"a": "\\ud83d\\ude00"}', '[{"a": {"b": 1.5}}, "x"]', "3"],
)
def test_what_is_strict_json_is_read_as_it_is(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(line, encoding="utf-8")
    [row] = read(one(path))
    assert row.value == json.loads(line)


@pytest.mark.parametrize(
    "text",
    ['{"messages": []}', '[{"role": "user", "content": "x"}]', '[{"from": "human", "value": "x"}]', " 7 "],
)
def test_a_json_file_may_be_one_conversation(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    assert [row.value for row in read(one(path))] == [json.loads(text)]


@pytest.mark.parametrize(
    "bad", ["9" * 5_000, "[" * 300 + "]" * 300, '{"a": ' * 5_000 + "1" + "}" * 5_000, '{"a": 1, "a": 2}']
)
def test_an_element_of_a_list_that_cannot_be_read_is_one_row_with_an_error(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(f'[{{"messages": [], "x": 1}}, {{"messages": {bad}}}, {{"messages": [], "x": "]"}}]')
    good, wrong, last = read(one(path))
    assert (good.value, last.value) == ({"messages": [], "x": 1}, {"messages": [], "x": "]"})
    assert wrong.error is not None


def test_a_json_file_of_lists_of_messages_has_a_conversation_in_each(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[ [{"role": "user"}] ,\n [] ]', encoding="utf-8")
    assert [(row.value, row.line) for row in read(one(path))] == [([{"role": "user"}], 1), ([], 2)]


@pytest.mark.parametrize("text", ['[{"messages": []}', '[{"messages": []},]', '[{"messages": []} {}]', '{"a": 1} x'])
def test_a_json_file_that_is_broken_is_an_error_before_anything_is_encoded(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConversationError, match=r"not JSON|not closed"):
        scan(one(path))


def test_no_more_is_read_than_is_wanted(folder: Path) -> None:
    for name in ("rows.jsonl", "rows.json", "rows.parquet", "rows.jsonl.gz"):
        assert [row.value for row in read(one(folder / name), limit=7)] == RECORDS[:7]
        assert len(scan(one(folder / name), size=500, limit=7).chunks) < 5


def test_the_digest_is_of_the_bytes(folder: Path) -> None:
    for name in ("rows.jsonl", "rows.json", "rows.parquet", "rows.jsonl.zst"):
        path = folder / name
        before = scan(one(path)).digest
        assert scan(one(path), size=10).digest == before
        copy = folder / f"copy-{name}"
        copy.write_bytes(path.read_bytes())
        assert scan(one(copy)).digest == before
    (folder / "rows.jsonl").write_text(LINES.replace("hé 3", "he 3"), encoding="utf-8")
    assert scan(one(folder / "rows.jsonl")).digest != scan(one(folder / "copy-rows.jsonl")).digest


def test_a_pattern_means_its_files_in_order(folder: Path) -> None:
    (folder / "a.jsonl").write_text(LINES, encoding="utf-8")
    assert [Path(file.path).name for file in find_files(f"{folder}/*.jsonl")] == ["a.jsonl", "rows.jsonl"]


def test_a_folder_of_files_of_one_kind_means_them_all(folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in ("b.parquet", "a.parquet", "README.md", ".hidden.jsonl", "dataset_infos.json"):
        (data / name).write_bytes((folder / "rows.parquet").read_bytes())
    assert [Path(file.path).name for file in find_files(str(data))] == ["a.parquet", "b.parquet"]


def test_a_saved_data_set_with_several_splits_asks_for_one(folder: Path) -> None:
    whole = folder / "dict"
    for split in ("train", "test"):
        (whole / split).mkdir(parents=True)
        (whole / split / "state.json").write_text('{"_data_files": [{"filename": "x.arrow"}]}', encoding="utf-8")
    (whole / "dataset_dict.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError, match="several splits: test, train"):
        find_files(str(whole))
    assert [file.path for file in find_files(str(whole / "train"))] == [str(whole / "train" / "x.arrow")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"", "is empty"),
        ("a.jsonl", b"\n \n", "is empty"),
        ("a.json", b" ", "is empty"),
        ("a.json", b"[]", None),
        ("a.jsonl", "x".encode("utf-16"), "is UTF-16"),
        ("a.jsonl", b'[\n {"messages": []}\n]', "begins with JSON over several lines"),
        ("a.jsonl", b'{\n "messages": []\n}', "begins with JSON over several lines"),
        ("a.jsonl.gz", b"not gzip", "cannot read"),
        ("a.jsonl.gz", gzip.compress(LINES.encode())[:-20], "cannot read"),
        ("a.jsonl.zst", b"not zstd", "cannot read"),
        ("a.parquet", b"not parquet", "cannot read"),
        ("a.arrow", b"not arrow at all", "cannot read"),
        ("a.xlsx", b"x", "unknown suffix"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_error(
    tmp_path: Path, name: str, content: bytes, message: str | None
) -> None:
    (tmp_path / name).write_bytes(content)
    if message is None:
        assert [row.value for row in read(one(tmp_path / name))] == [[]]
        return
    with pytest.raises(ChatTmplError, match=message):
        scan(one(tmp_path / name))


def test_a_file_that_is_not_there_is_an_error_with_a_suggestion(folder: Path) -> None:
    with pytest.raises(ConversationError, match=r"no such file(?s:.)*did you mean 'rows.jsonl'"):
        find_files(str(folder / "row.jsonl"))
    with pytest.raises(ConversationError, match="no file matches"):
        find_files(str(folder / "*.csv.jsonl"))
    (folder / "empty").mkdir()
    with pytest.raises(ConversationError, match="contains no data file"):
        find_files(str(folder / "empty"))
    with pytest.raises(UsageError, match="several formats"):
        find_files(str(folder))


def _flushed() -> tuple[bytes, int]:
    """Return a frame of two blocks, and the end of the first."""
    compressor = zstandard.ZstdCompressor().compressobj()
    half = len(LINES) // 2
    first = compressor.compress(LINES[:half].encode()) + compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    return first + compressor.compress(LINES[half:].encode()) + compressor.flush(), len(first)


@pytest.mark.parametrize("whole", [b"", zstandard.compress(LINES.encode())])
def test_a_zst_file_that_was_cut_is_an_error_wherever_it_was_cut(tmp_path: Path, whole: bytes) -> None:
    frame, flushed = _flushed()
    assert len(frame) > 300
    path = tmp_path / "a.jsonl.zst"
    for end in (2, 100, flushed // 2, flushed, flushed + 7, len(frame) - 1):
        path.write_bytes(whole + frame[:end])
        with pytest.raises(ConversationError, match=r"cannot read .*: the file is truncated"):
            scan(one(path))


def test_a_zst_file_of_several_frames_is_read_whole(tmp_path: Path) -> None:
    frame, _ = _flushed()
    path = tmp_path / "a.jsonl.zst"
    # An empty frame, and one to be skipped, stand between the others.
    path.write_bytes(frame + zstandard.compress(b"") + b"\x50\x2a\x4d\x18\x02\0\0\0xx" + frame)
    assert [row.value for row in read(one(path))] == RECORDS * 2


_numbers = st.one_of(st.integers(), st.integers(min_value=10**17), st.floats(allow_nan=False, allow_infinity=False))
_json = st.recursive(
    st.one_of(st.none(), st.booleans(), _numbers, st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)),
    max_leaves=12,
)


def strictly(line: str) -> Any:
    """Return the value of a line by the strict parser, types included."""
    try:
        return repr(parse_value(line, "x.jsonl", 1))
    except ChatTmplError as error:
        return error.message


@given(
    st.lists(st.tuples(_json, st.booleans(), st.sampled_from([(", ", ": "), (",", ":"), (" , ", " : ")])), max_size=5)
)
def test_what_is_read_at_once_is_what_the_strict_reader_reads(given: list[Any]) -> None:
    lines = [json.dumps(value, ensure_ascii=plain, separators=pair) for value, plain, pair in given]
    lines = [line for line in lines if line.encode("utf-8", "replace").decode() == line]
    for line, value in zip(lines, parse_lines([line.encode() for line in lines]), strict=True):
        assert value is UNPARSED or repr(value) == strictly(line)


@pytest.mark.parametrize(
    "line",
    [
        '{"a": 1, "a": 2}',
        '{"b": {"a": 1, "a": 2}, "c": "\\":"}',
        '{"a" : 1, "b": {"c": 1, "c": 2}}',
        '{"a\\\\": 1, "b": 2, "b": 3}',
        '{"n": 123456789012345678901234567890}',
        '{"n": -98765432109876543210}',
        '{"n": NaN}',
        '{"n": 1e400}',
        '{"text": "\\ud800"}',
        '{"text": "cut',
        "[1,]",
        "",
    ],
)
def test_a_line_in_which_readers_may_differ_is_left_and_its_neighbours_are_read(line: str) -> None:
    good = b'{"a": [1, 2.5, "x\\n\\":"], "b": {"a": null}}'
    before, left, behind = parse_lines([good, line.encode(), good])
    assert left is UNPARSED
    assert before == behind == json.loads(good)


def test_numbers_up_to_64_bits_are_read_at_once() -> None:
    assert parse_lines([b"[18446744073709551, -9223372036854775, 0.1234567890123456]"]) == [
        [18446744073709551, -9223372036854775, 0.1234567890123456]
    ]


def test_rows_have_their_lines_and_numbers_whatever_stands_between() -> None:
    data = b"".join(b"\n" * 40 + b'{"n": %d}\n' % number for number in range(3)) + b'{"a": 1, "a": 2}\n{"n": 3}'
    found = list(jsonl_rows(data, Chunk(0, len(data), 7, 5, 1, len(data)), DataFile("x.jsonl", "jsonl")))
    assert [(row.number, row.line) for row in found] == [(7, 41), (8, 82), (9, 123), (10, 124), (11, 125)]
    assert [row.value and row.value["n"] for row in found] == [0, 1, 2, None, 3]
    assert found[3].error is not None


def test_without_orjson_all_lines_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chattmpl.data.sources.json_rows.orjson", None)
    assert parse_lines([b"1", b"2"]) == [UNPARSED, UNPARSED]


# .csv and .tsv

TABLE = [("question", "answer"), ("a, b", "1"), ('say "hi"\nplease', "2"), ("é", ""), ("\t|", "4")]


@pytest.mark.parametrize(("name", "delimiter"), [("rows.csv", ","), ("rows.tsv", "\t"), ("rows.csv.gz", ",")])
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_rows_of_delimited_files_have_the_columns_of_the_first_one(
    tmp_path: Path, name: str, delimiter: str, size: int
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(TABLE)
    data = ("\ufeff" + text.getvalue()).encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    (file,) = find_files(str(tmp_path / name))
    scanned = scan(file, size=size)
    got = [
        row
        for chunk, part in zip(scanned.chunks, stream(file, scanned.chunks), strict=True)
        for row in rows(part, chunk, file)
    ]
    assert [row.value for row in got] == [dict(zip(TABLE[0], [a, b or None], strict=True)) for a, b in TABLE[1:]]
    assert [(row.number, row.line) for row in got] == [(0, 2), (1, 3), (2, 5), (3, 6)]
    assert [row.value for row in read(file, limit=2)] == [row.value for row in got[:2]]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"a,a\n1,2\n", "two columns are named 'a'"),
        (b"prompt;completion\n1;2\n", "separated by semicolons"),
        (b'a,b\n"1,2\n', "not CSV: unexpected end of data"),
        (b"", "is empty"),
        (b"a,b\n", "is empty"),
    ],
)
def test_a_delimited_file_that_cannot_be_read_is_one_clear_error(tmp_path: Path, data: bytes, problem: str) -> None:
    (tmp_path / "rows.csv").write_bytes(data)
    with pytest.raises(ConversationError, match=problem):
        scan(*find_files(str(tmp_path / "rows.csv")))


def test_a_wrong_row_of_a_delimited_file_is_a_row_with_an_error(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"a,b\n1,2\n1,2,3\n\xe9,2\n5,6\n")
    got = list(read(*find_files(str(tmp_path / "rows.csv"))))
    assert [row.value for row in got] == [{"a": "1", "b": "2"}, None, None, {"a": "5", "b": "6"}]
    assert ["3 values for 2 columns" in str(got[1].error), "0xe9 is not UTF-8" in str(got[2].error)] == [True, True]


# JSON in tables, as datasets 5 writes it

MIXED: list[dict[str, Any]] = [
    {
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [{"type": "text", "text": "Yo"}]},
        ],
        "tools": [{"name": "f", "parameters": {"x": {"type": "integer"}}}],
        "note": "plain",
    },
    {"messages": [{"role": "user", "content": "Ho"}], "tools": None, "note": None},
    {
        "messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}]}],
        "tools": [{"name": "g", "parameters": None}],
        "note": '{"not": "decoded"}',
    },
]


def _mixed_schema(kind: Any) -> pa.Schema:
    """Return a schema whose messages and parameters of tools have one type."""
    tool = pa.struct([pa.field("name", pa.string()), pa.field("parameters", kind)])
    columns = {"messages": pa.list_(kind), "tools": pa.list_(tool), "note": pa.string()}
    return pa.schema([pa.field(name, column) for name, column in columns.items()])


def _mixed_table() -> pa.Table:
    """Return the records as a table in which messages and parameters of tools are JSON."""
    stored = [
        {
            "messages": [json.dumps(message) for message in row["messages"]],
            "tools": row["tools"]
            and [
                {**tool, "parameters": tool["parameters"] and json.dumps(tool["parameters"])} for tool in row["tools"]
            ],
            "note": row["note"],
        }
        for row in MIXED
    ]
    return pa.Table.from_pylist(stored, _mixed_schema(pa.string()))


FEATURES = {
    "messages": {"feature": {"_type": "Json"}, "_type": "List"},
    "tools": {"feature": {"name": {"_type": "Value"}, "parameters": {"_type": "Json"}}, "_type": "List"},
}


@pytest.mark.parametrize("stored", ["extension", "features"])
@pytest.mark.parametrize("name", ["rows.parquet", "rows.arrow"])
def test_columns_of_json_are_decoded_at_any_depth(tmp_path: Path, stored: str, name: str) -> None:
    table = _mixed_table()
    if stored == "features":
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": FEATURES}})})
    elif not hasattr(pa, "json_"):
        pytest.skip("this pyarrow has no type for JSON")
    else:
        table = table.cast(_mixed_schema(pa.json_()))
    if name.endswith(".parquet"):
        pq.write_table(table, tmp_path / name)
    else:
        with pa.ipc.new_stream(tmp_path / name, table.schema) as writer:
            writer.write_table(table)
    assert [row.value for row in read(*find_files(str(tmp_path / name)))] == MIXED


def test_what_datasets_writes_is_read_as_it_was(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", minversion="5")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in MIXED), encoding="utf-8")
    made = datasets.load_dataset(
        "json", data_files=str(tmp_path / "rows.jsonl"), split="train", cache_dir=str(tmp_path / "cache")
    )
    made.save_to_disk(str(tmp_path / "saved"))
    made.to_parquet(str(tmp_path / "rows.parquet"))
    for name in ("saved", "rows.parquet"):
        assert [row.value for row in read(*find_files(str(tmp_path / name)))] == list(made)


def test_json_that_is_broken_is_an_error_of_its_row(tmp_path: Path) -> None:
    field = pa.field("messages", pa.string(), metadata={"ARROW:extension:name": "arrow.json"})
    pq.write_table(
        pa.Table.from_pylist([{"messages": "[]"}, {"messages": "[1"}], pa.schema([field])), tmp_path / "x.parquet"
    )
    good, bad = read(*find_files(str(tmp_path / "x.parquet")))
    assert (good.value, good.error, bad.value) == ({"messages": []}, None, {"messages": "[1"})
    assert "not JSON" in str(bad.error)


_PARTS = st.lists(st.sampled_from(["[", "]", "{", "}", '"', "\\", ",", ":", "1", " ", "[]", "{}", '"a"']), max_size=30)


@given(_PARTS, st.integers(1, 7))
def test_the_end_of_a_value_is_where_its_brackets_close(parts: list[str], size: int) -> None:
    text = "[" + "".join(parts)
    depth, in_string, escaped, expected = 0, False, False, -1
    for at, character in enumerate(text):
        if in_string:
            in_string = escaped or character != '"'
            escaped = not escaped and character == "\\"
        else:
            in_string = character == '"'
            depth += (character in "[{") - (character in "]}")
        if not depth and not in_string:
            expected = at + 1
            break
    value, found = json_rows._Value(), -1
    for start in range(0, len(text), size):
        if found < 0 and (end := value.end(text[start : start + size], 0)) >= 0:
            found = start + end
    assert found == expected


def test_an_arrow_file_is_read_within_the_bounds_of_the_command_line(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    table = pa.Table.from_pylist([{"messages": messages}])
    with pa.OSFile(str(tmp_path / "rows.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    done = run_apart(["render", str(tmp_path / "rows.arrow"), "-t", "chatml", "--format", "text"])
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("Ho<|im_end|>\n")
