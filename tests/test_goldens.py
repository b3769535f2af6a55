"""Every family renders what its upstream rendered, byte for byte."""

from __future__ import annotations

from typing import Any

import pytest

from chattmpl import Rendering, Template
from chattmpl.errors import RenderError
from support.goldens import UPSTREAM_FAMILIES, goldens, render_row


def rows_with(outcome: str) -> list[Any]:
    return [
        pytest.param(family, row, id=row["id"])
        for family in UPSTREAM_FAMILIES
        for row in goldens(family)
        if outcome in row
    ]


def attempt(template: Template, row: dict[str, Any]) -> Rendering | RenderError:
    try:
        return render_row(template, row)
    except RenderError as error:
        return error


@pytest.mark.parametrize("family", UPSTREAM_FAMILIES)
def test_a_family_has_eighty_goldens(family: str) -> None:
    assert len(goldens(family)) == 80


@pytest.mark.parametrize(("family", "row"), rows_with("text"))
def test_the_text_is_that_of_upstream(family: str, row: dict[str, Any]) -> None:
    assert render_row(Template.load(family), row).text == row["text"]


@pytest.mark.parametrize(("family", "row"), rows_with("error"))
def test_where_upstream_raises_ours_renders_as_declared_or_refuses_by_name(family: str, row: dict[str, Any]) -> None:
    template = Template.load(family)
    assert template.family is not None
    assert template.family.divergences, "what ours does instead is declared"
    outcome = attempt(template, row)
    if isinstance(outcome, RenderError):
        assert outcome.message.startswith("the template refuses this conversation: ")
        assert outcome.place is not None
    else:
        assert outcome.text
