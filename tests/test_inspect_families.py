"""What `chattmpl inspect` finds by rendering agrees with what the families declare of themselves."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest

from chattmpl.capabilities import Capabilities, inspect_template
from chattmpl.capabilities.record import FLAGS
from chattmpl.template.family import family_names, load_family
from chattmpl.template.resolver import find_template

NO_POLICY = {"no reasoning", "drops reasoning"}
"""What retention is called where a family declares none."""

FAMILIES = family_names()


@lru_cache
def inspected(name: str) -> Capabilities:
    return inspect_template(find_template(name))


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("name", FAMILIES)
def test_what_a_family_supports_is_found(name: str, flag: str) -> None:
    assert inspected(name).answer(flag).value is getattr(load_family(name).supports, flag)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_default_retention_of_a_family_is_found(name: str) -> None:
    declared = load_family(name).retention
    found = inspected(name).retention
    assert found == declared.default if declared else found in NO_POLICY


@pytest.mark.parametrize("name", FAMILIES)
def test_the_modes_of_a_family_are_found(name: str) -> None:
    family = load_family(name)
    record = inspected(name).to_dict()
    assert set(record["modes"]) == set(family.modes)
    assert set(record["kwargs"]) == set(family.kwargs)
    for mode, declared in family.modes.items():
        found: dict[str, Any] = record["modes"][mode]
        assert found["default"] == declared.default, mode
        # A value that is declared and not found does what the default does.
        assert set(found["values"]) <= set(declared.values), mode


@pytest.mark.parametrize("name", FAMILIES)
def test_the_tokens_of_a_family_are_found(name: str) -> None:
    family = load_family(name)
    found = inspected(name)
    assert set(found.stop_tokens or ()) == set(family.generation.stop_tokens)
    assert (found.bos or "") == family.tokens.get("bos_token", "")


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_parsers_of_a_family_are_found(name: str, engine: str) -> None:
    declared = load_family(name).parsers.get(engine)
    found = inspected(name).parsers[engine]
    assert found["reasoning"] == (declared.reasoning if declared else None)
    assert found["tool"] == (declared.tool if declared else None)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_trains_what_is_sampled_and_nothing_else(name: str) -> None:
    mask = inspected(name).answer("mask")
    assert mask.state == "yes", mask.note


@pytest.mark.parametrize("name", FAMILIES)
def test_all_of_a_family_is_evaluated_but_for_what_it_refuses(name: str) -> None:
    assert inspected(name).not_evaluated == []
