"""``chattmpl stats``: each figure as an independent computation gives it, in every format."""

from __future__ import annotations

import csv
import io
import itertools
import json
import random
import re
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattmpl.errors import ConversationError
from support import ROOT
from support.command import Outcome, run_here
from support.datasets import conversation, write_jsonl, write_many
from support.extras import need
from support.snapshots import matches_snapshot

need("numpy", "pyarrow", "yaml", "zstandard")

import numpy as np  # noqa: E402

from chattmpl.data.encoder import Encoder, Row  # noqa: E402
from chattmpl.data.job import encode_dataset  # noqa: E402
from chattmpl.data.lengths import (  # noqa: E402
    best_fit,
    histogram,
    packed_rows,
    padded_random,
    padded_sorted,
    percentile,
)
from chattmpl.data.reasoning_mode import has_reasoning_in_content  # noqa: E402
from chattmpl.data.stats import stats  # noqa: E402
from chattmpl.encode.mask import _THINK_TAG  # noqa: E402
from chattmpl.report.stats import CSV_COLUMNS  # noqa: E402

pytestmark = pytest.mark.data

COMMON = ("-t", "qwen3", "--tokenizer", "demo", "--fast", "off")
LENGTHS = st.lists(st.integers(1, 50), min_size=1, max_size=40)
BATCH = st.integers(1, 9)


def run(*arguments: object) -> Outcome:
    return run_here(["stats", *COMMON, *map(str, arguments)])


def figures(data: Any, **options: Any) -> dict[str, Any]:
    return stats(data, "qwen3", "demo", fast="off", **options).to_dict()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    write_many(tmp_path / "short.jsonl", 30)
    write_jsonl(tmp_path / "long.jsonl", [conversation(number, 60) for number in range(30, 50)])
    return ["short.jsonl", "long.jsonl"]


def test_the_figures_are_those_of_each_row_by_itself(data: list[str]) -> None:
    rows = [conversation(number) for number in range(30)]
    encodings = Encoder("qwen3", "demo", fast="off").encode_rows(rows)
    think = [len(row) for number, some in enumerate(encodings) if number % 2 for row in cast(list[Row], some)]
    trained = [row.trained for some in encodings for row in cast(list[Row], some)]
    tokens = [len(row) for some in encodings for row in cast(list[Row], some)]
    told = figures(data)
    short, long = told["sources"]
    assert (short["source"], short["examples"], short["tokens"]) == ("short.jsonl", 30, sum(tokens))
    assert short["share_of_examples"] == 0.6
    assert short["share_of_tokens"] == round(sum(tokens) / (sum(tokens) + long["tokens"]), 6)
    assert short["response_tokens"] == short["supervised_tokens"] == sum(trained)
    assert short["context_tokens"] == sum(tokens) - sum(trained)
    assert short["rows"] == len(tokens) > 30
    assert short["mean_tokens"] == round(sum(tokens) / len(tokens), 6)
    assert short["mean_response_tokens"] == round(sum(trained) / len(tokens), 6)
    assert short["supervised_share"] == round(sum(trained) / sum(tokens), 6)
    assert short["mean_turns"] == round(sum(len(row["messages"]) for row in rows) / 30, 6)
    assert short["mean_assistant_turns"] == pytest.approx(short["mean_turns"] / 2)
    assert (short["min"], short["max"]) == (min(tokens), max(tokens))
    for percent in (50, 90, 95, 99):
        assert short[f"p{percent}"] == round(float(np.percentile(tokens, percent)), 6)
    group = next(each for each in told["groups"] if (each["source"], each["mode"]) == ("short.jsonl", "think"))
    assert (group["examples"], group["rows"], group["tokens"]) == (15, len(think), sum(think))


