"""The programs in tools/, as modules."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from support import ROOT


def tool(name: str) -> ModuleType:
    """Load a program of tools/ by its name without ``.py``."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks for its module there.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
