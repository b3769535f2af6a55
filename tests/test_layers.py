"""Imports go one way, lazy and typing-only ones included, and load only the packages that are needed."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import chattmpl
from support import ROOT

PACKAGE = ROOT / "chattmpl"

ORDER = (
    "printable",
    "version",
    "source",
    "errors",
    "input_files",
    "project_file",
    "options",
    "cache",
    "budget",
    "bounds",
    "conversation",
    "syntax",
    "diagnostic",
    "rule_registry",
    "provenance",
    "compiler",
    "template",
    "engine",
    "encode",
    "probing",
    "parse",
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


NOT_LOADED = {"torch", "transformers", "trl", "pyarrow", "rich", "numpy", "click"}
"""Packages that ``import chattmpl`` must not load, even if they are installed."""

CORE = {"compiler", "conversation", "provenance", "syntax", "template"}
"""The packages that load and render a template."""


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


@pytest.fixture(scope="module")
def imports() -> list[Import]:
    """Return all imports of the package."""
    return [found for name in MODULES for found in _imports(name)]


@pytest.fixture(scope="module")
def own_imports(imports: list[Import]) -> list[Import]:
    """Return the imports of one module of the package by another one."""
    return [found for found in imports if found.imported in MODULES and found.imported != found.importer]


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


def test_imports_go_from_the_top_of_the_order_to_the_bottom(own_imports: list[Import]) -> None:
    assert _backward(own_imports) == []


def test_no_modules_import_each_other(own_imports: list[Import]) -> None:
    assert _circles(own_imports) == []


def test_no_import_is_relative(imports: list[Import]) -> None:
    assert [item.place for item in imports if not item.imported] == []


def test_heavy_packages_are_imported_only_where_they_are_needed(imports: list[Import]) -> None:
    light = ORDER[: ORDER.index("data")]
    wrong = [item for item in imports if item.eager and item.imported.split(".")[0] in HEAVY]
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


def _loaded_by(statement: str, folder: Path) -> set[str]:
    code = f"{statement}\nimport sys, json\nprint(json.dumps([name.partition('.')[0] for name in sys.modules]))"
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_importing_the_library_loads_nothing_heavy(tmp_path: Path) -> None:
    loaded = _loaded_by("import chattmpl", tmp_path)
    assert "chattmpl" in loaded
    assert not loaded & NOT_LOADED


def test_the_public_names_load_nothing_heavy_either(tmp_path: Path) -> None:
    loaded = _loaded_by("from chattmpl import *", tmp_path)
    assert "chattmpl" in loaded
    assert not loaded & NOT_LOADED


def test_no_two_packages_export_different_things_under_one_name() -> None:
    pytest.importorskip("pyarrow", exc_type=ImportError)
    found: dict[str, dict[int, list[str]]] = {}
    for path in sorted((ROOT / "chattmpl").rglob("__init__.py")):
        package = ".".join(path.parent.relative_to(ROOT).parts)
        if "\n__all__" not in path.read_text(encoding="utf-8") or package == "chattmpl":
            continue
        module = importlib.import_module(package)
        for name in module.__all__:
            found.setdefault(name, {}).setdefault(id(getattr(module, name)), []).append(package)
    assert {name: list(packages.values()) for name, packages in found.items() if len(packages) > 1} == {}
    assert len(found) > 50


def test_each_public_name_can_be_imported() -> None:
    pytest.importorskip("numpy", exc_type=ImportError)
    assert {name: getattr(chattmpl, name).__name__ for name in dir(chattmpl) if name[0].isupper()} == {
        name: name for name in dir(chattmpl) if name[0].isupper()
    }
    assert "Encoder" in dir(chattmpl)


def test_the_encoder_is_public_and_its_extra_is_named_where_it_is_missing() -> None:
    code = "import sys; sys.modules['numpy'] = None; from chattmpl import Encoder"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "chattmpl.Encoder needs the package numpy: pip install 'chattmpl[data]'" in done.stderr


def test_a_render_on_the_command_line_loads_only_the_packages_that_it_needs(tmp_path: Path) -> None:
    arguments = ["chattmpl", "render", "fixtures/tool_call.json", "-t", "qwen3", "--format", "text"]
    code = f"""
import atexit, json, sys
sys.argv = {arguments!r}
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
from chattmpl.cli import main
sys.exit(main())
"""
    environment = {**os.environ, "CHATTMPL_CACHE": str(tmp_path)}
    for first in (True, False):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, env=environment
        )
        loaded = set(json.loads(done.stderr))
        assert "<|im_start|>" in done.stdout
        heavy = NOT_LOADED - {"click"} | {"tokenizers", "hypothesis", "rich"}
        assert not {name.partition(".")[0] for name in loaded} & heavy
        assert _packages(loaded) == {*CORE, "cli", "report"}
        assert ("chattmpl.syntax.tree" in loaded) is first  # the second render finds the code in the cache


def test_an_encode_of_few_rows_loads_no_fast_path_and_probes_a_template_only_once(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", exc_type=ImportError)
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    (tmp_path / "rows.jsonl").write_text(json.dumps({"messages": turns * 2}) + "\n", encoding="utf-8")
    options = [
        "-t",
        "qwen3",
        "--tokenizer",
        "demo",
        "-o",
        str(tmp_path / "out"),
        "--force",
        "--workers",
        "1",
        "--rows",
        "one",
    ]
    code = f"""
import sys
from chattmpl.cli import main
assert main(["encode", {str(tmp_path / "rows.jsonl")!r}, *{options!r}]) == 0
print(*sorted(sys.modules))
"""
    environment = {**os.environ, "CHATTMPL_CACHE": str(tmp_path / "cache")}
    notes = []
    for first in (True, False):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        loaded = set(done.stdout.splitlines()[-1].split())
        assert "chattmpl.data.job.run" in loaded
        assert not loaded & {"gigatoken", "chattmpl.data.fast.codegen", "chattmpl.data.fast.path"}
        assert ("chattmpl.probing" in loaded, "chattmpl.syntax.tree" in loaded) == (first, first)
        notes.append(done.stderr)
    assert notes[0] == notes[1]
    assert "earlier answers" in notes[0]


def test_help_loads_no_package_but_that_of_the_command_line() -> None:
    code = """
import json, sys
from chattmpl.cli import command_names
assert "render" in command_names()
print(json.dumps(sorted(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert _packages(loaded) == {"cli", "report"}
    assert not {"jinja2", "pydantic"} & loaded


def test_a_render_loads_only_the_packages_that_it_needs() -> None:
    code = """
import json, sys
from chattmpl import Template
Template.load("qwen3").render([{"role": "user", "content": "Hi"}])
print(json.dumps(sorted(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert _packages(set(json.loads(done.stdout))) == CORE


def _packages(loaded: set[str]) -> set[str]:
    return {path.name for path in (ROOT / "chattmpl").iterdir() if f"chattmpl.{path.name}" in loaded and path.is_dir()}