def test_parts_add_up_to_the_total(data: list[str]) -> None:
    told = figures(data)
    for name in ("examples", "rows", "tokens", "context_tokens", "response_tokens", "supervised_tokens"):
        for parts in ("sources", "modes", "groups"):
            assert sum(part[name] for part in told[parts]) == told["total"][name]
    assert sum(bar["rows"] for bar in told["histogram"]) == told["total"]["rows"]
    assert sum(bar["tokens"] for bar in told["histogram"]) == told["total"]["tokens"]
    assert all(sum(bar["modes"].values()) == bar["rows"] for bar in told["histogram"])


@pytest.mark.parametrize("options", [{}, {"rows": "one"}, {"mask_from": "tags"}, {"mask": "last"}])
def test_rows_and_tokens_are_those_that_encode_writes(data: list[str], options: dict[str, Any]) -> None:
    told = figures(data, **options)["total"]
    counts = encode_dataset(data, "qwen3", "demo", "out", fast="off", **options).data["rows"]
    assert told["rows"] == counts["samples"]
    assert (told["tokens"], told["supervised_tokens"]) == (counts["tokens"], counts["trained"])


def test_the_mode_of_a_row_is_what_its_data_show() -> None:
    user, plain = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
    traced, inside = {**plain, "thinking": "r"}, {**plain, "content": "<think>r</think>b"}
    blank = {**plain, "reasoning_content": " "}
    rows = {
        "think": [[user, traced], [user, inside, user, traced]],
        "no-think": [[user, plain], [user, blank], [user, {**plain, "content": "<think>\n</think>b"}]],
        "mixed": [[user, plain, user, traced]],
    }
    for mode, conversations in rows.items():
        told = figures([{"messages": messages} for messages in conversations])
        assert [(group["mode"], group["examples"]) for group in told["groups"]] == [(mode, len(conversations))]


def test_what_is_sampled_and_not_trained_is_a_response_and_not_supervised() -> None:
    row = conversation(2)
    free = figures([row])["total"]
    row["messages"][1]["train"] = False
    flagged = figures([row])["total"]
    assert flagged["response_tokens"] == free["response_tokens"] == free["supervised_tokens"]
    assert 0 <= flagged["supervised_tokens"] < free["supervised_tokens"]
    last = figures([conversation(2)], mask="last")["total"]
    assert last["response_tokens"] == free["response_tokens"]
    assert last["supervised_tokens"] <= free["supervised_tokens"]


def test_rows_that_cannot_be_encoded_are_told_and_not_counted(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [conversation(1), {"messages": [{"role": "asistant"}]}, {"x": 1}])
    told = figures(str(path))
    assert told["total"]["examples"] == 1
    assert told["rejected"] == {"rows": 2, "reasons": {"conversation": 2}, "sources": {str(path): 2}}
    printed = run(path).out
    assert "2 rows cannot be encoded and are not counted: 2 not a conversation; chattmpl audit names them" in printed


@given(LENGTHS, st.integers(0, 100))
def test_percentiles_are_those_of_numpy(lengths: list[int], percent: int) -> None:
    assert percentile(Counter(lengths), percent) == pytest.approx(np.percentile(lengths, percent))


@given(LENGTHS)
def test_each_length_is_in_one_bar(lengths: list[int]) -> None:
    bars = histogram(Counter(lengths))
    assert sum(bar.rows for bar in bars) == len(lengths)
    assert all(before.end == after.start for before, after in itertools.pairwise(bars))
    assert bars[0].rows > 0 < bars[-1].rows


@given(LENGTHS, BATCH)
def test_sorted_batches_are_padded_to_their_longest(lengths: list[int], size: int) -> None:
    ordered = sorted(lengths, reverse=True)
    batches = [ordered[first : first + size] for first in range(0, len(ordered), size)]
    assert padded_sorted(Counter(lengths), size) == sum(max(batch) * len(batch) for batch in batches)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 6))
