"""Registries: entries found in the modules of a package, and their lookup by code, group and name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from chattmpl.errors import UsageError
from chattmpl.rule_registry import by_code, discover, find, select


class Entry(NamedTuple):
    code: str
    name: str


ENTRIES = [Entry("XX201", "last-one"), Entry("XX101", "first-one"), Entry("XX102", "second-one")]
KNOWN = by_code(ENTRIES, re.compile(r"XX[12]\d\d"))
WORDS = ("entry", "entries")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "entries_of_a_test"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_each_module_of_a_package_defines_one_entry(package: Path) -> None:
    (package / "b.py").write_text("class B(dict): pass\n")
    (package / "a.py").write_text("class A(dict): pass\nclass Other: pass\n")
    assert [type(found).__name__ for found in discover(package.name, dict, "entry")] == ["A", "B"]
    (package / "c.py").write_text("class C(dict): pass\nclass D(dict): pass\n")
    with pytest.raises(TypeError, match="must define one entry, not 2"):
        list(discover(package.name, dict, "entry"))


def test_entries_are_in_the_order_of_their_codes() -> None:
    assert list(KNOWN) == ["XX101", "XX102", "XX201"]


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (Entry("XX101", "other"), "Entry and Entry both have XX101"),
        (Entry("XX103", "first-one"), "XX101 and XX103 both have the name 'first-one'"),
        (Entry("XX301", "other"), "the code 'XX301' of Entry belongs to no group"),
    ],
)
def test_codes_and_names_are_unique_and_of_a_group(entry: Entry, problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        by_code([*ENTRIES, entry], re.compile(r"XX[12]\d\d"))


def test_an_entry_is_found_by_code_or_name_in_any_case() -> None:
    assert find(KNOWN, "xx102", *WORDS) is find(KNOWN, "Second-One", *WORDS) is KNOWN["XX102"]
    with pytest.raises(UsageError, match=r"there is no entry 'first-on'\nhint: did you mean 'first-one'\?"):
        find(KNOWN, "first-on", *WORDS)


def test_entries_are_selected_by_code_group_and_name_and_ignored_likewise() -> None:
    def codes(*selected: str, ignored: tuple[str, ...] = ()) -> list[str]:
        return [entry.code for entry in select(KNOWN, selected, ignored, *WORDS)]

    assert codes() == ["XX101", "XX102", "XX201"]
    assert codes("XX1") == ["XX101", "XX102"]
    assert codes("last-one", "xx101") == ["XX101", "XX201"]
    assert codes("XX1", ignored=("second-one",)) == ["XX101"]
    with pytest.raises(UsageError, match=r"there is no entry ''\nhint: the entries are XX101, XX102, XX201"):
        codes("")
    with pytest.raises(UsageError, match="there is no entry 'XX9'"):
        codes(ignored=("XX9",))
