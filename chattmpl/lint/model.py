"""What stands beside a template in a model directory: its tokenizer, special tokens, and the tokens that end a text."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from chattmpl.lint.context import LintContext
from chattmpl.template.resolver import CONFIG, Found

TOKENIZER = "tokenizer.json"
_GENERATION = "generation_config.json"
_INSIDE = re.compile(r":(?:chat_template(?:\[[^\]]*\])?|tokenizer\.chat_template\S*)$")
"""What follows a path where the template is inside of a config or a GGUF file."""

_folders: WeakKeyDictionary[Any, Path] = WeakKeyDictionary()


@dataclass(frozen=True)
class Model:
    """What a model directory says of its tokens.

    Attributes:
        tokens: the special tokens, as ``eos_token``; empty where nothing is known.
        adds_bos: whether its config says that the tokenizer adds a BOS.
        ends: the ids at which generation ends, as ``generation_config.json`` has them; None if there is no such file.
    """

    tokens: dict[str, str] = field(default_factory=dict)
    adds_bos: bool = False
    ends: tuple[int, ...] | None = None


def file_of(found: Found) -> Path:
    """The file that a template stands in."""
    return Path(_INSIDE.sub("", found.source.name))


def tokenizer_beside(found: Found) -> Path | None:
    """The tokenizer.json of the model directory that a template is part of."""
    folder = _folder(found)
    path = folder / TOKENIZER if folder is not None else None
    return path if path is not None and path.is_file() else None


def _folder(found: Found) -> Path | None:
    path = file_of(found)
    if path.name in (CONFIG, "chat_template.jinja", "chat_template.json"):
        return path.parent
    return path.parent.parent if path.parent.name == "additional_chat_templates" else None


def remember(tokenizer: Any, given: str) -> None:
    """Keeps in mind which folder a tokenizer was read from, if it was read from one."""
    path = Path(given)
    if path.exists():
        _folders[tokenizer] = path if path.is_dir() else path.parent


def with_tokens(found: Found, tokenizer: Any) -> Found:
    """The template with the special tokens of the tokenizer's folder, if it came without any."""
    folder = _folders.get(tokenizer)
    if found.tokens or folder is None:
        return found
    return replace(found, tokens=_model(folder).tokens)


def model_of(subject: LintContext) -> Model:
    """What is known of the tokens of a template's model."""
    folder = _folder(subject.found)
    if folder is None and subject.tokenizer is not None:
        folder = _folders.get(subject.tokenizer)
    model = Model() if folder is None else _model(folder)
    return replace(model, tokens={**subject.found.tokens, **model.tokens})


def _model(folder: Path) -> Model:
    config, generation = _json(folder / CONFIG) or {}, _json(folder / _GENERATION)
    tokens = {}
    for key, value in config.items():
        content = value.get("content") if isinstance(value, dict) else value
        if key.endswith("_token") and isinstance(content, str):
            tokens[key] = content
    ends = None if generation is None else generation.get("eos_token_id")
    if isinstance(ends, int):
        ends = [ends]
    known = None if ends is None else tuple(end for end in ends if isinstance(end, int))
    return Model(tokens, config.get("add_bos_token") is True, known)


def _json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
