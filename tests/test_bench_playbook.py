"""The playbook: its parts without training, and one comparison of few steps from end to end."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support import ROOT

sys.path.append(str(ROOT / "bench"))

import playbook
from playbook_parts.alterations import DIALOGUES, LABELS, drop_system
from playbook_parts.experiment import Claim, Experiment, all_experiments
from playbook_parts.page import write
from playbook_parts.plan import MIX, SIZES, Config, base
from playbook_parts.statistics import Estimate, difference, estimate, verdict
from playbook_parts.store import Store

from chattmpl.training.prove.dialogues import Abilities, make_dialogues

EXPERIMENTS = all_experiments()
ABLE = Abilities(reasoning=True, calls=True, tools=True, switch="enable_thinking")
CLAIM = Claim("less", "right", "b", "a", "less")


def numbered(experiment: Experiment) -> str:
    return f"{experiment.number:02}"


# -- comparisons


def test_there_are_ten_comparisons_with_a_place_in_the_order() -> None:
    assert [each.number for each in EXPERIMENTS] == list(range(1, 11))
    assert sorted(playbook.ORDER) == list(range(1, 11))


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=numbered)
def test_expectations_are_stated_in_words_and_in_claims(experiment: Experiment) -> None:
    assert len(experiment.expectation) > 100
    assert experiment.claims
    arms = experiment.arms(SIZES["default"])
    for claim in experiment.claims:
        assert {claim.arm, claim.than} <= set(arms)
        assert claim.arm != claim.than


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=numbered)
@pytest.mark.parametrize("size", SIZES)
def test_arms_differ_and_train(experiment: Experiment, size: str) -> None:
    arms = experiment.arms(SIZES[size])
    assert len({config.key for config in arms.values()}) == len(arms)
    for config in arms.values():
        for stage in config.stages:
            assert stage.schedule.steps > 0
            assert round(sum(portion.share for portion in stage.portions), 9) == 1
            assert stage.labels in LABELS


def test_comparisons_share_the_run_that_they_compare_with() -> None:
    by_number = {each.number: each.arms(SIZES["default"]) for each in EXPERIMENTS}
    key = base(SIZES["default"]).key
    assert {number for number, arms in by_number.items() if key in {config.key for config in arms.values()}} == {
        1,
        2,
        5,
        6,
        7,
        9,
        10,
    }


# -- configurations and what is stored


def test_any_other_setting_has_another_key() -> None:
    config = base(SIZES["default"])
    others = [
        config,
        base(SIZES["gpu"]),
        config.schedule(rate=1e-3),
        config.schedule(order="group_by_length"),
        config.stage(retention="none"),
        config.stage(labels="all tokens"),
        replace(config, stages=config.stages * 2),
        replace(config, suites=(("", replace(MIX, flags=0.0)),)),
    ]
    assert len({other.key for other in others}) == len(others)
    assert base(SIZES["default"]).key == config.key


def ran(config: Config, seed: int, **figures: Any) -> dict[str, Any]:
    return {"key": config.key, "seed": seed, "experiment": 1, "arm": "a", "figures": figures}


def test_a_store_has_after_a_kill_what_was_done_before(tmp_path: Path) -> None:
    path = tmp_path / "results" / "some.jsonl"
    config = base(SIZES["tiny"])
    store = Store.read(path)
    store.add(ran(config, 0, right=[1, 2]))
    store.add({"note": "5 audit", "text": "said"})
    with path.open("a", encoding="utf-8") as file:
        file.write('{"key":"cut sh')
    again = Store.read(path)
    assert again.of(config) == {0: {"right": [1, 2]}}
    assert again.notes == {"5 audit": "said"}
    assert (again.has(config, 0), again.has(config, 1)) == (True, False)
    again.add(ran(config, 1, right=[2, 2]))
    assert set(Store.read(path).of(config)) == {0, 1}


def test_a_broken_line_in_the_middle_is_no_result_of_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    path.write_text('{"key":\n{"note": "a", "text": "b"}\n', encoding="utf-8")
    with pytest.raises(json.JSONDecodeError, match="Expecting value"):
        Store.read(path)


def test_what_is_stored_is_not_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--only", "6", "--seeds", "2", "--list", "--results", str(tmp_path)]
    playbook.main(arguments)
    assert "4 runs are missing" in capsys.readouterr().out
    store = Store.read(tmp_path / "playbook-default.jsonl")
    store.add(ran(base(SIZES["default"]), 1))
    playbook.main(arguments)
    out = capsys.readouterr().out
    assert "3 runs are missing" in out
    assert "with the stop token  seed 1" not in out


# -- figures


def test_an_interval_of_shares_is_never_narrower_than_that_of_the_counts() -> None:
    found = estimate({seed: {"right": [30, 60]} for seed in range(3)}, "right")
    assert found is not None
    assert (found.value, found.each) == (0.5, (0.5, 0.5, 0.5))
    assert found.low < 0.43 < 0.57 < found.high
    apart = estimate({0: {"right": [0, 60]}, 1: {"right": [60, 60]}}, "right")
    assert apart is not None
    assert (apart.low, apart.high) == (0.0, 1.0)


def test_a_difference_is_taken_on_the_seeds_that_both_arms_have() -> None:
    one = {0: {"loss": 1.0}, 1: {"loss": 2.0}, 2: {"loss": 3.0}}
    found = difference(one, {0: {"loss": 0.5}, 1: {"loss": 1.5}}, "loss")
    assert found is not None
    assert (found.value, found.each, found.low) == (0.5, (0.5, 0.5), 0.5)
    assert difference(one, {3: {"loss": 1.0}}, "loss") is None
    assert estimate(one, "right") is None


@pytest.mark.parametrize(
    ("low", "high", "expected", "said"),
    [
        (-0.5, -0.1, "less", "as expected"),
        (0.1, 0.5, "less", "the opposite"),
        (-0.04, 0.04, "less", "not seen"),
        (-0.5, 0.1, "less", "too few to say"),
        (0.1, 0.5, "more", "as expected"),
        (-0.04, 0.04, "same", "as expected"),
        (-0.1, 0.04, "same", "too few to say"),
        (0.01, 0.2, "same", "a difference"),
    ],
)
def test_a_verdict_follows_from_the_interval(low: float, high: float, expected: Any, said: str) -> None:
    found = Estimate((low + high) / 2, low, high, (), True)
    assert verdict(replace(CLAIM, expected=expected), found) == said


def test_without_runs_there_is_no_verdict_and_of_one_loss_neither() -> None:
    assert verdict(CLAIM, None) == "not run"
    assert verdict(CLAIM, Estimate(-1.0, -1.0, -1.0, (-1.0,), False)) == "too few to say"
    assert verdict(CLAIM, Estimate(-1.0, -1.0, -1.0, (-1.0, -1.0), False)) == "as expected"


# -- the page


def test_the_page_in_the_docs_is_what_the_stored_results_say(tmp_path: Path) -> None:
    store = Store.read(playbook.RESULTS / "playbook-default.jsonl")
    for path in write(store, EXPERIMENTS, SIZES["default"], tmp_path):
        committed = ROOT / "docs" / "evidence" / path.relative_to(tmp_path)
        assert committed.read_text(encoding="utf-8") == path.read_text(encoding="utf-8"), "bench/playbook.py --write"


def test_a_page_without_results_says_so(tmp_path: Path) -> None:
    store = Store.read(tmp_path / "playbook-default.jsonl")
    paths = write(store, EXPERIMENTS, SIZES["default"], tmp_path)
    text = paths[0].read_text(encoding="utf-8")
    claims = [claim for each in EXPERIMENTS for claim in each.claims]
    assert text.count("| n/a | not run |") == len(claims)
    assert "There are no figures of a GPU yet" in text


def test_every_plot_of_the_page_exists_and_is_small() -> None:
    text = (ROOT / "docs" / "evidence" / "playbook.md").read_text(encoding="utf-8")
    plots = re.findall(r"\]\((images/[^)]+)\)", text)
    assert len(plots) == len(EXPERIMENTS)
    for plot in plots:
        assert 500 < (ROOT / "docs" / "evidence" / plot).stat().st_size < 60_000


def test_figures_of_a_gpu_are_shown_when_they_are_there(tmp_path: Path) -> None:
    Store.read(tmp_path / "playbook-gpu.jsonl").add({"note": "device", "text": "so fast\n"})
    paths = write(Store.read(tmp_path / "playbook-default.jsonl"), EXPERIMENTS, SIZES["default"], tmp_path)
    text = paths[0].read_text(encoding="utf-8")
    assert "so fast" in text
    assert "There are no figures of a GPU yet" not in text


# -- the planted bug


def test_the_planted_bug_takes_what_system_messages_say_and_nothing_else() -> None:
    dialogues = make_dialogues(50, ABLE, 0, test=False, mix=MIX)
    lost = drop_system(dialogues)
    systems = [each["content"] for dialogue in lost for each in dialogue.messages if each["role"] == "system"]
    assert systems
    assert set(systems) == {None}
    assert [dialogue.messages[1:] for dialogue in lost] == [dialogue.messages[1:] for dialogue in dialogues]
    assert any(dialogue.messages[0]["content"] for dialogue in dialogues if dialogue.messages[0]["role"] == "system")


def test_the_check_reports_a_template_with_the_same_bug() -> None:
    experiment = EXPERIMENTS[4]
    assert experiment.notes is not None
    said = experiment.notes["check"]()
    assert "error lossless" in said
    assert said.endswith("exit code 1\n")


@pytest.mark.data
def test_the_audit_reports_the_planted_bug() -> None:
    experiment = EXPERIMENTS[4]
    assert experiment.notes is not None
    said = experiment.notes["audit"]()
    assert "AU201 system-empty: the system message is None" in said
    assert said.endswith("exit code 1\n")


# -- what dialogues are made of


def test_a_mix_sets_the_length_and_the_tasks_of_dialogues() -> None:
    mix = replace(MIX, turns=(2, 3), flags=0.0, off=1.0, digits=4)
    dialogues = make_dialogues(40, ABLE, 0, test=False, mix=mix)
    assert {len(dialogue.turns) for dialogue in dialogues} == {2, 3}
    assert all(dialogue.kwargs == {"enable_thinking": False} for dialogue in dialogues)
    assert not any(turn.thinks for dialogue in dialogues for turn in dialogue.turns)
    asked = [each["content"] for dialogue in dialogues for each in dialogue.messages if each["role"] == "user"]
    assert not any("think" in text for text in asked)
    assert {re.sub(r"\d", "0", text) for text in asked} == {"reverse 0000", "who are you?"}


def test_dialogues_in_both_modes_are_as_many_and_in_pairs() -> None:
    dialogues = make_dialogues(40, ABLE, 0, test=False, mix=replace(MIX, flags=0.0, off=0.0))
    made = DIALOGUES["in both modes"](dialogues)
    assert len(made) == len(dialogues)
    for loud, silent in zip(made[::2], made[1::2], strict=True):
        assert [each.get("content") for each in loud.messages] == [each.get("content") for each in silent.messages]
        assert any("reasoning_content" in each for each in loud.messages)
        assert not any("reasoning_content" in each for each in silent.messages)
        assert (loud.kwargs, silent.kwargs) == ({}, {"enable_thinking": False})


def test_a_trace_can_be_a_part_of_the_answer() -> None:
    dialogues = make_dialogues(5, ABLE, 0, test=False, mix=replace(MIX, flags=0.0, off=0.0))
    for dialogue, made in zip(dialogues, DIALOGUES["traces in content"](dialogues), strict=True):
        for before, after in zip(dialogue.messages, made.messages, strict=True):
            trace = before.get("reasoning_content")
            assert after["content"] == (f"{trace}\n{before['content']}" if trace else before["content"])
            assert "reasoning_content" not in after


def test_labels_are_changed_as_they_are_called() -> None:
    ids, labels, stops = [5, 6, 7, 8], [-100, 6, 7, -100], frozenset({7})
    changed = {name: change(ids, labels, stops) for name, change in LABELS.items()}
    assert changed == {"": labels, "all tokens": ids, "without stop": [-100, 6, -100, -100]}


# -- a run


@pytest.mark.train
@pytest.mark.filterwarnings("ignore")  # warnings of torch, transformers and trl
def test_a_comparison_runs_from_end_to_end_and_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--size", "tiny", "--only", "6", "--seeds", "1", "--results", str(tmp_path), "--docs", str(tmp_path)]
    assert playbook.main(arguments) == 0
    assert "2/2  6 stop token left out, seed 0" in capsys.readouterr().out
    text = (tmp_path / "playbook.md").read_text(encoding="utf-8")
    assert "1 seed per arm" in text
    stored = (tmp_path / "playbook-tiny.jsonl").read_text(encoding="utf-8")
    playbook.main(arguments)
    assert (tmp_path / "playbook-tiny.jsonl").read_text(encoding="utf-8") == stored


@pytest.mark.train
@pytest.mark.filterwarnings("ignore")
def test_what_arms_share_is_left_as_it_was_by_the_arm_before() -> None:
    from playbook_parts.runner import Runner

    arms = EXPERIMENTS[8].arms(SIZES["tiny"])
    full, lora = arms["full"], arms["LoRA, four times the rate"]
    alone = Runner().run(lora, 0)
    runner = Runner()
    other = runner.run(full, 0)
    behind = runner.run(lora, 0)
    assert behind["loss"] == alone["loss"] != other["loss"]
    assert behind["trainable"] == alone["trainable"] < other["trainable"]


@pytest.mark.train
@pytest.mark.filterwarnings("ignore")
def test_the_figures_of_a_device_can_be_made_on_a_cpu() -> None:
    from playbook_parts import device

    text = device.measure(device.SIZES["tiny"])["text"]
    assert re.search(r"packed by chattmpl +[\d,]+ +[\d,]+ MiB", text)
    assert "a run that was resumed at step 2 of 4: its weights are equal, bit for bit" in text
