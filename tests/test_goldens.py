"""Every family renders what its upstream rendered, byte for byte."""

from __future__ import annotations

from typing import Any

import pytest
from support.goldens import UPSTREAM_FAMILIES, goldens, render_row

from chattmpl import Template
from chattmpl.errors import RenderError

ROWS = [pytest.param(family, row, id=row["id"]) for family in UPSTREAM_FAMILIES for row in goldens(family)]


@pytest.mark.parametrize("family", UPSTREAM_FAMILIES)
def test_a_family_has_eighty_goldens(family: str) -> None:
    assert len(goldens(family)) == 80


@pytest.mark.parametrize(("family", "row"), [p for p in ROWS if "text" in p.values[1]])
def test_the_text_is_that_of_upstream(family: str, row: dict[str, Any]) -> None:
    assert render_row(Template.load(family), row).text == row["text"]


@pytest.mark.parametrize(("family", "row"), [p for p in ROWS if "error" in p.values[1]])
def test_where_upstream_raises_ours_renders_as_declared_or_refuses_by_name(family: str, row: dict[str, Any]) -> None:
    template = Template.load(family)
    assert template.family is not None and template.family.divergences, "what ours does instead is declared"
    try:
        rendering = render_row(template, row)
    except RenderError as error:
        assert error.message.startswith("the template refuses this conversation: ")
        assert error.place is not None
    else:
        assert rendering.text
