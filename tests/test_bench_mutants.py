"""The mutation bench finds its way, and no kind of defect that lint finds today is lost tomorrow."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING

import pytest

from support import ROOT

sys.path.append(str(ROOT / "bench"))

import mutants
from planting.kind import KINDS, Kind
from planting.oracle import Base, same
from planting.pieces import outputs, pieces
from planting.twins import TWINS, twins

if TYPE_CHECKING:
    from chattmpl.diagnostic import TemplateDiagnostic

FAMILIES = ("qwen3 (all)", "chatml")
ELSEWHERE = {"raises on an ordinary conversation"}
"""TemplateSource, as what is not evaluated, which is for information."""


@cache
def family(name: str) -> Base:
    return next(base for base in mutants.bases(["family"]) if base.name == name)


@cache
def before(name: str) -> list[TemplateDiagnostic]:
    return mutants.found_in(family(name))


@cache
def planted(kind: str, name: str) -> tuple[Base, ...]:
    return tuple(KINDS[kind].mutants(family(name)))


def test_there_are_at_least_eighteen_kinds_of_defect() -> None:
    assert len(KINDS) >= 18


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_kind_of_defect_is_found(kind: Kind) -> None:
    tried = 0
    for name in FAMILIES:
        for mutant in planted(kind.name, name):
            tried += 1
            codes = {finding.code for finding in mutants.new(before(name), mutants.found_in(mutant))}
            assert codes & kind.codes, f"{name}: none of {sorted(kind.codes)}, but {sorted(codes)}\n{mutant.source}"
    if not tried:
        pytest.skip("neither family has a place for it")


@pytest.mark.parametrize("name", FAMILIES)
def test_edits_that_change_nothing_add_no_finding(name: str) -> None:
    found = dict(twins(family(name)))
    assert len(found) >= 4
    for twin in found.values():
        added = mutants.new(before(name), mutants.found_in(twin))
        assert [finding for finding in added if finding.severity != "info"] == []


def test_a_twin_is_no_mutant() -> None:
    base = family("qwen3 (all)")
    for name, edit in TWINS.items():
        assert same(base, base.with_source(edit(base.source))), name


def test_a_source_is_cut_into_its_outputs_and_tags() -> None:
    source = "{%- for m in messages -%}\n  {{- m.content }}\n{%- endfor %}"
    assert [(piece.kind, piece.body) for piece in pieces(source)] == [
        ("tag", "for m in messages"),
        ("output", "m.content"),
        ("tag", "endfor"),
    ]
    assert [source[piece.start : piece.end] for piece in outputs(source)] == ["{{- m.content }}"]


def test_a_report_counts_what_was_found() -> None:
    kinds = [KINDS["stop token untrained"], KINDS["tag inside a tag"]]
    report = mutants.measure([family("chatml")], kinds)
    assert {name: (count.mutants, count.found) for name, count in report.kinds.items()} == {
        "stop token untrained": (1, 1),
        "tag inside a tag": (1, 1),
    }
    assert report.false_on_twins == []
    assert report.milliseconds["chattmpl"] > 0
