"""``chattmpl encode --force`` replaces what an earlier job wrote, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.command import Outcome, run_here
from support.datasets import write_many
from support.extras import need

need("numpy", "pyarrow", "yaml", "zstandard")

pytestmark = pytest.mark.data

COMMON = ("-t", "qwen3", "--tokenizer", "demo", "--fast", "off")


def run(*arguments: object) -> Outcome:
    return run_here(["encode", *COMMON, *map(str, arguments)])


@pytest.mark.parametrize("name", ["rows.jsonl", "./rows.jsonl"])
def test_a_file_that_is_read_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_many(tmp_path / "rows.jsonl", 3)
    before = (tmp_path / "rows.jsonl").read_bytes()
    outcome = run(name, "-o", "rows.jsonl", "--force")
    assert outcome.code == 2
    assert "rows.jsonl is an input and would be replaced\nhint: name another output" in outcome.err
    assert (tmp_path / "rows.jsonl").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_folder_that_is_read_keeps_its_files(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    write_many(rows, 3)
    assert run(rows, "-o", tmp_path / "data").code == 0
    kept = {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir()}
    outcome = run(tmp_path / "data" / "train-00000-of-00001.parquet", "-o", tmp_path / "data", "--force")
    assert outcome.code == 2
    assert {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir()} == kept


def test_a_folder_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    write_many(tmp_path / "rows.jsonl", 3)
    (tmp_path / "keep.arrow").mkdir()
    (tmp_path / "keep.arrow" / "thesis.txt").write_text("x")
    outcome = run(tmp_path / "rows.jsonl", "-o", tmp_path / "keep.arrow", "--force")
    assert outcome.code == 2
    assert "keep.arrow is a folder" in outcome.err
    assert (tmp_path / "keep.arrow" / "thesis.txt").read_text() == "x"


def test_a_file_is_not_taken_for_a_folder(tmp_path: Path) -> None:
    write_many(tmp_path / "rows.jsonl", 3)
    (tmp_path / "mine").write_text("x")
    outcome = run(tmp_path / "rows.jsonl", "-o", tmp_path / "mine", "--force")
    assert outcome.code == 2
    assert "mine is a file" in outcome.err


@pytest.mark.parametrize("name", ["rejected.jsonl", "train-00000-of-00001.parquet"])
def test_files_of_the_same_names_that_no_job_wrote_are_not_removed(tmp_path: Path, name: str) -> None:
    write_many(tmp_path / "rows.jsonl", 3)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_text("mine")
    outcome = run(tmp_path / "rows.jsonl", "-o", tmp_path / "data", "--force")
    assert outcome.code == 2
    assert f"{name} was not written by an earlier job" in outcome.err
    assert (tmp_path / "data" / name).read_text() == "mine"


def test_what_an_earlier_job_wrote_is_replaced(tmp_path: Path) -> None:
    rows, output = tmp_path / "rows.jsonl", tmp_path / "data"
    write_many(rows, 3)
    assert run(rows, "-o", output).code == 0
    write_many(rows, 5)
    assert run(rows, "-o", output, "--force").code == 0
    assert run(rows, "-o", tmp_path / "one.parquet").code == 0
    assert run(rows, "-o", tmp_path / "one.parquet", "--force").code == 0
