"""Where templates are found: a family, a file, a model directory, a tokenizer_config.json, a tokenizer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chattmpl.errors import TemplateError, UsageError, did_you_mean
from chattmpl.source import Source
from chattmpl.template.family import FILE, Family, family_names, load_family, read_family

CONFIG = "tokenizer_config.json"


@dataclass(frozen=True)
class Found:
    """A template's source with what was found beside it: special tokens (kwargs), and its family, if it is one."""

    source: Source
    tokens: dict[str, str] = field(default_factory=dict)
    family: Family | None = None


def find_template(which: Any, variant: str | None = None) -> Found:
    """The template that a user means.

    Args:
        which: name of a family, path of a .jinja file, of a family's folder, of a model directory or of a
            tokenizer_config.json, or a tokenizer object with a ``chat_template``.
        variant: which of several named templates (``tool_use``); ``default`` if not given.

    Raises:
        UsageError: if there is no such thing.
        TemplateError: if it holds no template.
    """
    if not isinstance(which, (str, Path)):
        return _of_tokenizer(which, variant)
    path = Path(which)
    if isinstance(which, str) and which in family_names():
        return _of_family(load_family(which))
    if path.is_dir():
        return _of_family(read_family(path)) if (path / FILE).is_file() else _of_model(path, variant)
    if path.is_file():
        return _of_file(path, variant)
    looks_like_path = path.suffix in (".jinja", ".json", ".j2") or str(which).startswith((".", "/"))
    if looks_like_path:
        raise UsageError(f"there is no file {which}", hint="check the path")
    known = family_names()
    raise UsageError(
        f"there is no template {str(which)!r}: no family and no file or folder has that name",
        hint=did_you_mean(str(which), known) or f"the families are {', '.join(known)}",
    )


def _of_family(family: Family) -> Found:
    return Found(family.template_source, dict(family.tokens), family)


def _of_file(path: Path, variant: str | None) -> Found:
    if path.suffix == ".json":
        config = _read_json(path)
        return Found(_pick(config.get("chat_template"), variant, path), _special_tokens(config))
    return Found(Source(_read(path), str(path)))


def _of_model(folder: Path, variant: str | None) -> Found:
    """A model directory: ``chat_template.jinja`` and ``additional_chat_templates`` win over the config, as upstream."""
    config = _read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    mapped = folder / "special_tokens_map.json"
    tokens = {**(_special_tokens(_read_json(mapped)) if mapped.is_file() else {}), **_special_tokens(config)}
    named = folder / "additional_chat_templates" / f"{variant}.jinja"
    own = folder / "chat_template.jinja"
    if variant not in (None, "default") and named.is_file():
        return Found(Source(_read(named), str(named)), tokens)
    if variant in (None, "default") and own.is_file():
        return Found(Source(_read(own), str(own)), tokens)
    if not config:
        raise TemplateError(
            f"the folder {folder} holds no chat template",
            hint=f"a model directory has a chat_template.jinja or a {CONFIG}; a family's folder has a {FILE}",
        )
    return Found(_pick(config.get("chat_template"), variant, folder / CONFIG), tokens)


def _of_tokenizer(tokenizer: Any, variant: str | None) -> Found:
    template = getattr(tokenizer, "chat_template", None)
    if template is None:
        raise UsageError(
            f"a template is loaded from a name, a path or a tokenizer with a chat template, not from {type(tokenizer)}"
        )
    tokens = getattr(tokenizer, "special_tokens_map", {})
    name = Path(str(getattr(tokenizer, "name_or_path", "") or "tokenizer"))
    return Found(_pick(template, variant, name), {key: str(value) for key, value in tokens.items()})


def _pick(template: Any, variant: str | None, path: Path) -> Source:
    """One template of a ``chat_template`` entry: a string, a list of named templates, or a dict of them."""
    if isinstance(template, list):
        named_items = [item for item in template if isinstance(item, dict) and {"name", "template"} <= item.keys()]
        if len(named_items) < len(template):
            raise TemplateError(
                f"{path} has a list of chat templates in which not every item has a name and a template",
                hint='each item is {"name": "default", "template": "…"}',
            )
        template = {item["name"]: item["template"] for item in named_items}
    if isinstance(template, str) and variant in (None, "default"):
        return Source(template, f"{path}:chat_template")
    named: dict[str, str] = template if isinstance(template, dict) else {}
    wanted = variant or "default"
    if wanted in named:
        return Source(named[wanted], f"{path}:chat_template[{wanted}]")
    if not named:
        raise TemplateError(
            f"{path} has no chat template" + (f" named {variant!r}" if variant and template else ""),
            hint="look for a chat_template.jinja beside it",
        )
    raise TemplateError(
        f"{path} has no template named {wanted!r}", hint=f"choose one with variant=: {', '.join(sorted(named))}"
    )


def _special_tokens(config: dict[str, Any]) -> dict[str, str]:
    tokens = {}
    for key, value in config.items():
        if key.endswith("_token") and value is not None:
            content = value.get("content") if isinstance(value, dict) else value
            if isinstance(content, str):
                tokens[key] = content
    return tokens


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise TemplateError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(_read(path))
    except ValueError as error:
        raise TemplateError(f"{path} is not JSON: {error}") from None
    if not isinstance(config, dict):
        raise TemplateError(f"{path} is not a JSON object")
    return config