def test_random_batches_are_the_mean_over_all_orders(lengths: list[int], size: int) -> None:
    orders = list(itertools.permutations(lengths))
    padded = [
        sum(max(order[first : first + size]) * len(order[first : first + size]) for first in range(0, len(order), size))
        for order in orders
    ]
    assert padded_random(Counter(lengths), size) == pytest.approx(sum(padded) / len(padded))


@given(LENGTHS, st.integers(1, 64))
def test_packing_takes_as_many_rows_as_best_fit_decreasing(lengths: list[int], size: int) -> None:
    assert packed_rows(Counter(lengths), size) == len(best_fit([min(length, size) for length in lengths], size))


def test_many_lengths_are_packed_as_one_by_one() -> None:
    choose = random.Random(7)
    lengths = [min(2048, int(choose.lognormvariate(5, 1)) + 1) for _ in range(5000)]
    assert packed_rows(Counter(lengths), 2048) == len(best_fit(lengths, 2048))


def test_padding_is_told_for_the_sizes_that_are_asked_for(data: list[str]) -> None:
    told = figures(data, batch_sizes=(1, 4), pack=64)["padding"]
    assert [batch["batch_size"] for batch in told["batches"]] == [1, 4]
    assert (told["batches"][0]["random"], told["batches"][0]["sorted"]) == (0.0, 0.0)
    assert told["packed"]["size"] == 64
    assert told["packed"]["cut_rows"] > 0 < told["packed"]["cut_tokens"]


@pytest.mark.parametrize("form", ["text", "markdown", "csv", "json"])
def test_figures_are_told_in_every_format(data: list[str], form: str) -> None:
    done = run(*data, "--format", form)
    assert (done.code, done.err) == (0, "")
    matches_snapshot(f"stats_{form}.txt", done.out)


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_its_terminal(data: list[str], width: int) -> None:
    from chattmpl.report.lines import plain
    from chattmpl.report.stats import lines

    text = plain(lines(figures(data), width))
    assert max(map(len, text.splitlines())) <= width


def test_csv_and_json_hold_the_same_figures(data: list[str]) -> None:
    told = json.loads(run(*data, "--format", "json").out)
    rows = list(csv.DictReader(io.StringIO(run(*data, "--format", "csv").out)))
    assert len(rows) == len(told["groups"]) + len(told["sources"]) + len(told["modes"]) + 1
    assert rows[-1]["tokens"] == str(told["total"]["tokens"])
    assert rows[0]["mean_tokens"] == str(told["groups"][0]["mean_tokens"])


@pytest.mark.parametrize("name", ["out.md", "out.csv", "out.json", "out.txt"])
def test_a_file_says_its_format(data: list[str], name: str) -> None:
    assert run(*data, "-o", name).out == ""
    text = Path(name).read_text(encoding="utf-8")
    begins = {"out.md": "| source", "out.csv": "source,mode", "out.json": "{", "out.txt": "template qwen3"}
    assert text.startswith(begins[name])


