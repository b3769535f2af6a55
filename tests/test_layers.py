"""Imports go one way: between packages, and between the modules of a package. Lazy and typing-only ones count."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support import ROOT

PACKAGE = ROOT / "chattmpl"

ORDER = (
    "printable",
    "version",
    "source",
    "errors",
    "registry",
    "cache",
    "budget",
    "bounds",
    "conversation",
    "syntax",
    "diagnostic",
    "provenance",
    "compiler",
    "template",
    "engine",
    "encode",
    "parse",
    "probing",
    "laws",
    "lint",
    "capabilities",
    "compare",
    "rewrite",
    "data",
    "training",
    "report",
    "playground",
    "api",
    "__init__",
    "testing",
    "cli",
    "__main__",
)
"""The packages and root modules, lowest first: each may import itself and those before it."""

LONGEST = 600
"""Lines of a module; one that needs more holds more than one idea."""

HEAVY = frozenset(
    [
        "accelerate",
        "datasets",
        "gguf",
        "gigatoken",
        "minijinja",
        "nicegui",
        "numpy",
        "orjson",
        "peft",
        "pyarrow",
        "ray",
        "torch",
        "transformers",
        "trl",
        "yaml",
        "zstandard",
    ]
)
"""Packages that no module below `data` imports when it is itself imported."""


class Import(NamedTuple):
    """One import statement: who imports what, where it stands, and whether it runs when the module is imported."""

    importer: str
    imported: str
    place: str
    eager: bool


def _modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()


def _imports(name: str) -> Iterator[Import]:
    def walk(node: ast.AST, eager: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            place = f"{MODULES[name].relative_to(ROOT)}:{getattr(child, 'lineno', 0)}"
            if isinstance(child, ast.Import):
                yield from (Import(name, alias.name, place, eager) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                module = child.module or ""
                for alias in child.names:
                    whole = f"{module}.{alias.name}"
                    yield Import(name, whole if whole in MODULES else module, place, eager)
            else:
                function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
                yield from walk(child, eager and not function and not typing_only)

    yield from walk(ast.parse(MODULES[name].read_text(encoding="utf-8")), eager=True)


IMPORTS = [found for name in MODULES for found in _imports(name)]
OWN = [found for found in IMPORTS if found.imported in MODULES and found.imported != found.importer]


def _layer(module: str) -> str:
    return [*module.split("."), "__init__"][1]


def _backward(imports: Iterable[Import]) -> list[str]:
    """Return the imports that go from a lower layer to a higher one."""
    return [
        f"{item.place}: {item.importer} imports {item.imported}"
        for item in imports
        if ORDER.index(_layer(item.imported)) > ORDER.index(_layer(item.importer))
    ]


def _circles(imports: Iterable[Import]) -> list[list[str]]:
    """Return the strongly connected components of more than one module (Tarjan's algorithm)."""
    graph: dict[str, set[str]] = defaultdict(set)
    for item in imports:
        graph[item.importer].add(item.imported)
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in graph[module]:
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            component = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(component) > 1:
                found.append(sorted(component))

    for module in list(graph):
        if module not in index:
            visit(module)
    return found


def test_each_package_has_a_place_in_the_order() -> None:
    assert {_layer(name) for name in MODULES} - {*ORDER} == set()


def test_imports_go_from_the_top_of_the_order_to_the_bottom() -> None:
    assert _backward(OWN) == []


def test_no_modules_import_each_other() -> None:
    assert _circles(OWN) == []


def test_no_import_is_relative() -> None:
    assert [item.place for item in IMPORTS if not item.imported] == []


def test_heavy_packages_are_imported_only_where_they_are_needed() -> None:
    light = ORDER[: ORDER.index("data")]
    wrong = [item for item in IMPORTS if item.eager and item.imported.split(".")[0] in HEAVY]
    assert [item.place for item in wrong if _layer(item.importer) in light] == []


def test_modules_are_short_enough_to_be_read() -> None:
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


@pytest.mark.parametrize(
    ("importer", "imported", "backward"),
    [
        ("chattmpl.template.rendering", "chattmpl.compiler.program", False),
        ("chattmpl.compiler.program", "chattmpl.template.rendering", True),
        ("chattmpl.laws.stop", "chattmpl.data.job.run", True),
        ("chattmpl.data.job.run", "chattmpl.laws.stop", False),
        ("chattmpl.lint.runner", "chattmpl", True),
        ("chattmpl.lint.runner", "chattmpl.lint.rule", False),
    ],
)
def test_the_order_decides_which_imports_go_backward(importer: str, imported: str, backward: bool) -> None:
    assert bool(_backward([Import(importer, imported, "here", eager=False)])) is backward


def test_a_circle_is_found_through_lazy_imports() -> None:
    edges = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")]
    assert _circles([Import(one, other, "here", eager=False) for one, other in edges]) == [["a", "b", "c"]]
