"""Exports of the families: engines render the same text, and transformers makes the same ids and mask."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chattmpl import Rendering, Template
from chattmpl.compiler.export import TARGETS, Target
from chattmpl.compiler.policies import POLICIES
from chattmpl.engine import Engine
from chattmpl.errors import ChatTmplError, FamilyError, RenderError
from chattmpl.template.family import EngineBug, family_names, load_family
from support.engines import EACH, opened
from support.fetched import real_tokenizer_path
from support.goldens import CLOCK
from support.portability import (
    CASES,
    bug_id,
    bugs_of,
    case_id,
    compare,
    example_of,
    exported,
    is_real,
    made_samples,
    template_of,
)
from support.samples import Ranges, Sample, merged, samples
from support.snapshots import matches_snapshot

EACH_FAMILY = pytest.mark.parametrize("family", family_names())
EACH_CASE = pytest.mark.parametrize(("family", "retention", "kwargs"), CASES, ids=case_id)
EACH_TARGET = pytest.mark.parametrize("target", TARGETS)
upstream = pytest.mark.upstream


@EACH_FAMILY
@EACH_TARGET
def test_the_export_is_the_one_that_was_last_looked_at(family: str, target: Target) -> None:
    matches_snapshot(f"exports/{family}.{target}.jinja", template_of(family).export(target))


@EACH_CASE
def test_the_inference_export_has_no_tag_that_plain_jinja_lacks(
    family: str, retention: str, kwargs: dict[str, Any]
) -> None:
    template = template_of(family, retention)
    tags = set(re.findall(r"\{%[-+]?\s*(\w+)", template.export("inference")))
    # what every engine knows: some do not know `with`, `filter` or `call`
    assert tags <= {"if", "elif", "else", "endif", "for", "endfor", "set", "macro", "endmacro", "break", "continue"}
    assert {*re.findall(r"\{%[-+]?\s*(\w+)", template.export("train"))} - tags == {"generation", "endgeneration"}


@EACH_CASE
def test_an_export_can_be_loaded_as_a_template_and_renders_the_same(
    family: str, retention: str, kwargs: dict[str, Any]
) -> None:
    template = template_of(family, retention)
    again = Template.from_source(template.export("train"), tokens=template.tokens)
    for sample in samples(family, 8):
        first = _ours(template, sample, **kwargs)
        second = _ours(again, sample, **kwargs)
        assert second == first, sample.id


@upstream
@EACH_FAMILY
def test_transformers_renders_the_text_and_the_generated_spans(family: str) -> None:
    template = template_of(family)
    assert _compare_with_transformers(template, samples(family), {}) >= 60


@upstream
@EACH_CASE
def test_transformers_renders_the_text_and_the_generated_spans_under_every_retention(
    family: str, retention: str, kwargs: dict[str, Any]
) -> None:
    template = template_of(family, retention)
    assert _compare_with_transformers(template, samples(family, 3), kwargs) >= 40


@pytest.mark.parametrize(("family", "retention", "kwargs"), [c for c in CASES if c[1] == "runtime"], ids=case_id)
def test_an_export_with_runtime_retention_does_what_its_kwarg_says(
    family: str, retention: str, kwargs: dict[str, Any]
) -> None:
    template = template_of(family, retention)
    facts = load_family(family).retention
    assert facts is not None
    fixed = template.with_retention(kwargs.get("reasoning_retention", facts.default))
    for sample in samples(family, 8):
        assert _ours(template, sample, **kwargs) == _ours(fixed, sample), sample.id


@upstream
@pytest.mark.parametrize("family", sorted({family for family, _, _ in CASES}))
def test_a_retention_that_does_not_exist_is_refused_by_the_export_too(family: str) -> None:
    template = template_of(family, "runtime")
    sample = samples(family)[-1]
    with pytest.raises(ChatTmplError, match="retention"):
        sample.ours(template, reasoning_retention="sometimes")
    with pytest.raises(Exception, match=f"reasoning_retention must be one of {', '.join(POLICIES)}"):
        sample.theirs(template.export("inference"), reasoning_retention="sometimes")


@upstream
@EACH_FAMILY
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_transformers_renders_the_same_of_generated_conversations(family: str, data: st.DataObject) -> None:
    sample: Sample = data.draw(made_samples(family))
    _compare_with_transformers(template_of(family), (sample,), {})


def _ours(template: Template, sample: Sample, **kwargs: Any) -> tuple[str, Ranges] | None:
    """The text and the generated ranges; None where the template refuses."""
    try:
        rendering = sample.ours(template, **kwargs)
    except RenderError:
        return None
    return rendering.text, merged(rendering.generated)


def _theirs(source: str, sample: Sample, **kwargs: Any) -> tuple[str, Ranges] | None:
    try:
        return sample.theirs(source, **kwargs)
    except Exception:
        return None


def _compare_with_transformers(template: Template, some: tuple[Sample, ...], kwargs: dict[str, Any]) -> int:
    """Demands the same, and returns how many of the samples rendered."""
    train, inference = exported(template, "train"), exported(template, "inference")
    rendered = 0
    for sample in some:
        want = _ours(template, sample, **kwargs)
        assert _theirs(train, sample, **kwargs) == want, sample.id
        assert _theirs(inference, sample, **kwargs) == (want and (want[0], [])), sample.id
        rendered += want is not None
    return rendered


AGREEING = {"minijinja": 0.9, "huggingface-jinja": 0.5}
"""The share of samples without a declared bug of the engine, at least."""


@pytest.fixture(scope="module", params=EACH)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    yield from opened(request.param)


@EACH_FAMILY
def test_an_engine_renders_the_text(engine: Engine, family: str) -> None:
    template = template_of(family)
    compared = [compare(engine, template, sample) for sample in samples(family)]
    assert sum(compared) > len(compared) * AGREEING[engine.name]


@EACH_CASE
def test_an_engine_renders_the_text_under_every_retention(
    engine: Engine, family: str, retention: str, kwargs: dict[str, Any]
) -> None:
    template = template_of(family, retention)
    compared = [compare(engine, template, sample, **kwargs) for sample in samples(family, 8)]
    assert sum(compared) > len(compared) * AGREEING[engine.name]


@EACH_FAMILY
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_an_engine_renders_the_same_text_of_generated_conversations(
    engine: Engine, family: str, data: st.DataObject
) -> None:
    compare(engine, template_of(family), data.draw(made_samples(family)))


@pytest.mark.parametrize(
    ("engine", "family", "bug"),
    [
        pytest.param(make.values[0], *declared, marks=make.marks, id=bug_id(declared[1]))
        for make, name in zip(EACH, AGREEING, strict=True)
        for declared in bugs_of(name)
    ],
    indirect=["engine"],
)
def test_a_declared_bug_is_real(engine: Engine, family: str, bug: EngineBug) -> None:
    template = template_of(family)
    candidates = example_of(template, bug) or samples(family)
    assert any(is_real(engine, template, sample, bug) for sample in candidates), f"{bug.what} No input shows it."


TOKENIZERS = {
    "chatml": "qwen3",
    "hybrid": "qwen3",
    "qwen3": "qwen3",
    "smollm3": "qwen3",
    "llama3": "llama3_1",
    "gemma3": "gemma3",
    "deepseek_r1": "deepseek_v3",
    "gpt_oss": "gptoss",
    "command_a_reasoning": "qwen3",  # its own is not to be had, and any will do
}


@cache
def tokenizer_of(family: str) -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.PreTrainedTokenizerFast(tokenizer_file=str(real_tokenizer_path(TOKENIZERS[family])))


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    utils = pytest.importorskip("transformers.utils.chat_template_utils")

    class Stopped(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Stopped:
            return cls(*CLOCK.timetuple()[:6], tzinfo=tz)

    monkeypatch.setattr(utils, "datetime", Stopped)


def _encoded_by_transformers(tokenizer: Any, export: str, sample: Sample) -> tuple[list[int], list[int]]:
    made = tokenizer.apply_chat_template(
        sample.messages,
        tools=sample.tools,
        documents=sample.documents,
        chat_template=export,
        add_generation_prompt=sample.add_generation_prompt,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
        **sample.kwargs,
    )
    return made["input_ids"], made["assistant_masks"]


def is_exact_there(tokenizer: Any, rendering: Rendering) -> bool:
    """Return whether the mask of transformers can be right.

    It looks up the token of the first and of the last character of a span. That fails where a character is in no token,
    for the pre-tokenizer drops it, where it is in several, and where the last token is the first of all.
    """
    offsets = tokenizer.backend_tokenizer.encode(rendering.text, add_special_tokens=False).offsets
    for first, end in rendering.generated:
        starting = [index for index, (left, right) in enumerate(offsets) if left <= first < right]
        ending = [index for index, (left, right) in enumerate(offsets) if left < end <= right]
        if len(starting) != 1 or len(ending) != 1 or ending == [0]:
            return False
    return True


@upstream
@pytest.mark.usefixtures("stopped_clock")
@pytest.mark.parametrize("family", TOKENIZERS)
def test_transformers_makes_the_same_ids_and_mask_of_the_train_export(family: str) -> None:
    template = Template.load(family)
    tokenizer, export = tokenizer_of(family), template.export("train")
    rendered = compared = trained = 0
    for sample in samples(family):
        try:
            rendering = sample.ours(template)
        except RenderError:
            continue
        rendered += 1
        encoding = rendering.encode(tokenizer, control_tokens="allow")
        ids, mask = _encoded_by_transformers(tokenizer, export, sample)
        assert encoding.input_ids == ids, sample.id
        if is_exact_there(tokenizer, rendering):
            assert encoding.assistant_masks == mask, sample.id
            compared += 1
            trained += any(mask)
    assert rendered >= 60
    assert compared >= rendered * 0.95
    assert trained >= compared * 0.5


def test_a_bug_concerns_the_inputs_whose_json_its_condition_is_found_in() -> None:
    bug = EngineBug(engine="x", what="Whole floats.", when=r": \d+\.0[,}]")
    assert bug.concerns({"messages": [{"content": "", "tool_calls": [{"n": 1.0}]}]})
    assert not bug.concerns({"messages": [{"content": "1.0", "tool_calls": [{"n": 1}]}]})


def test_a_condition_that_is_no_regular_expression_is_an_error_with_its_place(tmp_path: Path) -> None:
    facts = load_family("chatml").folder / "family.toml"
    text = facts.read_text(encoding="utf-8")
    bug = '[[engine_bugs]]\nengine = "minijinja"\nwhat = "x"\nwhen = "("\n'
    (tmp_path / "family.toml").write_text(text[: text.index("[[engine_bugs]]")] + bug, encoding="utf-8")
    (tmp_path / "template.jinja").write_text("")
    with pytest.raises(FamilyError, match=r"engine_bugs\[0\]\.when: .*is not a regular expression") as caught:
        Template.load(tmp_path)
    assert caught.value.place is not None
