"""The packages that importing the library and running a command load."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import chattmpl
from support import ROOT

HEAVY = {"torch", "transformers", "trl", "pyarrow", "rich", "numpy", "click"}
"""Packages that ``import chattmpl`` must not load, even if they are installed."""

CORE = {"compiler", "conversation", "provenance", "syntax", "template"}
"""The packages that load and render a template."""


def _loaded_by(statement: str, folder: Path) -> set[str]:
    code = f"{statement}\nimport sys, json\nprint(json.dumps([name.partition('.')[0] for name in sys.modules]))"
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_importing_the_library_loads_nothing_heavy(tmp_path: Path) -> None:
    loaded = _loaded_by("import chattmpl", tmp_path)
    assert "chattmpl" in loaded
    assert not loaded & HEAVY


def test_the_public_names_load_nothing_heavy_either(tmp_path: Path) -> None:
    loaded = _loaded_by("from chattmpl import *", tmp_path)
    assert "chattmpl" in loaded
    assert not loaded & HEAVY


def test_each_public_name_can_be_imported() -> None:
    pytest.importorskip("numpy", exc_type=ImportError)
    assert {name: getattr(chattmpl, name).__name__ for name in dir(chattmpl) if name[0].isupper()} == {
        name: name for name in dir(chattmpl) if name[0].isupper()
    }
    assert "Encoder" in dir(chattmpl)


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


def test_the_encoder_is_public_and_its_extra_is_named_where_it_is_missing() -> None:
    code = "import sys; sys.modules['numpy'] = None; from chattmpl import Encoder"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "chattmpl.Encoder needs the package numpy: pip install 'chattmpl[data]'" in done.stderr


def test_a_render_on_the_command_line_loads_only_the_packages_that_it_needs(tmp_path: Path) -> None:
    arguments = ["chattmpl", "render", "fixtures/tool_call.json", "-t", "qwen3"]
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
        heavy = HEAVY - {"click"} | {"tokenizers", "hypothesis", "rich"}
        assert not {name.partition(".")[0] for name in loaded} & heavy
        assert _packages(loaded) == {*CORE, "cli", "report"}
        assert ("chattmpl.syntax.tree" in loaded) is first  # the second render finds the code in the cache


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
