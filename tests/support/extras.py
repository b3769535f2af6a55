"""Requirements of single tests: packages, which must be there where these tests are asked for, and Linux."""

from __future__ import annotations

import importlib.util
import os
import sys

import pytest

ON_LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures processes as Linux has them")


def need(*modules: str, session: str = "data") -> None:
    """Skips the test module where a package is missing.

    In the nox session that is there for these tests it fails instead: ``CHATTMPL_REQUIRE_DATA=1``,
    ``CHATTMPL_REQUIRE_TRAIN=1``, ``CHATTMPL_REQUIRE_XGRAMMAR=1``.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing and os.environ.get(f"CHATTMPL_REQUIRE_{session.upper()}") == "1":
        raise ModuleNotFoundError(f"not installed: {', '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}", allow_module_level=True)
