"""The resolver: from what a user names to a template with its special tokens, its family and its model directory.

`find_template` returns the one template that a name or path means. `find_templates` returns all templates at paths,
for the commands that check many.
"""

from __future__ import annotations

import difflib
import glob
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from chattmpl.conversation.validation_errors import shown
from chattmpl.errors import ChatTmplError, Reason, TemplateError, UsageError, did_you_mean
from chattmpl.input_files import check_regular, matching_files
from chattmpl.source import Source
from chattmpl.template.family import (
    FILE,
    TEMPLATE_FILE,
    Family,
    family_for_tokens,
    family_names,
    load_family,
    read_family,
)
from chattmpl.template.gguf import StringArray, read_metadata
from chattmpl.template.hub import download_command
from chattmpl.template.model_directory import (
    ADDITIONAL,
    CONFIG,
    LEGACY_TEMPLATE,
    PROCESSOR,
    TEMPLATE,
    TOKENIZER,
    ModelDirectory,
    read_json,
    read_text,
)
from chattmpl.template.special_tokens import SpecialTokens, complete, read_tokens

Failed = Callable[[ChatTmplError], None] | None
"""Function that takes the error about one input; None to raise it."""

_SUFFIXES = (".jinja", ".jinja2", ".j2")
_GGUF = ".gguf"
_GGUF_KEY = "tokenizer.chat_template"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_DEFAULT, _TOOL_USE = "default", "tool_use"


@dataclass(frozen=True)
class TemplateSource:
    """The source of a template, with its special tokens, family and model directory.

    Attributes:
        source: the text, with a name for messages: ``path``, ``path:chat_template`` or ``path:chat_template[name]``.
        tokens: special tokens, which are kwargs of every render; None for one that is known not to exist.
        family: its family, if it is a shipped one.
        path: the file that holds the template, if it was read from one.
        variant: its name, if it is one of several.
        directory: the model directory that it is part of, if it is part of one.
        tool_use: the template for conversations with tools, which transformers chooses by its name.
        explicit: whether the special tokens were given by the caller, and override those of a tokenizer.
    """

    source: Source
    tokens: SpecialTokens = field(default_factory=dict)
    family: Family | None = None
    path: Path | None = None
    variant: str | None = None
    directory: ModelDirectory | None = None
    tool_use: TemplateSource | None = None
    explicit: bool = False

    def with_tokens(self, tokens: SpecialTokens) -> TemplateSource:
        """Return the template with the special tokens of a tokenizer, as transformers passes them to it.

        The tokens of a family, and explicit ones, override those of the tokenizer.
        """
        if self.family is not None:
            return self
        merged = {**tokens, **self.tokens} if self.explicit else {**self.tokens, **tokens}
        tool_use = None if self.tool_use is None else self.tool_use.with_tokens(tokens)
        return replace(self, tokens=merged, tool_use=tool_use)


