"""What it costs to import the library, and to render from a cold start."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from support import ROOT

HEAVY = {"torch", "transformers", "trl", "pyarrow", "rich", "numpy", "click"}
"""What ``import chattmpl`` must not load, whether or not it is installed."""

CHATTMPL = Path(sys.executable).parent / "chattmpl"


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


def test_the_encoder_is_public_and_its_extra_is_named_where_it_is_missing() -> None:
    code = "import sys; sys.modules['numpy'] = None; from chattmpl import Encoder"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "chattmpl.Encoder needs the package numpy: pip install 'chattmpl[data]'" in done.stderr


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def test_a_cold_render_takes_about_twice_the_time_of_its_imports() -> None:
    imports = [sys.executable, "-c", "import jinja2, pydantic, tokenizers"]
    render = [str(CHATTMPL), "render", "fixtures/tool_call.json", "-t", "qwen3"]
    pairs = [(_seconds(imports), _seconds(render)) for _ in range(9)]
    # the best of several, taken in turn: a busy machine makes a single one slower, never faster
    assert min(pair[1] for pair in pairs) <= 2.6 * min(pair[0] for pair in pairs)