def test_a_plot_is_drawn_as_svg(data: list[str]) -> None:
    Path("<b>&.jsonl").write_text(Path("long.jsonl").read_text())
    assert run("short.jsonl", "<b>&.jsonl", "--plot", "out.svg").code == 0
    root = ElementTree.fromstring(Path("out.svg").read_text(encoding="utf-8"))
    texts = [element.text for element in root.iter() if element.tag.endswith("}text")]
    assert "<b>&.jsonl" in texts
    assert "60.0% of examples" in texts


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no data given"),
        (("short.jsonl", "--plot", "out.gif"), "out.gif is not an SVG file\nhint: plots are SVG"),
        (("short.jsonl", "--plot", "out.png"), "out.png is not an SVG file\nhint: plots are SVG"),
        (("short.jsonl", "-o", "out.xyz"), "out.xyz: unknown format .xyz"),
        (("none.jsonl",), "cannot read none.jsonl"),
    ],
)
@pytest.mark.usefixtures("data")
def test_what_is_asked_wrongly_is_said_in_one_message(arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert said in done.err


def test_nothing_to_count_is_an_error() -> None:
    with pytest.raises(ConversationError, match="the data have no rows"):
        figures([])


def test_rows_in_memory_and_in_files_are_counted_alike(data: list[str]) -> None:
    rows = [conversation(number) for number in range(30)]
    assert figures({"short.jsonl": rows}) == figures(data[:1])


def test_workers_change_nothing(data: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chattmpl.data.job.plan._SMALLEST", 4_000)  # so that there are several shards
    assert figures(data, workers=2) == figures(data, workers=1)


def test_the_fast_path_counts_the_same(data: list[str]) -> None:
    need("gigatoken")
    assert stats(data, "qwen3", "demo", fast="require").to_dict() == figures(data)


def test_a_mixture_is_counted_as_it_is_drawn(data: list[str]) -> None:
    mixture = Path("mix.yaml")
    mixture.write_text(
        "total: 60\nsources:\n- {path: short.jsonl, name: a, share: 2}\n- {path: long.jsonl, name: b, share: 1}\n"
    )
    told = figures(str(mixture))
    assert [(source["source"], source["examples"]) for source in told["sources"]] == [("a", 40), ("b", 20)]
    both = "- {path: short.jsonl, name: a, share: 1}\n- {path: long.jsonl, name: b, share: 1}\n"
    mixture.write_text(f"share_of: tokens\nsources:\n{both}")
    assert figures(str(mixture))["sources"][0]["share_of_tokens"] == pytest.approx(0.5, abs=0.05)


def test_the_example_of_the_page_runs() -> None:
    page = (ROOT / "docs" / "how-to" / "stats.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(block, {})


def test_the_page_defines_every_figure() -> None:
    page = (ROOT / "docs" / "how-to" / "stats.md").read_text(encoding="utf-8")
    for name in CSV_COLUMNS:
        assert f"`{name}`" in page, name


@pytest.mark.parametrize("option", ["-o", "--plot"])
@pytest.mark.parametrize("given", ["a.svg.json", "*.svg.json", "m.yaml"])
def test_what_is_counted_is_not_replaced(data: list[str], option: str, given: str) -> None:
    content = json.dumps([conversation(0)])
    Path("a.svg.json").write_text(content, encoding="utf-8")
    Path("m.yaml").write_text("sources: [{path: a.svg.json}]", encoding="utf-8")
    Path("link.svg").symlink_to("a.svg.json")
    name = "link.svg" if option == "--plot" else str(Path.cwd() / "a.svg.json")
    done = run(given, option, name)
    assert done.code == 2
    assert f"{name} is an input and would be replaced" in done.err
    assert Path("a.svg.json").read_text(encoding="utf-8") == content


def test_one_row_is_told_as_one(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "one.jsonl", [conversation(0), {"text": "no shape"}])
    told = run(path, "--rows", "one", "--pack", "2").out
    assert "1 row cannot be encoded and is not counted" in told
    assert re.search(r"packed to 2 tokens: 1 row,", told)
    assert "1 longer row counted as 2 tokens each" in told


@pytest.mark.parametrize(
    "text", ["<think>" * 100_000, "<think> " * 100_000 + "</think>", "<think></think>" * 50_000, "<thinkthink" * 50_000]
)
def test_markers_of_reasoning_are_found_in_linear_time(text: str) -> None:
    start = time.process_time()
    found = has_reasoning_in_content({"role": "assistant", "content": text})
    assert found == (text.count("<think>") > text.count("</think>") == 1)
    assert not list(_THINK_TAG.finditer("<" + "think" * 100_000))
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<think>a</think>b", True),
        ("<think>\n\n</think>\n\n<think>a</think>", True),
        ("<think>\n\n</think>b", False),
        ("<think>a", False),
        ("a</think>", False),
    ],
)
def test_reasoning_in_content_is_text_between_its_markers(text: str, found: bool) -> None:
    assert has_reasoning_in_content({"role": "assistant", "content": text}) is found
