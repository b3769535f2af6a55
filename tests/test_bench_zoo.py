"""The zoo recognises each kind of difference from transformers, and equal rows as equal."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support import ROOT
from support.extras import need

need("numpy", "pyarrow", "transformers", session="transformers")

sys.path.append(str(ROOT / "bench"))

from zoo_parts.doors import DOORS, Job, Result, enter  # noqa: E402
from zoo_parts.judge import Verdict, disagreements, judge, reference  # noqa: E402
from zoo_parts.models import Case, control_tokens, layout_cases  # noqa: E402
from zoo_parts.rows import CONVERSATIONS, SHAPES, Shape  # noqa: E402

pytestmark = [pytest.mark.data, pytest.mark.upstream]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A model with named templates, one of them for conversations with tools."""
    cases = layout_cases(tmp_path_factory.mktemp("zoo"))
    return next(case for case in cases if case.name == "additional_chat_templates, strings")


def verdict(case: Case, truth: list[int] | str, result: Result) -> Verdict:
    ((_, judged),) = judge(case, {0: truth}, result)
    return judged.verdict


@pytest.mark.parametrize(
    ("truth", "result", "expected"),
    [
        ([1, 2], Result(rows={0: ([1, 2], [-100, 2])}), Verdict.EQUAL),
        ([1, 2], Result(rows={0: ([2], [2])}), Verdict.DIFFERS),
        ([1, 2], Result(rows={0: ([2], [2])}, notes=["x has no generation tags: it was annotated"]), Verdict.DIFFERS),
        ([1, 2], Result(rows={0: ([2], [2])}, notes=["the column 'x' is not read"]), Verdict.NOTED),
        ([1, 2], Result(rejected={0: "no"}), Verdict.REFUSED),
        ([1, 2], Result(refused="no"), Verdict.REFUSED),
        ([1, 2], Result(), Verdict.MISSING),
        ([1, 2], Result(crash="KeyError: 'x'"), Verdict.CRASH),
        ("TemplateError: no", Result(refused="no"), Verdict.BOTH_REFUSE),
        ("TemplateError: no", Result(rows={0: ([2], [2])}), Verdict.ACCEPTED),
    ],
)
def test_each_kind_of_row_has_its_verdict(
    case: Case, truth: list[int] | str, result: Result, expected: Verdict
) -> None:
    assert verdict(case, truth, result) is expected


def test_entry_points_that_disagree_are_reported() -> None:
    row = ([1, 2], [-100, 2])
    same, others = Result(rows={0: row}), Result(rows={0: ([1, 2], [1, 2])})
    assert list(disagreements({"Encoder": same, "encode": Result(rows={0: row})})) == []
    assert list(disagreements({"Encoder": same, "encode": others})) == ["Encoder and encode: the labels differ"]
    refused = list(disagreements({"Encoder": same, "encode": Result(refused="no")}))
    assert refused == ["Encoder and encode: only encode refuses: no"]


ROW_KINDS = {("AU206",), ("AU203", "AU204", "AU304", "AU305")}


@pytest.mark.parametrize(
    ("audited", "expected"),
    [
        (Result(kinds={("AU206",), ("AU305",), ("AU602",)}, rejected={0: "no"}, untrained={1}), None),
        (Result(kinds={("AU206",)}, rejected={0: "no"}, untrained={1}), "only encode reports AU203 or AU204"),
        (
            Result(kinds={("AU206",), ("AU204",), ("AU404",)}, rejected={0: "no"}, untrained={1}),
            "only audit reports AU404",
        ),
        (Result(kinds={("AU206",), ("AU204",)}, rejected={0: "no"}), "other rows are not trained"),
        (Result(kinds={("AU206",), ("AU204",)}, rejected={2: "no"}, untrained={1}), "other rows are rejected"),
        (Result(refused="no"), "only audit refuses"),
    ],
)
def test_encode_and_audit_that_disagree_are_reported(audited: Result, expected: str | None) -> None:
    encoded = Result(rows={2: ([1], [1])}, kinds=ROW_KINDS, rejected={0: "no", 1: "nothing"}, untrained={1})
    found = list(disagreements({"encode": encoded, "audit": audited}))
    assert [expected is not None and expected in each for each in found] == [True] * (expected is not None)


def test_encode_and_train_that_note_other_things_are_reported() -> None:
    found = list(disagreements({"encode": Result(kinds=ROW_KINDS), "train": Result()}))
    assert [each.startswith("encode and train: other notes") for each in found] == [True]


@pytest.mark.parametrize("shape", ["unread columns", "legacy calls", "role and value"])
def test_encode_train_and_audit_say_the_same_of_the_same_rows(shape: str, case: Case, tmp_path: Path) -> None:
    held = SHAPES[shape].held()
    data = tmp_path / f"data{SHAPES[shape].suffix}"
    SHAPES[shape].write(list(held.values()), data)
    job = Job(case, SHAPES[shape], list(held.values()), data, tmp_path / "job")
    results = {name: enter(DOORS[name], job) for name in ("encode", "audit")}
    assert list(disagreements(results)) == []
    assert results["encode"].kinds


@pytest.mark.parametrize("shape", SHAPES.values(), ids=lambda shape: shape.name)
@pytest.mark.parametrize("door", ["Encoder", "prepare", "encode"])
def test_rows_of_a_model_directory_are_those_of_transformers(
    door: str, shape: Shape, case: Case, tmp_path: Path
) -> None:
    held = shape.held()
    records, data = list(held.values()), tmp_path / f"data{shape.suffix}"
    shape.write(records, data)
    expected = reference(case, [CONVERSATIONS[name] for name in held])
    result = enter(DOORS[door], Job(case, shape, records, data, tmp_path / "job"))
    verdicts = [judged.verdict for _, judged in judge(case, expected, result)]
    assert verdicts == [Verdict.EQUAL] * len(held)


def test_control_tokens_are_found_in_a_template() -> None:
    assert control_tokens("<|im_start|>{{ m.role }}<|im_end|><|im_start|>") == ["<|im_start|>", "<|im_end|>"]


@pytest.mark.parametrize(
    ("text", "tagged"),
    [("{%- generation %}x{% endgeneration %}", True), ("{% if add_generation_prompt %}x{% endif %}", False)],
)
def test_a_generation_prompt_is_no_generation_tag(text: str, tagged: bool) -> None:
    assert Case("group", "name", Path("t.jinja"), Path("model"), text).has_tags is tagged
