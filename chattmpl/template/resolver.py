"""The resolver: from what a user names to a template with its special tokens, its family and its model directory.

`find_template` returns the one template that a name or path means. `find_templates` returns all templates at paths,
for the commands that check many.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chattmpl.errors import ChatTmplError, TemplateError, UsageError, did_you_mean
from chattmpl.input_files import check_regular, matching_files
from chattmpl.source import Source
from chattmpl.template.family import FILE, TEMPLATE_FILE, Family, family_names, load_family, read_family
from chattmpl.template.gguf import StringArray, read_metadata
from chattmpl.template.model_directory import (
    ADDITIONAL,
    CONFIG,
    TEMPLATE,
    ModelDirectory,
    read_json,
    read_text,
    special_tokens,
)

Failed = Callable[[ChatTmplError], None] | None
"""Function that takes the error about one input; None to raise it."""

_SUFFIXES = (".jinja", ".jinja2", ".j2")
_GGUF = ".gguf"
_GGUF_KEY = "tokenizer.chat_template"


@dataclass(frozen=True)
class TemplateSource:
    """The source of a template, with its special tokens, family and model directory.

    Attributes:
        source: the text, with a name for messages: ``path``, ``path:chat_template`` or ``path:chat_template[name]``.
        tokens: special tokens, which are kwargs of every render.
        family: its family, if it is a shipped one.
        path: the file that holds the template, if it was read from one.
        variant: its name in that file, if the file holds several.
        directory: the model directory that it is part of, if it is part of one.
    """

    source: Source
    tokens: dict[str, str] = field(default_factory=dict)
    family: Family | None = None
    path: Path | None = None
    variant: str | None = None
    directory: ModelDirectory | None = None


def find_template(which: Any, variant: str | None = None) -> TemplateSource:
    """Find the template that a user means.

    Args:
        which: a family's name; the path of a .jinja file, a family's folder, a model directory, a
            tokenizer_config.json or a GGUF file; or a tokenizer object with a ``chat_template``.
        variant: the name of one of several templates, such as ``tool_use``; ``default`` if None.

    Raises:
        UsageError: if nothing has this name.
        TemplateError: if it holds no such template.
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
    if path.exists():
        check_regular(path)
    looks_like_path = path.suffix in (".jinja", ".json", ".j2", _GGUF) or str(which).startswith((".", "/"))
    if looks_like_path:
        raise UsageError(f"there is no file {which}", hint="check the path")
    known = family_names()
    raise UsageError(
        f"there is no template {str(which)!r}: no family and no file or folder has that name",
        hint=did_you_mean(str(which), known) or f"the families are {', '.join(known)}",
    )


def find_templates(paths: Iterable[str], failed: Failed = None) -> Iterator[TemplateSource]:
    """Find all templates at paths, each once.

    Args:
        paths: .jinja files, glob patterns, folders, model directories, tokenizer_config.json and GGUF files, families.
        failed: called with the error about a path or a file, after which the others follow. Without it, the first error
            is raised.

    Raises:
        UsageError: for a path at which there is nothing.
        TemplateError: for a file that holds no template.
    """
    seen: set[tuple[str, str]] = set()
    for path in paths:
        for found in _others_follow(_at(path, failed), failed):
            key = (found.source.name, found.source.text)
            if key not in seen:
                seen.add(key)
                yield found


# -- one template


def _of_family(family: Family) -> TemplateSource:
    return TemplateSource(family.template_source, dict(family.tokens), family)


def _of_file(path: Path, variant: str | None) -> TemplateSource:
    if path.suffix == _GGUF:
        return _of_gguf(path, variant)
    directory = ModelDirectory.of(path)
    if path.suffix == ".json":
        config = read_json(path)
        return _picked(config.get("chat_template"), variant, path, special_tokens(config), directory)
    tokens = directory.tokens if directory is not None else {}
    return TemplateSource(Source(read_text(path), str(path)), tokens, path=path, directory=directory)


def _of_model(folder: Path, variant: str | None) -> TemplateSource:
    """Return a template of a model directory: as in transformers, separate files precede the config."""
    default = variant in (None, "default")
    file = folder / TEMPLATE if default else folder / ADDITIONAL / f"{variant}.jinja"
    if file.is_file():
        return _of_file(file, None)
    if not (folder / CONFIG).is_file():
        raise TemplateError(
            f"the folder {folder} holds no chat template",
            hint=f"a model directory has a {TEMPLATE} or a {CONFIG}; a family's folder has a {FILE}",
        )
    directory = ModelDirectory(folder)
    return _picked(directory.config.get("chat_template"), variant, folder / CONFIG, directory.tokens, directory)


def _of_tokenizer(tokenizer: Any, variant: str | None) -> TemplateSource:
    template = getattr(tokenizer, "chat_template", None)
    if template is None:
        raise UsageError(
            f"a template is loaded from a name, a path or a tokenizer with a chat template, not from {type(tokenizer)}"
        )
    tokens = {key: str(value) for key, value in getattr(tokenizer, "special_tokens_map", {}).items()}
    name = Path(str(getattr(tokenizer, "name_or_path", "") or "tokenizer"))
    return _picked(template, variant, name, tokens, None)


