"""chattmpl prove: a small model, trained from scratch in a template, does what the template means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chattmpl import Template
from chattmpl.encode import encode
from chattmpl.template.family import family_names
from chattmpl.training.prove.dialogues import abilities_of, make_talks, rendering_traces
from support.command import Outcome, run_here
from support.extras import need

need("datasets", "numpy", "pyarrow", "torch", "transformers", "trl", session="train")

from chattmpl.training.prove.models import make_tokenizer  # noqa: E402
from chattmpl.training.prove.trainer import CLOCK  # noqa: E402

pytestmark = [
    pytest.mark.train,
    pytest.mark.filterwarnings("ignore"),  # of torch, transformers and trl, which are not ours to heed
]


ACCURATE = ("--min-accuracy", "0.5")


def proved(template: str, folder: Path, *options: str) -> tuple[Outcome, dict[str, Any]]:
    """What the command said, and its report. So small a model learns the format, and not the tasks."""
    small = ["--size", "tiny", "--min-accuracy", "0"]
    outcome = run_here(["prove", template, *small, "--report", str(folder), *options])
    return outcome, json.loads((folder / "report.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("hybrid")
    return (*proved("hybrid", folder), folder)


def test_hybrid_trains_and_its_modes_switch(hybrid: Any) -> None:
    outcome, report, _ = hybrid
    assert (outcome.code, report["failures"]) == (0, [])
    assert report["parsed"]["share"] >= 0.95
    assert report["stopped"]["share"] >= 0.98
    assert set(report["switching"]["by_turn"]) == {"1", "2", "3"}
    assert all(share["share"] >= 0.8 for share in report["switching"]["by_turn"].values())


def test_chatml_trains_and_has_no_modes(tmp_path: Path) -> None:
    outcome, report = proved("chatml", tmp_path)
    assert (outcome.code, report["failures"]) == (0, [])
    assert report["switching"] is None
    assert not (tmp_path / "switching.svg").exists()


def test_the_held_out_loss_is_above_the_entropy_floor(hybrid: Any) -> None:
    _, report, _ = hybrid
    assert 0 < report["loss"]["floor"] < report["loss"]["nats"]


def test_the_report_can_be_read_with_its_plots(hybrid: Any) -> None:
    outcome, report, folder = hybrid
    assert "hybrid (retention all): the template trained" in outcome.out
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 4
    text = (folder / "report.md").read_text(encoding="utf-8")
    for plot in ("shares.svg", "tasks.svg", "switching.svg", "loss.svg"):
        assert f"]({plot})" in text
        assert (folder / plot).is_file()
    assert report["audit"]["documents"] > 0


def test_the_same_seed_gives_the_same_numbers(tmp_path: Path) -> None:
    first, second = (proved("chatml", tmp_path / name, "--steps", "5")[1] for name in "ab")
    for report in (first, second):
        del report["seconds"]
    assert first == second


def test_right_answers_count_too(tmp_path: Path) -> None:
    outcome, report = proved("chatml", tmp_path, "--steps", "1", "--min-parse", "0", "--min-stop", "0")
    assert (outcome.code, report["failures"]) == (0, [])
    outcome, report = proved("chatml", tmp_path, "--steps", "1", "--min-parse", "0", "--min-stop", "0", *ACCURATE)
    assert outcome.code == 1
    assert report["failures"][0].startswith("right answers to persona, lookup, tool call: 0.0 %")


def test_a_model_that_did_not_learn_fails(tmp_path: Path) -> None:
    outcome, report = proved("chatml", tmp_path, "--steps", "1")
    assert outcome.code == 1
    assert report["failures"]
    assert "the template did NOT train" in outcome.out
    assert report["not_stopped"]["endings"]


def test_what_has_no_facts_to_read_it_by_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.jinja"
    path.write_text("{% for m in messages %}{{ m.content }}{% endfor %}", encoding="utf-8")
    outcome = run_here(["prove", str(path), "--size", "tiny"])
    assert outcome.code == 2
    assert "no family with a [parse] table" in outcome.err


def test_without_a_template_the_usage_is_told() -> None:
    outcome = run_here(["prove"])
    assert outcome.code == 2
    assert "chattmpl prove TEMPLATE --report DIR" in outcome.err


@pytest.mark.parametrize("family", family_names())
def test_no_token_of_the_tokenizer_made_lies_across_the_edge_of_a_generated_span(family: str) -> None:
    template = rendering_traces(Template.load(family))
    talks = make_talks(200, abilities_of(template), 0, test=False)
    renderings = [template.render(talk.conversation(), clock=CLOCK) for talk in talks]
    tokenizer = make_tokenizer(template, renderings, 600)
    assert [encode(rendering, tokenizer).straddles for rendering in renderings] == [()] * len(renderings)
