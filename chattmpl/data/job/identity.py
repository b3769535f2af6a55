"""What makes two jobs the same: the bytes that they read, and all that changes what they write."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from chattmpl.data.job.options import Options
from chattmpl.data.job.plan import Plan
from chattmpl.data.sources.byte_stream import digest_of
from chattmpl.encode import load_tokenizer
from chattmpl.encode.fast_tokenizer import FastTokenizer
from chattmpl.template.template import Template
from chattmpl.version import __version__

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def identity(plan: Plan, template: Template, tokenizer: object, options: Options, seed: int) -> dict[str, Any]:
    """A job as JSON; two that are equal write the same bytes."""
    return {
        "chattmpl": __version__,
        "template": {
            "name": template.name,
            "retention": template.retention,
            "digest": _digest(template.source + repr(sorted(template.tokens.items()))),
        },
        "tokenizer": _tokenizer(tokenizer),
        "options": options.said(),
        "seed": seed,
        "mixture": plan.mixture.model_dump(mode="json"),
        "files": [
            {"path": scan.file.path, "rows": scan.rows, "digest": scan.digest}
            for source in plan.sources
            for scan in source.scans
        ],
    }


def difference(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """In what a job differs from another, in words; None if they are the same."""
    words = {"files": "the data", "chattmpl": "the version of chattmpl", "mixture": "the mixture"}
    changed = [name for name in now if before.get(name) != now[name]]
    if "options" in changed:
        changed.remove("options")
        changed += [f"--{name}".replace("_", "-") for name in _changed(before.get("options"), now["options"])]
    said = [words.get(name, name if name.startswith("--") else f"the {name}") for name in changed]
    return ", ".join(said) or None


def _changed(before: Any, now: dict[str, Any]) -> list[str]:
    earlier = before if isinstance(before, dict) else {}
    return [name for name in now if earlier.get(name) != now[name]]


def _tokenizer(tokenizer: object) -> dict[str, Any]:
    if not isinstance(tokenizer, str | Path):
        adapted = load_tokenizer(tokenizer)
        definition = adapted.raw.to_str() if isinstance(adapted, FastTokenizer) else repr(tokenizer)
        return {"name": type(tokenizer).__name__, "digest": _digest(definition)}
    digests = [digest_of(str(file)) for file in tokenizer_files(tokenizer)]
    return {"name": str(tokenizer), "digest": _digest("".join(digests)) if digests else None}


def tokenizer_files(tokenizer: str | Path) -> list[Path]:
    """The files that a tokenizer is read from, the definition first; none where it is no path."""
    path = Path(tokenizer)
    files = [path / name for name in _TOKENIZER_FILES] if path.is_dir() else [path]
    if path.is_file():
        files.append(path.with_name(_TOKENIZER_FILES[1]))
    return [file for file in dict.fromkeys(files) if file.is_file()]


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
