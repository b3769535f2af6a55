"""Whatever a row causes, at whatever stage, is the rejection of that row: all others come out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.extras import need

need("numpy", "pyarrow")

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

import chattmpl.data.encoder  # noqa: E402
import chattmpl.data.exact_path  # noqa: E402
import chattmpl.data.job.shard  # noqa: E402
import chattmpl.data.sources.json_rows  # noqa: E402
from chattmpl import Encoder  # noqa: E402
from chattmpl.data.audit import audit  # noqa: E402
from chattmpl.data.audit.row_view import RowView  # noqa: E402
from chattmpl.data.job import encode_dataset  # noqa: E402
from chattmpl.data.rows import Rejection  # noqa: E402
from chattmpl.data.stats import stats  # noqa: E402
from chattmpl.errors import BudgetError, UsageError  # noqa: E402
from chattmpl.template.template import Template  # noqa: E402

pytestmark = pytest.mark.data

ROWS, BAD = 20, 7
MARK = "the bad row"
ERRORS = (
    MemoryError(),
    RecursionError("too deep"),
    BudgetError("too long"),
    OverflowError("too large"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
    ValueError("wrong"),
    KeyError("missing"),
    UsageError("no such kwarg"),
    AssertionError("a bug"),
)
STAGES: dict[str, tuple[Any, str]] = {
    "reading": (chattmpl.data.sources.json_rows, "parse_value"),
    "validating": (chattmpl.data.job.shard, "conversation_of"),
    "preparing": (chattmpl.data.encoder, "prepare_row"),
    "rendering": (Template, "render"),
    "encoding": (chattmpl.data.exact_path, "encode"),
}


def row(number: int) -> dict[str, Any]:
    said = MARK if number == BAD else f"question {number}"
    return {"messages": [{"role": "user", "content": said}, {"role": "assistant", "content": f"answer {number}"}]}


def broken(real: Callable[..., Any], error: Exception) -> Callable[..., Any]:
    """A function that raises for the bad row."""

    def fails(*given: Any, **more: Any) -> Any:
        if any(MARK in (one.text if hasattr(one, "text") and hasattr(one, "spans") else repr(one)) for one in given):
            raise error
        return real(*given, **more)

    return fails


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row(number)) + "\n" for number in range(ROWS)), encoding="utf-8")
    return path


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("stage", STAGES)
def test_an_error_at_any_stage_of_a_row_rejects_that_row(
    stage: str, error: Exception, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name = STAGES[stage]
    if stage == "reading":
        monkeypatch.setattr(owner, "parse_lines", lambda lines: [owner.UNPARSED] * len(lines))
    monkeypatch.setattr(owner, name, broken(getattr(owner, name), error))
    # The exact path reads what the fast path cannot prepare.
    good = ROWS if stage == "preparing" else ROWS - 1
    for fast in ("auto", "off") if stage == "preparing" else ("off",):
        summary = encode_dataset(data, "chatml", "demo", tmp_path / fast, workers=1, fast=fast, force=True)
        assert summary.data["rows"]["written"] == good
        assert summary.rejected_rows == ROWS - good
    counted = stats(data, "chatml", "demo", fast="off").to_dict()
    assert (counted["total"]["examples"], counted["rejected"]["rows"]) == (good, ROWS - good)
    found = audit(data, "chatml", "demo", fast="off")
    assert (found.rows, found.encoded) == (ROWS, good)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_while_a_row_is_audited_rejects_that_row(
    error: Exception, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = RowView.trained_turns

    def fails(view: RowView) -> Any:
        if MARK in view.text:
            raise error
        return real(view)

    monkeypatch.setattr(RowView, "trained_turns", fails)
    found = audit(data, "chatml", "demo")
    assert (found.rows, found.encoded) == (ROWS, ROWS - 1)


@pytest.mark.parametrize("fast", ["auto", "off"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_encoder_rejects_the_row_that_raises(error: Exception, fast: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder("chatml", "demo", fast=fast).prepare()
    for module, name in ((chattmpl.data.encoder, "prepare_row"), (chattmpl.data.exact_path, "encode")):
        monkeypatch.setattr(module, name, broken(getattr(module, name), error))
    results = encoder.encode_many(map(row, range(ROWS)))
    assert [number for number, one in enumerate(results) if isinstance(one, Rejection)] == [BAD]


def test_an_error_of_the_iterator_of_conversations_is_no_error_of_a_row() -> None:
    def given() -> Any:
        yield row(0)
        raise MemoryError("no memory")

    for fast in ("auto", "off"):
        with pytest.raises(MemoryError, match="no memory"):
            Encoder("chatml", "demo", fast=fast).encode_many(given())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_value_of_a_table_that_python_does_not_have_rejects_its_row(tmp_path: Path, workers: int) -> None:
    words = pa.array([row(n)["messages"][0]["content"].encode() for n in range(ROWS)], pa.binary()).to_pylist()
    words[BAD] = b"\xff\xfe"
    content = pa.Array.from_buffers(pa.string(), ROWS, pa.array(words, pa.binary()).buffers())
    roles = pa.array(["assistant"] * ROWS)
    turns = pa.StructArray.from_arrays([roles, content], ["role", "content"])
    messages = pa.ListArray.from_arrays(pa.array(range(ROWS + 1), pa.int32()), turns)
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"messages": messages}), path)
    summary = encode_dataset(path, "chatml", "demo", tmp_path / "out", workers=workers)
    assert (summary.data["rows"]["written"], summary.rejected_rows) == (ROWS - 1, 1)


def test_bytes_that_are_not_utf8_reject_one_element_of_a_json_list(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    text = json.dumps([row(number) for number in range(ROWS)])
    path.write_bytes(text.encode().replace(MARK.encode(), b"caf\xe9"))
    summary = encode_dataset(path, "chatml", "demo", tmp_path / "out")
    assert (summary.data["rows"]["written"], summary.rejected_rows) == (ROWS - 1, 1)
    rejected = json.loads(summary.rejected.read_text(encoding="utf-8"))
    assert rejected["index"] == BAD
    assert "0xe9" in rejected["message"]
