"""Registries: entries found in the modules of a package, and their lookup by code, group and name."""

from __future__ import annotations

from pathlib import Path

import pytest

from chattmpl.errors import UsageError
from chattmpl.rule_registry import Entry, Registry


def entry(code: str, name: str) -> Entry:
    made = type("Named", (Entry,), {"code": code, "name": name})
    return made()  # type: ignore[no-any-return]


ENTRIES = [entry("XX201", "last-one"), entry("XX101", "first-one"), entry("XX102", "second-one")]
MODULE = """
from chattmpl.rule_registry import Entry
class Named(Entry): pass
class Other: pass
"""


def registry(package: str = "") -> Registry[Entry]:
    return Registry(package, Entry, "test")


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Registry[Entry]:
    found = registry()
    monkeypatch.setattr(found, "_discover", lambda: ENTRIES)
    return found


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "entries_of_a_test"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_each_module_of_a_package_defines_one_entry_and_names_it(package: Path) -> None:
    (package / "xx201_last_one.py").write_text(MODULE)
    (package / "xx101_first_one.py").write_text(MODULE)
    found = registry(package.name).entries()
    assert {code: one.name for code, one in found.items()} == {"XX101": "first-one", "XX201": "last-one"}
    (package / "xx102_two.py").write_text(f"{MODULE}class More(Entry): pass\n")
    with pytest.raises(TypeError, match="must define one test, not 2"):
        registry(package.name).entries()


def test_entries_are_in_the_order_of_their_codes(known: Registry[Entry]) -> None:
    assert list(known.entries()) == ["XX101", "XX102", "XX201"]


def test_an_entry_is_found_by_code_or_name_in_any_case(known: Registry[Entry]) -> None:
    assert known.named("xx102") is known.named("Second-One") is known.entries()["XX102"]
    with pytest.raises(UsageError, match=r"there is no test 'first-on'\nhint: did you mean 'first-one'\?"):
        known.named("first-on")


def test_entries_are_selected_by_code_group_and_name_and_ignored_likewise(known: Registry[Entry]) -> None:
    def codes(*selected: str, ignored: tuple[str, ...] = ()) -> list[str]:
        return [found.code for found in known.select(selected, ignored)]

    assert codes() == ["XX101", "XX102", "XX201"]
    assert codes("XX1") == ["XX101", "XX102"]
    assert codes("last-one", "xx101") == ["XX101", "XX201"]
    assert codes("XX1", ignored=("second-one",)) == ["XX101"]
    with pytest.raises(UsageError, match=r"there is no test ''\nhint: the tests are XX101, XX102, XX201"):
        codes("")
    with pytest.raises(UsageError, match="there is no test 'XX9'"):
        codes(ignored=("XX9",))
