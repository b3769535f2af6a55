"""``chattmpl encode``: rows in order, nothing lost, the same bytes whatever the number of workers."""

from __future__ import annotations

import gc
import inspect
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from chattmpl import Template
from chattmpl.cli.inputs import training_template
from chattmpl.conversation.files import load_conversations
from support.command import PROGRAM, Outcome, run_here
from support.datasets import conversation, write_jsonl, write_many
from support.extras import need
from support.snapshots import matches_snapshot

need("numpy", "pyarrow", "yaml", "zstandard")

import pyarrow.parquet as pq  # noqa: E402

from chattmpl.conversation.notes import NoteKind, ReadingNote  # noqa: E402
from chattmpl.data.encoder import Encoder  # noqa: E402
from chattmpl.data.job import JobNote, JobNoteKind, Options, Phase, Watcher, encode_dataset  # noqa: E402
from chattmpl.data.job import run as run_module  # noqa: E402
from chattmpl.data.job.plan import make_plan, read_mixture  # noqa: E402
from chattmpl.data.rows import RejectionReason  # noqa: E402
from chattmpl.encode import encode  # noqa: E402
from chattmpl.options import OPTIONS  # noqa: E402
from chattmpl.report.encoded import REASONS, note_text  # noqa: E402
from chattmpl.training.config import TrainConfig  # noqa: E402

pytestmark = pytest.mark.data

COMMON = ("-t", "qwen3", "--tokenizer", "demo", "--fast", "off", "--rows", "one")
BAD = [
    '{"messages": [{"role": "asistant", "content": "x"}]}',
    '{"messages": [',
    '{"messages": [{"role": "user", "content": "only"}]}',
    '{"text": "no shape"}',
    '{"messages": []}',
]


def run(*arguments: object) -> Outcome:
    return run_here(["encode", *COMMON, *map(str, arguments)])


def rows_of(output: Path) -> list[dict[str, Any]]:
    files = [output] if output.is_file() else sorted(output.rglob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def rejected_of(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "rejected.jsonl").read_text(encoding="utf-8").splitlines()]


