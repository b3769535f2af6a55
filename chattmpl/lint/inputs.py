"""What there is to lint at a path: templates in files, folders, configs with several templates, and GGUF files."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from chattmpl.errors import TemplateError, UsageError, did_you_mean
from chattmpl.source import Source
from chattmpl.template.family import FILE, TEMPLATE_FILE, family_names, read_family
from chattmpl.template.resolver import CONFIG, Found, find_template

TEMPLATES = (".jinja", ".jinja2", ".j2")
_MODEL_TEMPLATE = "chat_template.jinja"
_ADDITIONAL = "additional_chat_templates"
_GGUF_KEY = "tokenizer.chat_template"


def find_inputs(paths: Iterable[str]) -> Iterator[Found]:
    """The templates at paths, each once.

    Args:
        paths: .jinja files, glob patterns, folders, model directories, tokenizer_config.json, GGUF files, families.

    Raises:
        UsageError: for a path at which there is nothing.
        TemplateError: for a file that holds no template.
    """
    seen: set[tuple[str, str]] = set()
    for path in paths:
        for found in _at(path):
            key = (found.source.name, found.source.text)
            if key not in seen:
                seen.add(key)
                yield found


def _at(given: str) -> Iterator[Found]:
    path = Path(given)
    if path.is_dir():
        yield from _in_folder(path)
    elif path.is_file():
        yield from _in_file(path)
    elif given in family_names():
        yield find_template(given)
    elif glob.has_magic(given):
        anchor = Path(path.anchor)
        files = [match for match in sorted(anchor.glob(str(path.relative_to(anchor)))) if match.is_file()]
        if not files:
            raise UsageError(f"no file matches {given}", hint="quote the pattern, or check the folder")
        for match in files:
            yield from _in_file(match)
    else:
        hint = did_you_mean(given, family_names()) or "give a .jinja file, a folder, a model directory or a family"
        raise UsageError(f"there is no file or folder {given}", hint=hint)


def _in_folder(folder: Path) -> Iterator[Found]:
    if (folder / FILE).is_file():
        yield _family(folder)
        return
    if (folder / CONFIG).is_file() or (folder / _MODEL_TEMPLATE).is_file():
        yield from _model(folder)
        return
    paths = sorted(path for path in folder.rglob("*") if path.suffix in TEMPLATES or path.name == CONFIG)
    if not paths:
        raise UsageError(f"there is no template in the folder {folder}", hint="a template is a .jinja file")
    for path in paths:
        yield from _in_file(path)


def _in_file(path: Path) -> Iterator[Found]:
    if path.suffix == ".gguf":
        yield from _gguf(path)
    elif path.suffix == ".json":
        yield from _config(path)
    elif path.name == TEMPLATE_FILE and (path.parent / FILE).is_file():
        yield _family(path.parent)
    elif path.name == _MODEL_TEMPLATE and (path.parent / CONFIG).is_file():
        yield find_template(path.parent)
    else:
        yield find_template(path)


def _family(folder: Path) -> Found:
    family = read_family(folder)
    source = Source(family.template_source.text, str(folder / TEMPLATE_FILE))
    return Found(source, dict(family.tokens), family)


def _model(folder: Path) -> Iterator[Found]:
    own = (folder / _MODEL_TEMPLATE).is_file()
    if own:
        yield find_template(folder)
    for extra in sorted((folder / _ADDITIONAL).glob("*.jinja")):
        yield find_template(folder, extra.stem)
    if not own:
        yield from _config(folder / CONFIG)


def _config(path: Path) -> Iterator[Found]:
    try:
        config: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TemplateError(f"{path} is not JSON: {error}") from None
    template = config.get("chat_template") if isinstance(config, dict) else None
    if isinstance(template, list):
        names = [str(item["name"]) for item in template if isinstance(item, dict) and "name" in item]
    elif isinstance(template, dict):
        names = [str(name) for name in template]
    else:
        names = ["default"]
    for name in names:
        yield find_template(path, name)


def _gguf(path: Path) -> Iterator[Found]:
    try:
        import gguf
    except ImportError as error:
        raise UsageError("reading GGUF files needs the package gguf", hint="pip install 'chattmpl[gguf]'") from error
    try:
        fields: dict[str, Any] = gguf.GGUFReader(str(path)).fields
        tokens = _gguf_tokens(fields)
        templates = {
            name: str(field.contents())
            for name, field in sorted(fields.items())
            if name == _GGUF_KEY or name.startswith(f"{_GGUF_KEY}.")
        }
    except Exception as error:  # what the package raises on a damaged file is of every kind
        what = " ".join(str(error).split())[:200]
        raise TemplateError(f"{path} is not a GGUF file, or a damaged one: {what}", hint="fetch it again") from None
    if not templates:
        raise TemplateError(f"{path} holds no chat template", hint="engines fall back to one of their own then")
    for name, text in templates.items():
        yield Found(Source(text, f"{path}:{name}"), tokens)


def _gguf_tokens(fields: dict[str, Any]) -> dict[str, str]:
    """The special tokens, which the file tells by their ids."""
    tokens = {}
    for kind in ("bos", "eos"):
        identifier = fields.get(f"tokenizer.ggml.{kind}_token_id")
        vocabulary = fields.get("tokenizer.ggml.tokens")
        if identifier is not None and vocabulary is not None:
            tokens[f"{kind}_token"] = str(vocabulary.contents(int(identifier.contents())))
    return tokens