def _picked(
    template: Any, variant: str | None, path: Path, tokens: dict[str, str], directory: ModelDirectory | None
) -> TemplateSource:
    """Return one template of a ``chat_template`` entry: a string, a list of named templates, or a dict of them."""
    if isinstance(template, str) and variant in (None, "default"):
        return TemplateSource(
            Source(template, f"{path}:chat_template", str(path)), tokens, path=path, directory=directory
        )
    named = _named(template, path)
    wanted = variant or "default"
    if wanted in named:
        source = Source(named[wanted], f"{path}:chat_template[{wanted}]", str(path))
        return TemplateSource(source, tokens, path=path, variant=wanted, directory=directory)
    if not named:
        raise TemplateError(
            f"{path} has no chat template" + (f" named {variant!r}" if variant and template else ""),
            hint=f"look for a {TEMPLATE} next to it",
        )
    raise TemplateError(
        f"{path} has no template named {wanted!r}", hint=f"choose one with variant=: {', '.join(sorted(named))}"
    )


def _named(template: Any, path: Path) -> dict[str, str]:
    """Return the named templates of a ``chat_template`` entry; none for a single one."""
    if isinstance(template, dict):
        return template
    if not isinstance(template, list):
        return {}
    if not all(isinstance(item, dict) and {"name", "template"} <= item.keys() for item in template):
        raise TemplateError(
            f"{path} has a list of chat templates in which not every item has a name and a template",
            hint='each item is {"name": "default", "template": "…"}',
        )
    return {item["name"]: item["template"] for item in template}


def _of_gguf(path: Path, variant: str | None) -> TemplateSource:
    wanted = None if variant in (None, "default") else variant
    for found in _in_gguf(path):
        if found.variant == wanted:
            return found
    raise TemplateError(f"{path} holds no chat template named {variant or 'default'!r}")


# -- all templates at a path


def _others_follow(found: Iterator[TemplateSource], failed: Failed) -> Iterator[TemplateSource]:
    """Yield templates until an error, and pass that on."""
    try:
        yield from found
    except ChatTmplError as error:
        if failed is None:
            raise
        failed(error)


def _at(given: str, failed: Failed) -> Iterator[TemplateSource]:
    path = Path(given)
    if path.is_dir():
        yield from _in_folder(path, failed)
    elif path.is_file():
        yield from _in_file(path)
    elif given in family_names():
        yield find_template(given)
    elif glob.has_magic(given):
        files = [match for match in matching_files(given) if match.is_file()]
        if not files:
            raise UsageError(f"no file matches {given}", hint="quote the pattern, or check the folder")
        for match in files:
            yield from _others_follow(_in_file(match), failed)
    else:
        if path.exists():
            check_regular(path)
        hint = did_you_mean(given, family_names()) or "give a .jinja file, a folder, a model directory or a family"
        raise UsageError(f"there is no file or folder {given}", hint=hint)


def _in_folder(folder: Path, failed: Failed) -> Iterator[TemplateSource]:
    if (folder / FILE).is_file():
        yield _family_in(folder)
        return
    own = (folder / TEMPLATE).is_file()
    if own or (folder / CONFIG).is_file():
        if own:
            yield find_template(folder)
        for file in sorted((folder / ADDITIONAL).glob("*.jinja")):
            yield find_template(folder, file.stem)
        if not own:
            yield from _in_config(folder / CONFIG)
        return
    paths = sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES or path.name == CONFIG)
    if not paths:
        raise UsageError(f"there is no template in the folder {folder}", hint="a template is a .jinja file")
    for path in paths:
        yield from _others_follow(_in_file(path), failed)


def _in_file(path: Path) -> Iterator[TemplateSource]:
    if path.suffix == _GGUF:
        yield from _in_gguf(path)
    elif path.suffix == ".json":
        yield from _in_config(path)
    elif path.name == TEMPLATE_FILE and (path.parent / FILE).is_file():
        yield _family_in(path.parent)
    else:
        yield _of_file(path, None)


def _family_in(folder: Path) -> TemplateSource:
    family = read_family(folder)
    path = folder / TEMPLATE_FILE
    return TemplateSource(Source(family.template_source.text, str(path)), dict(family.tokens), family, path)


def _in_config(path: Path) -> Iterator[TemplateSource]:
    template = read_json(path).get("chat_template")
    for name in _named(template, path) or ("default",):
        yield find_template(path, name)


def _in_gguf(path: Path) -> Iterator[TemplateSource]:
    metadata = read_metadata(path)
    tokens = _gguf_tokens(metadata)
    keys = [key for key in sorted(metadata) if key == _GGUF_KEY or key.startswith(f"{_GGUF_KEY}.")]
    if not keys:
        raise TemplateError(f"{path} holds no chat template", hint="engines then use a template that they bring along")
    for key in keys:
        variant = key[len(_GGUF_KEY) + 1 :] or None
        yield TemplateSource(Source(str(metadata[key]), f"{path}:{key}", str(path)), tokens, path=path, variant=variant)


def _gguf_tokens(metadata: dict[str, Any]) -> dict[str, str]:
    """Return the special tokens, which the file names by their ids."""
    tokens = {}
    vocabulary = metadata.get("tokenizer.ggml.tokens")
    for kind in ("bos", "eos"):
        identifier = metadata.get(f"tokenizer.ggml.{kind}_token_id")
        if isinstance(vocabulary, StringArray) and isinstance(identifier, int) and identifier < vocabulary.length:
            tokens[f"{kind}_token"] = vocabulary[identifier]
    return tokens