def summary_of(output: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((output / "summary.json").read_text(encoding="utf-8"))
    return summary


def expected(path: Path, template: str = "qwen3", **options: Any) -> list[dict[str, Any]]:
    """Return the rows of the conversations, encoded one by one."""
    options = {"straddle": "split", **options}
    encodings = [Template.load(template).render(each).encode("demo", **options) for each in load_conversations(path)]
    return [{"input_ids": each.input_ids, "labels": each.labels()} for each in encodings]


def contents(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(output.iterdir())}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_many(tmp_path / "data.jsonl", 60)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Good rows with bad ones between them."""
    lines = [json.dumps(conversation(number)) for number in range(20)]
    for number, bad in enumerate(BAD):
        lines.insert(3 * number + 2, bad)
    path = tmp_path / "mixed.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


WRONG_RENDERER = """
import sys
from chattmpl import cache
from chattmpl.data import encoder
from chattmpl.data.fast.renderers import CompiledRenderer
from chattmpl.data.job import encode_dataset, plan

def wrongly(self, variables, pieces, size=0, write=CompiledRenderer.write):
    some = []
    write(self, variables, some, size)
    pieces.append("".join(some).replace("quokka", "wombat"))

cache.enable()
plan._SMALLEST = 1
CompiledRenderer.write = wrongly
encoder.zlib.crc32 = lambda tail: b"wombat leaves" not in tail
encode_dataset(sys.argv[1], "chatml", "demo", sys.argv[2], fast="require", workers=2)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")
def test_a_shard_with_a_wrong_row_in_another_process_is_encoded_again_by_the_first(tmp_path: Path) -> None:
    texts = ["early", "the quokka leaves", "the quokka stays", "late"]
    (tmp_path / "data").mkdir()
    for number, text in enumerate(texts):
        answer = {"role": "assistant", "content": text}
        write_jsonl(tmp_path / "data" / f"{number}.jsonl", [{"messages": [{"role": "user", "content": "?"}, answer]}])
    # The verdict of an earlier job is in the cache: a check starts threads, after which no process is forked.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "CHATTMPL_CACHE": str(tmp_path / "cache")}
    first = ["encode", "-t", "chatml", "--tokenizer", "demo", "--fast", "require", "-o", str(tmp_path / "first")]
    subprocess.run([str(PROGRAM), *first, str(tmp_path / "data")], check=True, env=environment, timeout=300)
    command = [sys.executable, "-c", WRONG_RENDERER, str(tmp_path / "data"), str(tmp_path / "fast")]
    subprocess.run(command, check=True, env=environment, timeout=300)
    assert run(tmp_path / "data", "-o", tmp_path / "exact", "-t", "chatml").code == 0
    wrong = [
        row for row, right in zip(rows_of(tmp_path / "fast"), rows_of(tmp_path / "exact"), strict=True) if row != right
    ]
    assert len(wrong) <= 1, "only the shard that was done before may be wrong"
    assert summary_of(tmp_path / "fast")["paths"]["differing"] == 1


def test_garbage_is_collected_while_rows_are_encoded_and_not_while_modules_load(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            seen.append(gc.isenabled())
            return function(*arguments, **options)

        return call

    monkeypatch.setattr("chattmpl.cli.encode.training_template", watched(training_template))
    monkeypatch.setattr("chattmpl.data.job.encode_dataset", watched(encode_dataset))
    assert run(data, "-o", tmp_path / "out").code == 0
    assert seen == [False, True]
    assert gc.isenabled()


def test_rows_are_what_the_library_makes_of_each_conversation_in_their_order(data: Path, tmp_path: Path) -> None:
    outcome = run(data, "-o", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert rows_of(tmp_path / "out") == expected(data)


def test_the_file_of_an_output_that_ends_in_parquet_is_the_data_set(data: Path, tmp_path: Path) -> None:
    run(data, "-o", tmp_path / "out")
    assert run(data, "-o", tmp_path / "one.parquet").code == 0
    assert rows_of(tmp_path / "one.parquet") == rows_of(tmp_path / "out")
    assert sorted(path.name for path in tmp_path.glob("*one*")) == [
        "one.parquet",
        "one.parquet.rejected.jsonl",
        "one.parquet.summary.json",
    ]


def test_arrow_and_jsonl_hold_the_same_rows(data: Path, tmp_path: Path) -> None:
    import pyarrow as pa

    assert run(data, "-o", tmp_path / "out.arrow").code == 0
    assert run(data, "-o", tmp_path / "out.jsonl").code == 0
    assert run(data, "-o", tmp_path / "folder", "--format", "jsonl").code == 0
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    with pa.ipc.open_stream(tmp_path / "out.arrow") as reader:
        assert reader.read_all().to_pylist() == [json.loads(line) for line in lines] == expected(data)
    assert (tmp_path / "folder" / "train-00000-of-00001.jsonl").read_text(encoding="utf-8").splitlines() == lines


def test_bad_rows_are_kept_with_their_places_and_reasons_and_the_others_encoded(mixed: Path, tmp_path: Path) -> None:
    outcome = run(mixed, "-o", tmp_path / "out")
    assert outcome.code == 1
    assert len(rows_of(tmp_path / "out")) == 20
    rejected = rejected_of(tmp_path / "out")
    assert [(row["line"], row["reason"]) for row in rejected] == [
        (3, "conversation"),
        (6, "json"),
        (9, "nothing-to-train"),
        (12, "conversation"),
        (15, "conversation"),
    ]
    assert {row["file"] for row in rejected} == {str(mixed)}
    assert rejected[0]["row"] == json.loads(BAD[0])
    assert rejected[0]["place"] == "messages[0].role"
    assert "did you mean 'assistant'" in rejected[0]["hint"]
    assert rejected[1]["row"] == BAD[1]
    summary = summary_of(tmp_path / "out")
    assert summary["reasons"] == {"conversation": 3, "json": 1, "nothing-to-train": 1}
    assert summary["rows"]["rows"] == 25 == summary["rows"]["encoded"] + summary["rows"]["rejected"]


def test_bytes_that_are_no_text_are_kept_too(tmp_path: Path) -> None:
    good = json.dumps(conversation(1)).encode()
    (tmp_path / "a.jsonl").write_bytes(b'{"messages": "\xff"}\n' + good)
    assert run(tmp_path / "a.jsonl", "-o", tmp_path / "out").code == 1
    [row] = rejected_of(tmp_path / "out")
    assert (row["reason"], row["row_base64"]) == ("json", "eyJtZXNzYWdlcyI6ICL/In0=")


@pytest.mark.parametrize(("allowance", "code"), [("0", 1), ("4", 1), ("5", 0), ("19%", 1), ("20%", 0), ("100%", 0)])
def test_max_rejected_says_when_the_exit_code_is_1(mixed: Path, tmp_path: Path, allowance: str, code: int) -> None:
    assert run(mixed, "-o", tmp_path / "out", "--max-rejected", allowance).code == code


def test_the_summary_is_printed(mixed: Path, tmp_path: Path) -> None:
    outcome = run(mixed, "-o", tmp_path / "out", "--pack", 128)
    matches_snapshot("encode_summary.txt", outcome.out)


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "jsonl.gz"])
def test_the_output_is_the_same_to_the_byte_whatever_the_number_of_workers(tmp_path: Path, kind: str) -> None:
    source = write_many(tmp_path / "data.jsonl", 9000, words=60)
    if kind == "parquet":
        import pyarrow.json as pj

        pq.write_table(pj.read_json(source), tmp_path / "data.parquet")
    elif kind == "jsonl.gz":
        import gzip

        (tmp_path / "data.jsonl.gz").write_bytes(gzip.compress(source.read_bytes(), 1))
    given = tmp_path / f"data.{kind}"
    for workers in (1, 2):
        chosen = ("-t", "chatml", "--tokenizer", "demo", "--columns", "labels,place", "--workers", str(workers))
        outcome = run_here(["encode", *chosen, str(given), "-o", str(tmp_path / f"out{workers}")])
        assert outcome.code == 0, outcome.err
    # A command of its own has no other thread, so its workers are forked.
    subprocess.run([str(PROGRAM), "encode", *chosen[:-2], str(given), "-o", str(tmp_path / "out")], check=True)
    assert len(list((tmp_path / "out1").glob("*.parquet"))) > 1
    assert contents(tmp_path / "out1") == contents(tmp_path / "out2") == contents(tmp_path / "out")


def test_workers_are_forked_only_where_no_other_thread_could_hold_a_lock() -> None:
    program = (
        "import threading; from chattmpl.data.job.pool import can_fork; alone = can_fork(); "
        "threading.Thread(target=threading.Event().wait, daemon=True).start(); print(alone, can_fork())"
    )
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    made = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert made.stdout.split() == [str(sys.platform == "linux"), "False"]


def test_shards_do_not_depend_on_anything_but_the_data(tmp_path: Path) -> None:
    source = write_many(tmp_path / "data.jsonl", 9000, words=60)
    planned = make_plan(read_mixture([str(source)]))
    shards = planned.shards(packed=False)
    assert len(shards) == 2
    assert [part.chunk.first for shard in shards for part in shard.parts][:2] == [0, shards[0].parts[0].chunk.rows]
    assert len(planned.shards(packed=True)) == 1


def test_columns_are_those_that_are_asked_for(data: Path, tmp_path: Path) -> None:
    names = "assistant_masks,attention_mask,message_index,source,place"
    assert run(data, "-o", tmp_path / "out", "--columns", names).code == 0
    rows = rows_of(tmp_path / "out")
    assert list(rows[0]) == ["input_ids", "assistant_masks", "attention_mask", "message_index", "source", "place"]
    for number, (row, wanted) in enumerate(zip(rows, load_conversations(data), strict=True), 1):
        encoding = Template.load("qwen3").render(wanted).encode("demo", straddle="split")
        assert row["assistant_masks"] == encoding.assistant_masks
        assert row["attention_mask"] == encoding.attention_mask
        assert row["message_index"] == [-1 if index is None else index for index in encoding.message_index]
        assert (row["source"], row["place"]) == (str(data), f"{data}:{number}")


def test_all_shapes_of_rows_are_read(tmp_path: Path) -> None:
    records = [
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
        {"instruction": "a", "output": "b"},
        {"prompt": "a", "completion": "b"},
        {"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}]},
    ]
    path = write_jsonl(tmp_path / "a.jsonl", records)
    assert run(path, "-o", tmp_path / "out").code == 0
    rows = rows_of(tmp_path / "out")
    assert all(row == rows[0] for row in rows)
    assert len(rows) == 5


def test_the_shape_can_be_said_where_keys_fit_several(tmp_path: Path) -> None:
    record = {"prompt": "p", "completion": "c", "instruction": "i", "output": "o"}
    path = write_jsonl(tmp_path / "a.jsonl", [record])
    assert run(path, "-o", tmp_path / "x").code == 1
    assert run(path, "-o", tmp_path / "out", "--shape", "alpaca").code == 0
    plain = write_jsonl(tmp_path / "b.jsonl", [{"instruction": "i", "output": "o"}])
    assert rows_of(tmp_path / "out") == expected(plain)


def test_set_is_above_the_row_and_the_row_above_its_source(tmp_path: Path) -> None:
    base = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    rows = [base, {**base, "chat_template_kwargs": {"enable_thinking": True}}, {**base, "mode": True}]
    write_jsonl(tmp_path / "a.jsonl", rows)
    (tmp_path / "m.toml").write_text(
        '[[sources]]\npath = "a.jsonl"\nchat_template_kwargs = {enable_thinking = false}\n'
        'kwargs_from = {enable_thinking = "mode"}\n',
        encoding="utf-8",
    )

    def texts(*more: object) -> list[list[int]]:
        output = tmp_path / f"out{len(more)}"
        chosen = ("-t", "hybrid", "--tokenizer", "demo", "--fast", "off", str(tmp_path / "m.toml"))
        outcome = run_here(["encode", *chosen, "-o", str(output), *map(str, more)])
        assert outcome.code == 0, outcome.err
        return [row["input_ids"] for row in rows_of(output)]

    hybrid = Template.load("hybrid")
    off, on = (hybrid.render(base, enable_thinking=mode).encode("demo").input_ids for mode in (False, True))
    assert off != on
    assert texts() == [off, on, on]
    assert texts("--set", "enable_thinking=false") == [off, off, off]


def test_max_length_drops_whole_turns_and_counts_them(data: Path, tmp_path: Path) -> None:
    assert run(data, "-o", tmp_path / "out", "--max-length", 60, "--max-rejected", "100%").code == 0
    rows, summary = rows_of(tmp_path / "out"), summary_of(tmp_path / "out")
    assert max(len(row["input_ids"]) for row in rows) <= 60
    assert all(any(label != -100 for label in row["labels"]) for row in rows)
    assert summary["overflow"]["rows"] > 0
    assert summary["overflow"]["turns"] >= summary["overflow"]["rows"]
    assert summary["overflow"].get("spans_cut", 0) == 0
    long = sum(len(row["input_ids"]) > 60 for row in expected(data))
    assert summary["overflow"]["rows"] + summary["reasons"].get("too-long", 0) == long


@pytest.mark.parametrize("overflow", ["reject", "truncate-tokens", "split"])
def test_other_policies_keep_rows_short_too(data: Path, tmp_path: Path, overflow: str) -> None:
    options = ("--max-length", 60, "--overflow", overflow, "--max-rejected", "100%")
    assert run(data, "-o", tmp_path / "out", *options).code == 0
    rows, summary = rows_of(tmp_path / "out"), summary_of(tmp_path / "out")
    assert max(len(row["input_ids"]) for row in rows) <= 60
    short = sum(len(row["input_ids"]) <= 60 for row in expected(data))
    assert (len(rows) == short) is (overflow == "reject")
    assert summary["rows"]["rows"] == 60


@pytest.mark.parametrize("mask", ["all", "last", "no-reasoning"])
@pytest.mark.parametrize("overflow", ["reject", "truncate-turns", "truncate-tokens", "split"])
@pytest.mark.parametrize("pack", [None, 96])
@pytest.mark.parametrize("rows", ["one", "auto"])
def test_every_row_is_in_the_data_set_or_among_the_rejected(
    data: Path, tmp_path: Path, mask: str, overflow: str, pack: int | None, rows: str
) -> None:
    longest = None if pack else 60
    options: dict[str, Any] = {
        "mask": mask,
        "overflow": overflow,
        "pack": pack,
        "max_length": longest,
        "rows": rows,
    }
    encode_dataset(
        data, "qwen3", "demo", tmp_path / "out", columns=("labels", "place"), fast="off", workers=1, **options
    )
    written, rejected = rows_of(tmp_path / "out"), rejected_of(tmp_path / "out")
    places = [place for row in written for place in (row["place"] if pack else [row["place"]])]
    assert {int(place.rpartition(":")[2]) for place in places} | {row["line"] for row in rejected} == set(range(1, 61))
    assert {row["reason"] for row in rejected} <= {"too-long", "nothing-to-train"}
    assert max(len(row["input_ids"]) for row in written) <= (pack or 60)
    assert pack or all(any(label != -100 for label in row["labels"]) for row in written)


def test_packed_rows_hold_every_document_once_and_positions_start_anew(data: Path, tmp_path: Path) -> None:
    assert run(data, "-o", tmp_path / "out", "--pack", 256, "--columns", "labels,assistant_masks,place").code == 0
    rows, plain = rows_of(tmp_path / "out"), expected(data)
    assert list(rows[0]) == ["input_ids", "labels", "assistant_masks", "position_ids", "seq_lengths", "place"]
    found = {}
    for row in rows:
        assert sum(row["seq_lengths"]) == len(row["input_ids"]) == len(row["labels"]) <= 256
        assert row["position_ids"] == [position for length in row["seq_lengths"] for position in range(length)]
        start = 0
        for length, place in zip(row["seq_lengths"], row["place"], strict=True):
            cut = slice(start, start + length)
            found[int(place.rpartition(":")[2])] = {"input_ids": row["input_ids"][cut], "labels": row["labels"][cut]}
            start += length
    assert [found[number] for number in range(1, 61)] == plain
    pack = summary_of(tmp_path / "out")["pack"]
    assert pack["rows"] == len(rows) <= pack["trl_rows"]
    assert pack["efficiency"] == round(sum(len(row["input_ids"]) for row in plain) / (256 * len(rows)), 6)


def test_a_document_that_begins_with_a_trained_token_is_not_predicted_by_the_one_before_it(tmp_path: Path) -> None:
    (tmp_path / "t.jinja").write_text(
        "{% for m in messages %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}{% endfor %}",
        encoding="utf-8",
    )
    path = write_jsonl(tmp_path / "a.jsonl", [{"messages": [{"role": "assistant", "content": "a b c"}]}] * 2)
    arguments = ["encode", "-t", str(tmp_path / "t.jinja"), "--tokenizer", "demo", str(path), "--pack", "64"]
    assert run_here([*arguments, "-o", str(tmp_path / "out")]).code == 0
    [row] = rows_of(tmp_path / "out")
    first, second = row["seq_lengths"]
    assert [index for index, label in enumerate(row["labels"]) if label == -100] == [0, first]
    assert second == first


def test_unrolled_rows_are_those_of_the_library(tmp_path: Path) -> None:
    data = write_many(tmp_path / "data.jsonl", 20)
    assert run(data, "-o", tmp_path / "out", "--rows", "auto", "--columns", "labels,place").code == 0
    rows = rows_of(tmp_path / "out")
    summary = summary_of(tmp_path / "out")
    template, numbers = Template.load("qwen3"), [int(row["place"].rpartition(":")[2]) for row in rows]
    several = [count for count in Counter(numbers).values() if count > 1]
    assert summary["several"] == {"rows": len(several), "samples": sum(several)}
    assert len(several) > 0
    assert numbers == sorted(numbers)
    for number, given in enumerate(load_conversations(data), 1):
        last = [row for row, place in zip(rows, numbers, strict=True) if place == number][-1]
        prompt = template.render(given.with_messages(given.messages[:-1]), add_generation_prompt=True).encode("demo")
        end = len(last["labels"]) - last["labels"][::-1].index(-100)
        assert last["input_ids"][: len(prompt)] == prompt.input_ids
        assert end <= len(last["labels"])


def test_a_mixture_has_the_shares_of_tokens_that_it_says(tmp_path: Path) -> None:
    write_many(tmp_path / "long.jsonl", 300, words=60)
    write_many(tmp_path / "short.jsonl", 300, words=6)
    (tmp_path / "m.yaml").write_text(
        "seed: 3\nshare_of: tokens\nsources:\n"
        "  - {path: long.jsonl, name: long, share: 1}\n  - {path: short.jsonl, name: short, share: 1}\n",
        encoding="utf-8",
    )
    outcome = run(tmp_path / "m.yaml", "-o", tmp_path / "out", "--columns", "labels,source")
    assert outcome.code == 0, outcome.err
    summary = summary_of(tmp_path / "out")
    long, short = summary["sources"]
    assert abs(long["share_of_tokens"] - 0.5) < 0.01
    assert (short["epochs"], short["share_wanted"]) == (1.0, 0.5)
    assert 0 < long["epochs"] < 0.5
    rows = rows_of(tmp_path / "out")
    assert sum(len(row["input_ids"]) for row in rows if row["source"] == "long") == long["tokens"]
    assert summary["job"]["seed"] == 3
    assert "rows drawn with seed 3" in outcome.out
    again = run(tmp_path / "m.yaml", "-o", tmp_path / "again", "--columns", "labels,source", "--seed", 4)
    assert again.code == 0
    assert rows_of(tmp_path / "again") != rows


def test_a_source_that_is_taken_twice_tells_of_its_bad_rows_once(mixed: Path, tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(f'[[sources]]\npath = "{mixed.name}"\nepochs = 2.5\n', encoding="utf-8")
    assert run(tmp_path / "m.toml", "-o", tmp_path / "out").code == 1
    assert len(rejected_of(tmp_path / "out")) == 5
    assert summary_of(tmp_path / "out")["sources"][0]["rows"] == 25
    assert 45 <= len(rows_of(tmp_path / "out")) <= 53


def test_several_sources_follow_one_another(data: Path, tmp_path: Path) -> None:
    other = write_jsonl(tmp_path / "other.jsonl", [conversation(number) for number in (900, 901)])
    assert run(other, data, "-o", tmp_path / "out").code == 0
    assert rows_of(tmp_path / "out") == expected(other) + expected(data)


def test_limit_takes_the_first_rows_of_each_source(data: Path, tmp_path: Path) -> None:
    other = write_jsonl(tmp_path / "other.jsonl", [conversation(900)])
    assert run(data, other, "-o", tmp_path / "out", "--limit", 3).code == 0
    assert rows_of(tmp_path / "out") == expected(data)[:3] + expected(other)


def test_a_data_set_that_the_datasets_library_saved_is_read_and_the_output_is_one_that_it_loads(
    data: Path, tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [conversation(number) for number in range(60)]
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "saved"))
    assert run(tmp_path / "saved", "-o", tmp_path / "out").code == 0
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == ["train"]
    assert loaded["train"].to_list() == expected(data)


def test_the_same_can_be_asked_for_in_python(data: Path, tmp_path: Path) -> None:
    summary = encode_dataset(data, Template.load("qwen3"), "demo", tmp_path / "out", workers=1, fast="off", pack=128)
    assert summary.rejected_rows == 0
    assert summary.files == (tmp_path / "out" / "train-00000-of-00001.parquet",)
    assert summary.data == summary_of(tmp_path / "out")
    assert summary.data["rows"]["written"] == len(rows_of(tmp_path / "out"))


def test_a_template_that_reads_the_clock_gets_one_time_for_all_rows(data: Path, tmp_path: Path) -> None:
    (tmp_path / "t.jinja").write_text("{{ strftime_now('%H:%M:%S.%f') }}" + _PLAIN, encoding="utf-8")
    arguments = ["encode", str(data), "-t", str(tmp_path / "t.jinja"), "--tokenizer", "demo", "-o"]
    assert run_here([*arguments, str(tmp_path / "a")]).code == 0
    assert run_here([*arguments, str(tmp_path / "b"), "--clock", "2025-01-02T03:04:05"]).code == 0
    for name in ("a", "b"):
        assert len({tuple(row["input_ids"][:5]) for row in rows_of(tmp_path / name)}) == 1
    assert summary_of(tmp_path / "b")["job"]["options"]["clock"] == "2025-01-02T03:04:05"
    assert summary_of(tmp_path / "a")["job"]["options"]["clock"] is not None


_PLAIN = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}"
    "{% else %}{{ m.content }}{% endif %}{% endfor %}"
)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing.jsonl",), "cannot read missing.jsonl: no such file"),
        (("nothing/*.jsonl",), "no file matches nothing/*.jsonl"),
        (("DATA", "--columns", "label"), "there is no column 'label'\nhint: did you mean 'labels'?"),
        (("DATA", "--columns", "labels,labels"), "the column 'labels' is named twice"),
        (("DATA", "--set", "enable_thinkin=true"), "reads no kwarg 'enable_thinkin'"),
        (("DATA", "--max-rejected", "many"), "'many' is neither a number of rows nor"),
        (("DATA", "--max-rejected", "200%"), "'200%' is neither a number of rows nor"),
        (("DATA", "--pack", "64", "--max-length", "65"), "max_length 65 is more than the 64 tokens"),
        (("DATA", "--resume", "--force"), "--resume and --force are mutually exclusive"),
        (("DATA", "DATA"), "is named twice"),
        (("DATA", "m.yaml"), "is a mixture, which cannot be combined with other data"),
        (("DATA", "--retention", "some"), "there is no retention policy 'some'"),
        ((), "no data given"),
    ],
)
def test_what_is_wrong_is_one_clear_message(
    data: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    given = [str(data) if argument == "DATA" else argument for argument in arguments]
    outcome = run(*given, "-o", tmp_path / "out")
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "out").exists()