def find_template(which: Any, variant: str | None = None) -> TemplateSource:
    """Find the template that a user means.

    Args:
        which: a family's name; the path of a .jinja file, a family's folder, a model directory, a
            tokenizer_config.json or a GGUF file; or a tokenizer object with a ``chat_template``.
        variant: the name of one of several templates, such as ``tool_use``. If None, as in transformers: ``tool_use``
            for conversations with tools, if there is one, and ``default`` for all others.

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
    raise UsageError(
        f"there is no template {str(which)!r}: no family and no file or folder has that name",
        hint=_hint_for_name(str(which)),
        reason=Reason.NO_TEMPLATE,
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


def _no_template(what: str, folder: Path, added: Iterable[str] | None = None) -> TemplateError:
    """Return the error about a place without a chat template; the hint names a family that fits its tokenizer.

    Args:
        what: the place.
        folder: the model directory.
        added: the added tokens of the tokenizer, if it is not that of the folder.
    """
    if added is None:
        try:
            added = ModelDirectory(folder).token_contents
        except ChatTmplError:
            added = ()
    own = f"put the {TEMPLATE} of the model into {folder}"
    fits = family_for_tokens(frozenset(added))
    hint = f"{own}, or choose a family; chattmpl families lists them"
    if fits:
        hint = f"the family {fits} has the control tokens of its tokenizer; use that, or {own}"
    return TemplateError(f"{what} holds no chat template", hint=hint, reason=Reason.NO_TEMPLATE, family=fits)


def _hint_for_name(name: str, otherwise: str | None = None) -> str:
    """Return the hint for a name that means nothing: a similar family, or the command that downloads a hub id."""
    known = family_names()
    if guess := did_you_mean(name, known):
        return guess
    if not _HUB_ID.fullmatch(name) or Path(name).suffix in (*_SUFFIXES, _GGUF, ".json"):
        return otherwise or f"the families are {', '.join(known)}"
    upstream = {found.name: family for family in known if (found := load_family(family).upstream)}
    close = difflib.get_close_matches(name, upstream, n=1, cutoff=0.8)
    return f"templates are read from files; of a hub id, {download_command(name)}" + (
        f", or choose the family {upstream[close[0]]}, the template of {close[0]}" if close else ""
    )


# -- one template


def _of_family(family: Family) -> TemplateSource:
    return TemplateSource(family.template_source, dict(family.tokens), family)


def _of_file(path: Path, variant: str | None) -> TemplateSource:
    if path.suffix == _GGUF:
        return _picked({found.variant or _DEFAULT: found for found in _in_gguf(path)}, variant, path)
    if path.suffix == ".json":
        return _picked(_in_json(path), variant, path)
    directory = ModelDirectory.of(path)
    tokens = directory.tokens if directory is not None else {}
    return TemplateSource(Source(read_text(path), str(path)), tokens, path=path, directory=directory)


def _of_model(folder: Path, variant: str | None) -> TemplateSource:
    if not (named := _in_model(folder)):
        raise _no_template(f"the folder {folder}", folder)
    return _picked(named, variant, folder)


def _of_tokenizer(tokenizer: Any, variant: str | None) -> TemplateSource:
    template = getattr(tokenizer, "chat_template", None)
    path = Path(str(getattr(tokenizer, "name_or_path", "") or "tokenizer"))
    if template is None and hasattr(tokenizer, "added_tokens_decoder"):
        added = (str(token) for token in tokenizer.added_tokens_decoder.values())
        raise _no_template(f"the tokenizer {path}", path, added)
    if template is None:
        raise UsageError(
            f"a template is loaded from a name, a path or a tokenizer with a chat template, not from {type(tokenizer)}"
        )
    return _picked(_named(template, path, tokens_of_object(tokenizer), None), variant, path)


def tokens_of_object(tokenizer: Any) -> SpecialTokens:
    """Return the special tokens of a tokenizer or processor of transformers; none of any other object."""
    named = getattr(tokenizer, "special_tokens_map", None)
    if not isinstance(named, Mapping):
        inner = getattr(tokenizer, "tokenizer", None)
        return {} if inner is None else tokens_of_object(inner)
    return complete({name: str(token) for name, token in named.items() if not isinstance(token, list | tuple)})


def _picked(named: dict[str, TemplateSource], variant: str | None, path: Path) -> TemplateSource:
    """Return one of several templates; without a variant the default, with the one for tools."""
    wanted = variant or _DEFAULT
    if wanted in named:
        return replace(named[wanted], tool_use=named.get(_TOOL_USE)) if variant is None else named[wanted]
    if not named:
        raise _no_template(str(path), path.parent)
    if named.keys() <= {_DEFAULT}:
        raise TemplateError(f"{path} has no chat template named {variant!r}", hint="it has one only; drop the variant")
    raise TemplateError(
        f"{path} has no template named {wanted!r}", hint=f"choose one with variant=: {', '.join(sorted(named))}"
    )


def _named(
    template: Any, path: Path, tokens: SpecialTokens, directory: ModelDirectory | None
) -> dict[str, TemplateSource]:
    """Return the templates of a ``chat_template`` entry by name: a string, a list of named ones, or a dict of them."""
    if template is None:
        return {}
    if isinstance(template, str):
        source = Source(template, f"{path}:chat_template", str(path))
        return {_DEFAULT: TemplateSource(source, tokens, path=path, directory=directory)}
    try:
        texts = {item["name"]: item["template"] for item in template} if isinstance(template, list) else dict(template)
        sources = {
            str(name): Source("" + text, f"{path}:chat_template[{name}]", str(path)) for name, text in texts.items()
        }
    except (TypeError, ValueError, KeyError):
        raise TemplateError(
            f"{path} has a chat_template that is neither a text nor a list of named templates",
            hint='each item of a list is {"name": "default", "template": "…"}',
        ) from None
    return {
        name: TemplateSource(source, tokens, path=path, variant=name, directory=directory)
        for name, source in sources.items()
    }


def _in_model(folder: Path) -> dict[str, TemplateSource]:
    """Return the templates of a model directory by name.

    As in transformers, separate files replace those in ``tokenizer_config.json``. Those of the processor follow:
    ``chat_template.json`` and ``processor_config.json``.
    """
    directory = ModelDirectory(folder)
    own = {_DEFAULT: folder / TEMPLATE} if (folder / TEMPLATE).is_file() else {}
    files = own | {file.stem: file for file in sorted((folder / ADDITIONAL).glob("*.jinja"))}
    if files:
        several = len(files) > 1
        return {name: replace(_of_file(file, None), variant=name if several else None) for name, file in files.items()}
    for name in (CONFIG, LEGACY_TEMPLATE, PROCESSOR):
        path = folder / name
        template = read_json(path).get("chat_template") if path.is_file() else None
        if named := _named(template, path, directory.tokens, directory):
            return named
    return {}


def _in_json(path: Path) -> dict[str, TemplateSource]:
    """Return the templates of a ``tokenizer_config.json`` or another JSON file by name."""
    directory = ModelDirectory.of(path)
    config = read_json(path)
    tokens = read_tokens(config, path) if directory is None else directory.tokens
    return _named(config.get("chat_template"), path, tokens, directory)


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
        hint = _hint_for_name(given, "give a .jinja file, a folder, a model directory or a family")
        raise UsageError(f"there is no file or folder {given}", hint=hint, reason=Reason.NO_TEMPLATE)


def _in_folder(folder: Path, failed: Failed) -> Iterator[TemplateSource]:
    if (folder / FILE).is_file():
        yield _family_in(folder)
        return
    if named := _in_model(folder):
        yield from named.values()
        return
    if (folder / CONFIG).is_file():
        yield _of_model(folder, None)  # raises
    paths = sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES or path.name == CONFIG)
    if not paths and (folder / TOKENIZER).is_file():
        raise _no_template(f"the folder {folder}", folder)
    if not paths:
        raise UsageError(f"there is no template in the folder {folder}", hint="a template is a .jinja file")
    for path in paths:
        yield from _others_follow(_in_file(path), failed)


def _in_file(path: Path) -> Iterator[TemplateSource]:
    if path.suffix == _GGUF:
        yield from _in_gguf(path)
    elif path.suffix == ".json":
        yield from _in_json(path).values() or [_of_file(path, None)]
    elif path.name == TEMPLATE_FILE and (path.parent / FILE).is_file():
        yield _family_in(path.parent)
    else:
        yield _of_file(path, None)


def _family_in(folder: Path) -> TemplateSource:
    family = read_family(folder)
    path = folder / TEMPLATE_FILE
    return TemplateSource(Source(family.template_source.text, str(path)), dict(family.tokens), family, path)


def _in_gguf(path: Path) -> Iterator[TemplateSource]:
    metadata = read_metadata(path)
    tokens = _gguf_tokens(metadata, path)
    keys = [key for key in sorted(metadata) if key == _GGUF_KEY or key.startswith(f"{_GGUF_KEY}.")]
    if not keys:
        raise TemplateError(f"{path} holds no chat template", hint="engines then use a template that they bring along")
    for key in keys:
        variant = key[len(_GGUF_KEY) + 1 :] or None
        yield TemplateSource(Source(str(metadata[key]), f"{path}:{key}", str(path)), tokens, path=path, variant=variant)


def _gguf_tokens(metadata: dict[str, Any], path: Path) -> dict[str, str]:
    """Return the special tokens, which the file names by their ids; an id outside of the vocabulary means none."""
    tokens: dict[str, str] = {}
    vocabulary = metadata.get("tokenizer.ggml.tokens")
    for kind in ("bos", "eos"):
        identifier = metadata.get(key := f"tokenizer.ggml.{kind}_token_id")
        if identifier is None or not isinstance(vocabulary, StringArray):
            continue
        if type(identifier) is not int:
            raise TemplateError(f"{path}: {key} must be the id of a token, not {shown(identifier)}")
        if 0 <= identifier < vocabulary.length:
            tokens[f"{kind}_token"] = vocabulary[identifier]
    return tokens
