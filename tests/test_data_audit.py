"""``chattmpl audit`` and `chattmpl.data.audit.audit`: reports in every format, from files, data sets and rows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from chattmpl.errors import ConversationError, UsageError
from support import ROOT
from support.command import Outcome, run_here
from support.datasets import conversation, write_jsonl, write_many
from support.extras import need
from support.fetched import sarif_schema
from support.snapshots import matches_snapshot

need("numpy", "pyarrow", "yaml", "zstandard")

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from chattmpl.data.audit import AuditError, AuditReport, audit  # noqa: E402

pytestmark = pytest.mark.data

COMMON = ("-t", "qwen3", "--tokenizer", "demo", "--fast", "off")
ROWS: list[Any] = [
    {"messages": [{"role": "system", "content": None}, {"role": "user", "content": "Hi"}, {"role": "assistant"}]},
    {
        "messages": [
            {"role": "user", "content": "What is <|im_end|>?"},
            {"role": "assistant", "content": "A token.", "reasoning_content": "Easy."},
        ],
        "chat_template_kwargs": {"enable_thinking": False},
    },
    {
        "messages": [
            {"role": "user", "content": "One"},
            {"role": "assistant", "content": "1", "reasoning_content": "First."},
            {"role": "user", "content": "Two"},
            {"role": "assistant", "content": "2", "reasoning_content": "Second."},
        ]
    },
    {"messages": [{"role": "asistant", "content": "Hi"}]},
]


def run(*arguments: object) -> Outcome:
    return run_here(["audit", *COMMON, *map(str, arguments)])


def look(data: Any, **options: Any) -> AuditReport:
    return audit(data, "qwen3", "demo", fast="off", **options)


@pytest.fixture
def bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "good.jsonl", [conversation(number) for number in range(1, 12, 2)])
    write_jsonl(tmp_path / "bad.jsonl", [*ROWS, ROWS[2]])
    return Path("bad.jsonl")


@pytest.mark.parametrize("form", ["text", "json", "sarif"])
def test_findings_are_told_in_every_format(bad: Path, form: str) -> None:
    done = run(bad, "good.jsonl", "--max-length", 40, "--format", form)
    assert (done.code, done.err) == (1, "")
    matches_snapshot(f"audit_{form}.txt", re.sub(r'"version": "\d+\.\d+\.\d+"', '"version": "X"', done.out))


@pytest.mark.upstream
def test_sarif_is_what_its_schema_says(bad: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(json.loads(run(bad, "--format", "sarif").out), sarif_schema())


def test_all_is_well_is_said_and_ends_with_0(tmp_path: Path) -> None:
    rows = [conversation(number) for number in range(1, 9, 2)]
    done = run(write_jsonl(tmp_path / "good.jsonl", rows), "--retention", "all")
    assert done.code == 0
    assert (
        re.fullmatch(r"no findings in 4 rows, \d+ tokens\n", done.out.splitlines(keepends=True)[-1])
        or "note" in done.out
    )


def test_notes_alone_do_not_fail(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "plain.jsonl", [{"messages": conversation(0)["messages"][:2]}])
    done = run(path)
    assert done.code == 0
    assert "info AU302" in done.out


def test_the_exit_code_can_be_kept_at_0(bad: Path) -> None:
    assert run(bad, "--exit-zero").code == 0


def test_kinds_can_be_selected_and_ignored(bad: Path) -> None:
    done = run(bad, "--select", "AU2,AU109", "--ignore", "AU109", "--format", "json")
    assert {found["code"] for found in json.loads(done.out)["findings"]} == {"AU201"}


def test_what_is_tolerated_is_a_note(bad: Path) -> None:
    done = run(bad, "--select", "AU201", "--tolerate", "AU201=50%")
    assert done.code == 0
    assert run(bad, "--select", "AU201", "--tolerate", "system-empty=1%").code == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no data given"),
        (("bad.jsonl", "--select", "AU999"), "there is no check 'AU999'"),
        (("bad.jsonl", "--tolerate", "AU101"), "expected CODE=P%"),
        (("bad.jsonl", "--tolerate", "AU999=1%"), "there is no check 'AU999'"),
        (("none.jsonl",), "cannot read none.jsonl"),
        (("--explain", "AU999"), "there is no check"),
    ],
)
@pytest.mark.usefixtures("bad")
def test_what_is_asked_wrongly_is_said_in_one_message(arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_kind_is_explained() -> None:
    done = run_here(["audit", "--explain", "AU102"])
    assert done.code == 0
    assert done.out.startswith("# AU102 stop-not-trained (error)\n")
    assert len(run_here(["audit", "--explain", "all"]).out.splitlines()) > 30
    assert run_here(["rule", "AU102"]).out == done.out


def test_an_example_names_file_and_line(bad: Path) -> None:
    bad.write_text("\n" + bad.read_text())
    (finding,) = look([str(bad)], select=["AU201"])
    assert [(example.place, example.number) for example in finding.examples] == [("bad.jsonl:2", 0)]


def test_so_many_examples_are_named_as_asked_for(bad: Path) -> None:
    (finding,) = look([str(bad), "good.jsonl"], select=["AU304"], examples=2, rows="one")
    assert finding.count == 6
    assert [example.place for example in finding.examples] == ["bad.jsonl:3", "bad.jsonl:5"]
    assert finding.sources == {"bad.jsonl": 2, "good.jsonl": 4}


def test_rows_files_tables_and_datasets_give_the_same_findings(tmp_path: Path) -> None:
    rows = [conversation(number) for number in range(1, 40, 2)]
    rows[3:3] = [rows[0]]
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, tmp_path / "data.parquet")
    path = write_jsonl(tmp_path / "data.jsonl", rows)

    def counts(data: Any) -> list[tuple[str, str, int, int]]:
        return [(one.code, one.key, one.count, one.amount) for one in look(data)]

    expected = counts(rows)
    assert ("AU602", "", 1, 1) in expected
    assert counts(str(path)) == counts(tmp_path / "data.parquet") == counts({"a": rows}) == expected
    datasets = pytest.importorskip("datasets")
    assert counts(datasets.Dataset(table)) == expected


def test_a_report_can_be_asked_from_a_test() -> None:
    report = look([ROWS[0]])
    assert report.failed
    assert report.of("AU201") == report.of("system-empty")
    assert report.count("AU2") == 1
    with pytest.raises(AssertionError, match=r"AU201 .* is None: 1 \(100.0%\) \(data\[0\]\)"):
        report.raise_if("warning")
    report.raise_if("error", ignore=["AU1"])
    report.raise_if("warning", ignore=["AU201", "AU108"])


def test_the_error_of_a_report_is_one_of_ours_too() -> None:
    with pytest.raises(AuditError, match="hint: "):
        look([ROWS[0]]).raise_if()


def test_workers_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chattmpl.data.job.plan._SMALLEST", 8_000)  # so that there are several shards
    paths = [str(write_many(tmp_path / f"{name}.jsonl", 60)) for name in "ab"]
    one = look(paths, workers=1, select=["AU1", "AU3", "AU6"], max_length=60)
    two = look(paths, workers=2, select=["AU1", "AU3", "AU6"], max_length=60)
    assert one == two
    assert one.count("AU602") == 60


def test_a_sample_is_spread_and_the_same_each_time(tmp_path: Path) -> None:
    path = str(write_many(tmp_path / "data.jsonl", 400))
    some = look(path, sample=50, select=["AU302"], examples=50)
    assert some.rows == 50
    assert some == look(path, sample=50, select=["AU302"], examples=50)
    lines = [int(example.place.rpartition(":")[2]) for finding in some for example in finding.examples]
    assert max(lines) - min(lines) > 200
    rows = [conversation(number) for number in range(400)]
    assert look(rows, sample=50).rows == 50


def test_a_mixture_is_looked_at_once_and_its_shares_as_drawn(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [conversation(number) for number in range(10)])
    write_jsonl(tmp_path / "b.jsonl", [conversation(number, 400) for number in range(10, 20)])
    mixture = tmp_path / "mix.yaml"
    mixture.write_text("sources:\n- {path: a.jsonl, epochs: 9}\n- {path: b.jsonl, epochs: 1}\n")
    report = look(str(mixture), select=["AU601", "AU602"])
    assert report.rows == 20
    (shares,) = [one for one in report if one.key == "b.jsonl"]
    assert shares.message.endswith("and 10.0% of the examples")
    assert report.of("AU602") == ()


def test_kwargs_of_a_source_ask_for_a_mode(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [conversation(1)])
    mixture = tmp_path / "mix.toml"
    mixture.write_text('[[sources]]\npath = "a.jsonl"\nchat_template_kwargs = { enable_thinking = false }\n')
    assert look(str(mixture), select=["AU301"]).count("AU301") == 1
    assert len(look(str(tmp_path / "a.jsonl"), select=["AU301"])) == 0


def test_nothing_to_look_at_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConversationError, match="the data have no rows"):
        look([])
    with pytest.raises(UsageError, match="is not a dataset"):
        look(7)
    with pytest.raises(UsageError, match="the rows of 'a' are str"):
        look({"a": "data.jsonl"})
    with pytest.raises(UsageError, match="max_length must be at least 1"):
        look(ROWS, max_length=0)


def test_the_page_lists_every_kind_and_its_example_runs(bad: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "audit.md").read_text(encoding="utf-8")
    listed = run_here(["audit", "--explain", "all"]).out
    for code, name in re.findall(r"^  (AU\d{3}) \w+ +([\w-]+):", listed, re.MULTILINE):
        assert re.search(rf"\| {code} \| {name} \|", page), f"{code} is not on the page"
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert blocks
    for block in blocks:
        space: dict[str, Any] = {}
        exec(block, space)
        for name, test in list(space.items()):
            if name.startswith("test_"):
                test()
