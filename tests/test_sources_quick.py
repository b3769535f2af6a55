"""Lines that are read many at once give what the strict reader gives, or are left to it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.extras import need

need("numpy", "orjson", "pyarrow")

from chattmpl.data.sources import Chunk, DataFile  # noqa: E402
from chattmpl.data.sources.json_rows import UNPARSED, jsonl_rows, parse_lines, parse_value  # noqa: E402
from chattmpl.errors import ChatTmplError  # noqa: E402

pytestmark = pytest.mark.data

_numbers = st.one_of(st.integers(), st.integers(min_value=10**17), st.floats(allow_nan=False, allow_infinity=False))
_json = st.recursive(
    st.one_of(st.none(), st.booleans(), _numbers, st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)),
    max_leaves=12,
)


def told(line: str) -> Any:
    """What the strict reader makes of a line, types included."""
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
        assert value is UNPARSED or repr(value) == told(line)


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
