"""Mixtures: what their files say, and draws that give exactly the shares, by seed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattmpl.errors import UsageError
from support.extras import need

need("numpy", "yaml")

import numpy as np  # noqa: E402

from chattmpl.data.mixture import (  # noqa: E402
    ALL_KEYS,
    Available,
    Draw,
    Mixture,
    MixtureSource,
    check_mixture,
    draw_rows,
    key_bound,
    load_mixture,
    row_keys,
)

pytestmark = pytest.mark.data

YAML = """
seed: 7
share_of: tokens
total: 5000
chat_template_kwargs: {system_override: false}
sources:
  - path: think/*.jsonl
    name: think
    share: 3
    chat_template_kwargs: {enable_thinking: true}
  - path: [a.jsonl, b.parquet]
    name: plain
    share: 1.5
    shape: sharegpt
    kwargs_from: {enable_thinking: thinking}
"""
TOML = """
seed = 7
share_of = "tokens"
total = 5000
chat_template_kwargs = {system_override = false}
[[sources]]
path = "think/*.jsonl"
name = "think"
share = 3
chat_template_kwargs = {enable_thinking = true}
[[sources]]
path = ["a.jsonl", "b.parquet"]
name = "plain"
share = 1.5
shape = "sharegpt"
kwargs_from = {enable_thinking = "thinking"}
"""


def taken(mixture: Mixture, source: int, draw: Draw, rows: int) -> list[int]:
    """Return how often each row of a source is drawn."""
    found = np.zeros(rows, dtype=int)
    for below in draw.rounds:
        if below == ALL_KEYS:
            found += 1
        else:
            found += row_keys(mixture.seed, mixture.sources[source].name, 0, rows) < np.uint64(below)
    return [int(count) for count in found]


def mixture(*sources: dict[str, object], **said: object) -> Mixture:
    named = [MixtureSource(path="x", name=str(index), **source) for index, source in enumerate(sources)]  # type: ignore[arg-type]
    return Mixture(sources=named, **said)  # type: ignore[arg-type]


def test_yaml_and_toml_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(YAML, encoding="utf-8")
    (tmp_path / "m.toml").write_text(TOML, encoding="utf-8")
    read = load_mixture(tmp_path / "m.yaml")
    assert read == load_mixture(tmp_path / "m.toml")
    assert (read.seed, read.share_of, read.total) == (7, "tokens", 5000)
    assert read.sources[1].kwargs_from == {"enable_thinking": "thinking"}


def test_paths_are_relative_to_the_file_of_the_mixture(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(YAML, encoding="utf-8")
    assert load_mixture(tmp_path / "m.yaml").sources[1].paths == [
        str(tmp_path / "a.jsonl"),
        str(tmp_path / "b.parquet"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "sources: [{path: a, shar: 1}]",
            r"m.yaml:1:21: unknown key sources\[0\].shar\n(?s:.)*hint: did you mean 'share'",
        ),
        ("source: []", r"m.yaml has no sources\nhint: as in"),
        ("", r"m.yaml has no sources"),
        ("sources: []", r"m.yaml:1:1: sources is \[\], not a list of at least one source"),
        ("sources: [{name: a}]", r"m.yaml:1:11: sources\[0\] has no path"),
        ("sources: [a]", r"m.yaml:1:11: sources\[0\] is \"a\", not a mapping such as {path: a.jsonl}"),
        ("sources: [{path: 3}]", r"m.yaml:1:12: sources\[0\].path is 3, not a path, or a list of paths"),
        ("sources: [{path: []}]", r"m.yaml:1:12: sources\[0\].path names no file"),
        ("sources: [{path: ''}]", r"m.yaml:1:12: sources\[0\].path is an empty path"),
        ("sources: [{path: [a, '']}]", r"sources\[0\].path is an empty path"),
        ("sources: [{path: a, share: 0}]", r"m.yaml:1:21: sources\[0\].share is 0, not a number above 0"),
        ("sources: [{path: a, share: x}]", r"sources\[0\].share is \"x\", not a number above 0"),
        ("sources: [{path: a, share: '3'}]", r"sources\[0\].share is \"3\", not a number above 0"),
        ("sources: [{path: a, share: true}]", r"sources\[0\].share is true, not a number above 0"),
        ("sources: [{path: a, share: 1, share: 2}]", r"m.yaml:1:31: duplicate key share"),
        ("seed: 1\nsources: [{path: a}]\nseed: 2", r"m.yaml:3:1: duplicate key seed"),
        ("sources: [{path: a, shape: sharegp}]", r"sources\[0\].shape is \"sharegp\", not one of .*sharegpt"),
        ("share_of: words\nsources: [{path: a}]", r"m.yaml:1:1: share_of is \"words\", not tokens or examples"),
        ("sources: [{path: a, share: 1}, {path: b}]", "b has none"),
        ("sources: [{path: a, share: 1, epochs: 2}]", "a has a share and epochs"),
        ("sources: [{path: a}, {path: x/a}]", "two sources are named 'a'"),
        ("sources: [{path: a, max_epochs: 2}]", "max_epochs without a share"),
        ("total: 5\nsources: [{path: a}]", "a total needs shares"),
        ("sources: [", "this is not YAML"),
        ("3", "m.yaml is not a mapping\nhint: as in 'sources: "),
    ],
)
def test_what_a_mixture_says_wrongly_is_one_clear_error(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        load_mixture(path)


def test_a_source_of_toml_is_told_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text('[[sources]]\npath = "a"\n[[sources]]\npath = ""\n', encoding="utf-8")
    with pytest.raises(UsageError, match=r"m.toml:4:1: sources\[1\].path is an empty path"):
        load_mixture(tmp_path / "m.toml")


@pytest.mark.parametrize("path", ["", []])
def test_a_mixture_made_in_python_names_files_too(path: str | list[str]) -> None:
    with pytest.raises(UsageError, match=r"here: sources\[0\].path"):
        check_mixture(Mixture(sources=[MixtureSource(path=path, name="x")]), "here")


@pytest.mark.parametrize(
    ("source", "said", "rows", "hint"),
    [
        ({"epochs": 0.001}, {}, Available(100), "raise epochs"),
        ({"share": 1}, {"total": 1, "share_of": "tokens"}, Available(3, np.array([0, 90, 90])), "raise total"),
        ({"share": 1, "max_epochs": 0.001}, {}, Available(100), "raise max_epochs"),
    ],
)
def test_a_draw_of_nothing_is_an_error(
    source: dict[str, object], said: dict[str, object], rows: Available, hint: str
) -> None:
    with pytest.raises(UsageError, match=f"no row is drawn\nhint: {hint}"):
        draw_rows(mixture(source, **said), [rows])


def test_a_mixture_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        load_mixture(tmp_path / "m.toml")


def test_shares_of_examples_are_exact() -> None:
    mixed = mixture({"share": 3}, {"share": 1})
    found = draw_rows(mixed, [Available(600), Available(1000)])
    counts = [
        sum(taken(mixed, index, draw, rows)) for index, (draw, rows) in enumerate(zip(found, (600, 1000), strict=True))
    ]
    assert counts == [600, 200]


def test_without_a_total_nothing_is_repeated_and_one_source_is_taken_whole() -> None:
    mixed = mixture({"share": 1}, {"share": 1}, {"share": 2})
    found = draw_rows(mixed, [Available(50), Available(500), Available(500)])
    assert found[0] == Draw(1, 0)
    assert max(taken(mixed, 1, found[1], 500)) == 1


def test_a_total_repeats_what_is_too_small() -> None:
    mixed = mixture({"share": 1}, {"share": 1}, total=1000)
    found = draw_rows(mixed, [Available(200), Available(2000)])
    first = taken(mixed, 0, found[0], 200)
    assert (set(first), sum(first)) == ({2, 3}, 500)
    assert sum(taken(mixed, 1, found[1], 2000)) == 500


def test_shares_of_tokens_are_met_to_within_a_row() -> None:
    rng = np.random.default_rng(0)
    tokens = [rng.integers(1, 4000, 3000), rng.integers(1, 100, 9000)]
    mixed = mixture({"share": 1}, {"share": 2}, share_of="tokens")
    found = draw_rows(mixed, [Available(len(some), some) for some in tokens])
    got = [int(np.dot(taken(mixed, i, found[i], len(tokens[i])), tokens[i])) for i in (0, 1)]
    assert got[1] == tokens[1].sum()
    assert abs(got[0] - got[1] / 2) <= 2000


def test_a_source_may_not_be_repeated_more_than_it_says() -> None:
    with pytest.raises(UsageError, match=r"would be repeated 5.00 times, and its max_epochs is 2"):
        draw_rows(mixture({"share": 1, "max_epochs": 2}, {"share": 1}, total=1000), [Available(100), Available(1000)])
    mixed = mixture({"share": 1, "max_epochs": 2}, {"share": 1})
    assert draw_rows(mixed, [Available(100), Available(1000)])[0] == Draw(2, 0)


def test_a_source_that_gives_nothing_cannot_have_a_share() -> None:
    with pytest.raises(UsageError, match="gives no tokens"):
        draw_rows(mixture({"share": 1}, share_of="tokens"), [Available(3, np.zeros(3, dtype=np.int64))])


def test_epochs_take_a_source_so_often() -> None:
    mixed = mixture({"epochs": 2.5}, {"epochs": 0.25}, {})
    found = draw_rows(mixed, [Available(100), Available(100), Available(100)])
    assert [sum(taken(mixed, index, draw, 100)) for index, draw in enumerate(found)] == [250, 25, 100]


def test_another_seed_draws_other_rows_and_the_same_seed_the_same() -> None:
    def rows(seed: int) -> list[int]:
        mixed = mixture({"epochs": 0.5}, seed=seed)
        return taken(mixed, 0, draw_rows(mixed, [Available(100)])[0], 100)

    assert rows(1) == rows(1)
    assert rows(1) != rows(2)
    assert sum(rows(1)) == sum(rows(2)) == 50


@given(st.integers(0, 2**31), st.text(), st.integers(1, 3000), st.data())
def test_any_number_of_rows_can_be_drawn_exactly(seed: int, name: str, rows: int, data: st.DataObject) -> None:
    goal = data.draw(st.integers(0, rows))
    below = key_bound(seed, name, Available(rows), goal)
    drawn = rows if below == ALL_KEYS else int((row_keys(seed, name, 0, rows) < np.uint64(below)).sum())
    assert drawn == goal


@given(st.integers(0, 100), st.integers(0, 1000), st.integers(1, 200))
def test_the_key_of_a_row_does_not_depend_on_the_rows_around_it(seed: int, first: int, count: int) -> None:
    assert row_keys(seed, "x", 0, first + count)[first:].tolist() == row_keys(seed, "x", first, count).tolist()


def test_a_mixture_of_the_caller_is_checked_too() -> None:
    with pytest.raises(UsageError, match="some sources have a share"):
        check_mixture(mixture({"share": 1}, {}), "the mixture")
