"""Rows of stock templates, on conversations by hypothesis, judged with transformers alone."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.extras import need

need("numpy", "gigatoken")
need("transformers", session="transformers")

from chattmpl import Encoder, Template  # noqa: E402
from chattmpl.probing.facts import with_placeholders  # noqa: E402
from support.fetched import hub_templates, trl_templates  # noqa: E402
from support.row_judge import Judge, Verdict, conversations  # noqa: E402

pytestmark = pytest.mark.upstream

PARTS = 6


def sample() -> dict[str, str]:
    """Return the most downloaded templates of the hub, some of the others, and some of trl's."""
    hub = hub_templates()
    ordered = list(hub)
    trl = {name: source for name, source in trl_templates().items() if "_training" not in name}
    return {name: hub[name] for name in (*ordered[:16], *ordered[16::48])} | dict(list(trl.items())[::4])


@pytest.mark.parametrize("part", range(PARTS))
def test_the_rows_of_any_template_train_every_answer_once_after_its_prompt(part: int) -> None:
    kinds = {name: judged(source) for name, source in list(sample().items())[part::PARTS]}
    wrong = {name: why for name, found in kinds.items() for kind, why in found if kind == "wrong"}
    assert not wrong
    trained = [name for name, found in kinds.items() if ("trained", "") in found]
    assert len(trained) >= 0.8 * len(kinds)


def judged(source: str) -> list[Verdict]:
    """Return the verdicts on conversations that transformers renders in full."""
    template = with_placeholders(Template.from_source(source))
    judge = Judge(source, dict(template.tokens))
    encoder = Encoder(template, judge.tokenizer)
    found: list[Verdict] = []

    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.tuples(st.booleans(), st.booleans()).flatmap(lambda each: conversations(reasoning=each[0], tools=each[1]))
    )
    def judge_one(conversation: dict[str, Any]) -> None:
        if judge.is_rendered(conversation):
            found.append(judge.judge(conversation, encoder.encode_rows([conversation])[0]))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the fast path, and tags
        judge_one()
    return found
