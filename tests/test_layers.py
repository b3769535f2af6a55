"""Imports go one way, and modules stay small enough to be read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support import ROOT

PACKAGE = ROOT / "chattmpl"
MODULES = sorted(PACKAGE.rglob("*.py"))

ORDER = (
    "source",
    "errors",
    "spelling",
    "discovery",
    "collector",
    "plain",
    "nulls",
    "misfit",
    "fields",
    "strategies",
    "cache",
    "budget",
    "engines",
    "conversation",
    "loaders",
    "family",
    "provenance",
    "compiler",
    "render",
    "origins",
    "template",
    "tokens",
    "blame",
    "exporting",
    "losses",
    "encode",
    "parse",
    "laws",
    "lint",
    "capabilities",
    "results",
    "annotate",
    "retain",
    "comparison",
    "report",
    "__init__",
    "testing",
    "pytest_plugin",
    "cli",
    "__main__",
)
"""Each may import those before it, and itself if it is a folder. A new one is put where it belongs."""

EXTRA = "extra"
"""Heavy dependencies live there. It may import all of the above; only the command line imports it, when asked to."""

HANDED_ON = {
    ("render", "encode"),
    ("render", "parse"),
    ("render", "template"),
    ("template", "parse"),
    ("template", "annotate"),
    ("template", "retain"),
}
"""What the public surface hands on: methods that import a later module when they are called, and the template of a
rendering, which is only named in an annotation."""

LONGEST = 400


@dataclass(frozen=True)
class Import:
    importer: str
    imported: str
    lazy: bool
    place: str


def _layer(parts: tuple[str, ...]) -> str:
    return parts[0] if parts else "__init__"


def _own(path: Path) -> tuple[str, ...]:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def _is_module(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def _targets(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """The layers that an import statement names; a public name of the package counts as ``__init__``."""
    if isinstance(node, ast.Import):
        names = [tuple(alias.name.split(".")) for alias in node.names]
        yield from (_layer(name[1:]) for name in names if name[0] == "chattmpl")
    elif node.level:
        yield "a relative import"
    elif node.module == "chattmpl":
        yield from (alias.name if _is_module(alias.name) else "__init__" for alias in node.names)
    elif node.module and node.module.startswith("chattmpl."):
        yield node.module.split(".")[1]


def _imports(path: Path) -> Iterator[Import]:
    importer = _layer(_own(path))

    def walk(node: ast.AST, lazy: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                place = f"{path.relative_to(ROOT)}:{child.lineno}"
                yield from (Import(importer, target, lazy, place) for target in _targets(child))
            else:
                function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
                yield from walk(child, lazy or function or typing_only)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), lazy=False)


def _allowed(item: Import) -> bool:
    if item.imported == item.importer:
        return True
    if item.imported == EXTRA:
        return item.importer == "cli" and item.lazy
    if item.importer == EXTRA:
        return item.imported in ORDER and item.imported not in ("cli", "__main__")
    if (item.importer, item.imported) in HANDED_ON:
        return item.lazy
    return item.imported in ORDER and ORDER.index(item.imported) < ORDER.index(item.importer)


def _id(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_a_module_has_its_place_in_the_order(path: Path) -> None:
    assert _layer(_own(path)) in (*ORDER, EXTRA), "give it a place in ORDER: what may it import, and who may import it?"


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_a_module_imports_only_earlier_ones(path: Path) -> None:
    wrong = [f"{item.place}: {item.importer} imports {item.imported}" for item in _imports(path) if not _allowed(item)]
    assert wrong == []


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_a_module_has_fewer_than_400_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < LONGEST


@pytest.mark.parametrize(
    ("importer", "imported", "lazy", "allowed"),
    [
        ("render", "compiler", False, True),
        ("compiler", "render", False, False),
        ("compiler", "render", True, False),
        ("render", "encode", True, True),
        ("render", "encode", False, False),
        ("cli", "extra", True, True),
        ("cli", "extra", False, False),
        ("laws", "extra", True, False),
        ("extra", "encode", False, True),
        ("extra", "cli", True, False),
        ("lint", "__init__", False, False),
        ("lint", "a relative import", False, False),
        ("lint", "lint", False, True),
    ],
)
def test_the_order_says_who_may_import_whom(importer: str, imported: str, lazy: bool, allowed: bool) -> None:
    assert _allowed(Import(importer, imported, lazy, "")) is allowed