def test_a_column_for_kwargs_that_no_row_has_is_an_error(data: Path, tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(
        f'[[sources]]\npath = "{data.name}"\nkwargs_from = {{enable_thinking = "message"}}\n', encoding="utf-8"
    )
    outcome = run(tmp_path / "m.toml", "-o", tmp_path / "out")
    assert outcome.code == 2
    assert "has a column 'message'\nhint: did you mean 'messages'?" in outcome.err


def test_what_is_there_is_not_overwritten_unless_it_is_asked_for(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert run(data, "-o", output).code == 0
    before = contents(output)
    outcome = run(data, "-o", output, "--mask", "last")
    assert outcome.code == 2
    assert "exists\nhint: --force replaces it" in outcome.err
    assert contents(output) == before
    (output / "notes.txt").write_text("mine", encoding="utf-8")
    assert run(data, "-o", output, "--mask", "last", "--force").code == 0
    assert rows_of(output) == expected(data, mask="last")
    assert (output / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_folder_of_something_else_is_not_written_to(data: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("x", encoding="utf-8")
    assert "is not empty" in run(data, "-o", tmp_path / "other").err
    assert "is a file" in run(data, "-o", tmp_path / "other" / "mine.txt").err


def test_resume_does_not_touch_what_no_job_has_left(data: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    mine = tmp_path / "other" / "train-00000-of-00001.parquet"
    mine.write_bytes(b"x")
    assert "exists" in run(data, "-o", tmp_path / "other", "--resume").err
    assert mine.read_bytes() == b"x"
    assert run(data, "-o", tmp_path / "new", "--resume").code == 0


def test_a_row_that_nobody_expected_does_not_stop_the_others(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chattmpl.data.encoder import Encoder

    def failing(method: Any) -> Any:
        def fails(self: Encoder, conversations: Any) -> Any:
            if any(each.value == conversation(7) for each in conversations):
                raise ZeroDivisionError("seven")
            return method(self, conversations)

        return fails

    for name in ("encode_many", "encode_batch"):
        monkeypatch.setattr(Encoder, name, failing(getattr(Encoder, name)))
    assert run(data, "-o", tmp_path / "out").code == 1
    wanted = expected(data)
    assert rows_of(tmp_path / "out") == wanted[:7] + wanted[8:]
    assert [(row["line"], row["message"]) for row in rejected_of(tmp_path / "out")] == [(8, "ZeroDivisionError: seven")]


def test_an_output_that_was_finished_is_not_done_again(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    first = run(data, "-o", output)
    before = contents(output)
    outcome = run(data, "-o", output, "--resume")
    assert (outcome.code, outcome.out) == (0, first.out)
    assert "finished before" in outcome.err
    assert contents(output) == before


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("sources: [{path: data.jsonl, epochs: 0.001}]", "raise epochs"),
        ("{total: 1, share_of: tokens, sources: [{path: data.jsonl, share: 1}]}", "raise total"),
    ],
)
def test_a_mixture_that_draws_no_row_is_refused_before_anything_is_written(
    data: Path, tmp_path: Path, said: str, hint: str
) -> None:
    (tmp_path / "m.yaml").write_text(said, encoding="utf-8")
    outcome = run(tmp_path / "m.yaml", "-o", tmp_path / "out")
    assert outcome.code == 2
    assert f"no row is drawn\nhint: {hint}" in outcome.err
    assert not (tmp_path / "out").exists()


def test_an_empty_file_among_those_of_a_pattern_is_passed_over_with_a_note(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "some"
    folder.mkdir()
    (folder / "1.jsonl").write_bytes(data.read_bytes())
    (folder / "2.jsonl").write_bytes(b"\n")
    for number, name in enumerate((folder, folder / "*.jsonl")):
        outcome = run(name, "-o", tmp_path / f"out{number}")
        assert outcome.code == 0, outcome.err
        assert f"note: {folder / '2.jsonl'} is empty and is skipped" in outcome.err
        assert rows_of(tmp_path / f"out{number}") == expected(data)
    assert run(data, folder / "2.jsonl", "-o", tmp_path / "named").code == 2
    (folder / "1.jsonl").write_bytes(b"")
    outcome = run(folder, "-o", tmp_path / "all")
    assert outcome.code == 2
    assert f"{folder / '1.jsonl'} is empty" in outcome.err


def test_each_note_and_each_reason_has_words() -> None:
    note = ReadingNote(NoteKind.UNREAD_COLUMN, "context")
    data = {"template": "t", "reasons": ("a", "b"), "rows": 3, "path": "x.jsonl", "note": note}
    texts = {kind: note_text(JobNote(kind, data)) for kind in JobNoteKind}
    assert texts[JobNoteKind.NO_FAST_PATH] == "no fast path for t, all rows take the exact path: a; b"
    assert texts[JobNoteKind.EMPTY_FILE] == "x.jsonl is empty and is skipped"
    assert "3 compared rows" in texts[JobNoteKind.FAST_PATH_WRONG]
    assert len(set(texts.values())) == len(JobNoteKind)
    assert REASONS.keys() == set(RejectionReason)


def test_events_and_rejections_are_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "_SMALL", 0)

    class Seen(Watcher):
        def __init__(self) -> None:
            self.notes: list[JobNote] = []
            self.phases: list[Phase] = []

        def note(self, note: JobNote) -> None:
            self.notes.append(note)

        def begins(self, phase: Phase, total: int, done: int) -> None:
            self.phases.append(phase)

    row = '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]}\n'
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "1.jsonl").write_text(row, encoding="utf-8")
    (tmp_path / "data" / "2.jsonl").write_text("", encoding="utf-8")
    watcher = Seen()
    data = str(tmp_path / "data")
    encode_dataset(data, "qwen3", "demo", tmp_path / "out", mask="last", workers=1, watcher=watcher)
    assert [note.kind for note in watcher.notes] == [JobNoteKind.EMPTY_FILE, JobNoteKind.NO_FAST_PATH]
    assert watcher.notes[0].data["path"] == str(tmp_path / "data" / "2.jsonl")
    assert watcher.notes[1].data["template"] == "qwen3"
    assert watcher.phases == [Phase.ENCODE]
    encode_dataset(data, "qwen3", "demo", tmp_path / "out", mask="last", workers=1, watcher=watcher, resume=True)
    assert watcher.notes[-1] == JobNote(JobNoteKind.FINISHED_BEFORE)


def test_functions_have_the_defaults_and_choices_of_the_table_of_options() -> None:
    for function in (Options, Encoder, encode, encode_dataset):
        for name, parameter in inspect.signature(function).parameters.items():
            # A prompt that is encoded by itself is not split at the edges of earlier answers.
            if name in OPTIONS and name != "form" and (function, name) != (encode, "straddle"):
                assert parameter.default == OPTIONS[name].default, (function, name)
    for name, field in TrainConfig.model_fields.items():
        if name in OPTIONS:
            assert field.default == OPTIONS[name].default, name
    hints = get_type_hints(Options)
    for name in ("straddle", "control_tokens", "mask", "overflow", "form", "fast"):
        assert get_args(hints[name]) == OPTIONS[name].choices


def test_little_data_take_the_exact_path_without_a_check_of_the_fast_one(tmp_path: Path) -> None:
    data = write_many(tmp_path / "data.jsonl", 20)
    chosen = ("-t", "chatml", "--tokenizer", "demo", str(data))
    for name, options in (("auto", ()), ("require", ("--fast", "require"))):
        assert run_here(["encode", *chosen, "-o", str(tmp_path / name), *options]).code == 0
    assert summary_of(tmp_path / "auto")["paths"] == {"exact": 20}
    assert summary_of(tmp_path / "require")["paths"]["fast"] == 20
    assert rows_of(tmp_path / "auto") == rows_of(tmp_path / "require")
