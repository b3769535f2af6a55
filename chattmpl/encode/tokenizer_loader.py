"""Loading of tokenizers: from an object, a file, a directory or a hub id to one that encoding can use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chattmpl.encode.fast_tokenizer import FastTokenizer
from chattmpl.encode.slow_tokenizer import SlowTokenizer
from chattmpl.encode.tokenizer import TextTokenizer
from chattmpl.errors import ChatTmplError, EncodeError, Reason, TemplateError, did_you_mean
from chattmpl.input_files import check_regular
from chattmpl.template import hub
from chattmpl.template.family import family_for_tokens
from chattmpl.template.model_directory import CONFIG, TOKENIZER, TOKENIZER_FILES, ModelDirectory
from chattmpl.template.resolver import tokens_of_object
from chattmpl.template.special_tokens import SpecialTokens, complete
from chattmpl.template.template import Template

if TYPE_CHECKING:
    from tokenizers import Tokenizer

DEMO = "demo"
"""The name of the small tokenizer that ships with chattmpl."""

DEMO_TOKENS = complete({"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>", "pad_token": "<|pad|>"})

_LARGEST = 512 << 20
"""Maximum size of a ``tokenizer.json`` in bytes; known ones have tens of MiB."""

DEMO_FILE = Path(__file__).parent / "demo_tokenizer.json"
_FLAGS = ("special", "lstrip", "rstrip", "single_word", "normalized")
"""The properties of an added token, as files name them."""

_KINDS = "a tokenizers.Tokenizer, a transformers tokenizer, a tokenizer.json, a model directory, a hub id, or 'demo'"
_OBJECTS_KEPT = 8

_objects: OrderedDict[int, tuple[object, TextTokenizer]] = OrderedDict()


def load_tokenizer(tokenizer: object) -> TextTokenizer:
    """Load a tokenizer for encoding; each is loaded once.

    Args:
        tokenizer: a ``tokenizers.Tokenizer``, a transformers tokenizer (fast or slow) or processor, the path of a
            ``tokenizer.json`` or of a model directory, a hub id, or ``"demo"``.

    Raises:
        EncodeError: it cannot be found, read, or used.
    """
    if isinstance(tokenizer, TextTokenizer):
        return tokenizer
    if isinstance(tokenizer, str | Path):
        return _from_name(str(tokenizer))
    if getattr(getattr(tokenizer, "tokenizer", tokenizer), "split_special_tokens", None) is True:
        raise _splits_tokens(f"the {type(tokenizer).__name__}")
    raw = _unwrap(tokenizer)
    known = _objects.get(id(raw))
    adapted = known[1] if known is not None and known[0] is raw else _adapt(raw)
    adapted.special_tokens = tokens_of_object(tokenizer)
    # Keeping the object alive with its adapter prevents another object from getting the same id.
    _objects[id(raw)] = (raw, adapted)
    while len(_objects) > _OBJECTS_KEPT:
        _objects.popitem(last=False)
    return adapted


def tokenizer_files(tokenizer: str | Path) -> list[Path]:
    """Return the files from which a tokenizer is read, its definition first; none if it is not a path."""
    path = Path(tokenizer)
    path = path / TOKENIZER if path.is_dir() else path
    files = (path, *(path.with_name(name) for name in TOKENIZER_FILES if name != path.name))
    return [file for file in files if file.is_file()] if path.is_file() else []


def special_tokens_of(tokenizer: object) -> SpecialTokens:
    """Return the special tokens of a tokenizer, as transformers passes them to templates.

    Args:
        tokenizer: what `load_tokenizer` takes. A file is not loaded; its special tokens are in the files next to it.
    """
    if isinstance(tokenizer, TextTokenizer):
        return tokenizer.special_tokens
    if not isinstance(tokenizer, str | Path):
        return tokens_of_object(tokenizer)
    if str(tokenizer) == DEMO:
        return DEMO_TOKENS
    path = Path(tokenizer)
    if path.is_dir() or path.is_file():
        return ModelDirectory(path if path.is_dir() else path.parent).tokens
    return load_tokenizer(tokenizer).special_tokens


def template_for(template: Any, tokenizer: object, retention: str | None = None) -> Template:
    """Load a template for use with a tokenizer: its special tokens are those of the tokenizer.

    Every way to encode goes through this, so that all render the same text.

    Args:
        template: a `Template`, or what `Template.load` takes.
        tokenizer: what `load_tokenizer` takes; None for none.
        retention: another retention policy.
    """
    with naming_family(tokenizer):
        loaded = template if isinstance(template, Template) else Template.load(template)
    loaded = loaded if retention is None else loaded.with_retention(retention)
    return loaded if tokenizer is None else loaded.with_tokens(special_tokens_of(tokenizer))


@contextmanager
def naming_family(tokenizer: object) -> Iterator[None]:
    """Add a family that fits a tokenizer to the hint of the error that there is no template."""
    try:
        yield
    except ChatTmplError as error:
        if error.reason is Reason.NO_TEMPLATE and tokenizer is not None:
            fits = family_for_tokens({token.content for token in load_tokenizer(tokenizer).added.values()})
            if fits and fits != error.family:
                error.hint = f"the family {fits} has the control tokens of the tokenizer; or {error.hint}"
        raise


def _unwrap(tokenizer: object) -> object:
    """Return the ``tokenizers.Tokenizer`` of a fast tokenizer, or the tokenizer of a processor."""
    for name in ("backend_tokenizer", "_tokenizer"):
        inner = getattr(tokenizer, name, None)
        if inner is not None and hasattr(inner, "encode_batch_fast"):
            return inner
    inner = getattr(tokenizer, "tokenizer", None)
    return tokenizer if inner is None or hasattr(tokenizer, "convert_ids_to_tokens") else _unwrap(inner)


def _adapt(raw: Any) -> TextTokenizer:
    if hasattr(raw, "encode_batch_fast"):
        return FastTokenizer(raw)
    if hasattr(raw, "encode") and hasattr(raw, "convert_ids_to_tokens"):
        return SlowTokenizer(raw)
    raise EncodeError(f"a {type(raw).__name__} is not a tokenizer", hint=f"pass {_KINDS}")


def _from_name(name: str) -> TextTokenizer:
    if name == DEMO:
        demo = _from_file(DEMO_FILE, 0.0)
        demo.special_tokens = DEMO_TOKENS
        return demo
    path = Path(name)
    if name and path.is_dir():
        path = path / TOKENIZER
        if not path.is_file():
            raise EncodeError(
                f"{name} has no tokenizer.json",
                hint="load it with transformers, then pass the tokenizer itself or save it",
            )
    if name and path.exists():
        check_regular(path, EncodeError, _LARGEST)
        return _from_file(path, path.stat().st_mtime)
    if path.suffix == ".json" or name.startswith((".", "/", "~")) or name.count("/") > 1 or not name:
        raise EncodeError(f"no such file: {name!r}", hint=f"pass {_KINDS}")
    if "/" not in name and (hint := did_you_mean(name, [DEMO])):
        raise EncodeError(f"there is no tokenizer {name!r}", hint=hint)
    return _from_hub(name)


@lru_cache(maxsize=8)
def _from_file(path: Path, modified: float) -> TextTokenizer:
    """Load a ``tokenizer.json``; ``modified``, its modification time, invalidates the cache when the file changes."""
    from tokenizers import Tokenizer

    try:
        raw = Tokenizer.from_file(str(path))
    except Exception as error:
        raise EncodeError(
            f"{path} is not a tokenizer.json ({error})", hint="pass a file that tokenizers or transformers saved"
        ) from error
    directory = ModelDirectory(path.parent)
    try:
        if directory.config.get("split_special_tokens") is True:
            raise _splits_tokens(str(directory.path / CONFIG))
        tokens, saved = directory.tokens, len(raw.get_added_tokens_decoder())
        _add_declared(raw, directory)
    except TemplateError as error:  # the directory reads files for templates too
        raise EncodeError(error.message, hint=error.hint) from None
    tokenizer = FastTokenizer(raw, saved)
    tokenizer.directory, tokenizer.special_tokens = directory, tokens
    return tokenizer


def _splits_tokens(where: str) -> EncodeError:
    return EncodeError(
        f"{where}: split_special_tokens is true, so each control token of a template would be split as ordinary text",
        hint="set split_special_tokens to false; texts of messages are escaped anyway, as --control-tokens says",
    )


def _add_declared(raw: Tokenizer, directory: ModelDirectory) -> None:
    """Add the tokens that only the files next to ``tokenizer.json`` declare, as transformers does."""
    from tokenizers import AddedToken

    added = {token.content for token in raw.get_added_tokens_decoder().values()}
    try:
        for entry in directory.added_tokens:
            content = entry["content"]
            if content in added:
                continue
            known = raw.token_to_id(content)
            raw.add_tokens([AddedToken(content, **{flag: entry[flag] for flag in _FLAGS if flag in entry})])
            added.add(content)
            if known is None and raw.token_to_id(content) != entry.get("id", raw.token_to_id(content)):
                raise EncodeError(
                    f"{directory.path} gives {content!r} the id {entry['id']}, but the tokenizer cannot",
                    hint="load it with transformers and save it again",
                )
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise EncodeError(f"the added tokens of {directory.path} cannot be read ({error!r})") from error


@cache
def _from_hub(name: str) -> TextTokenizer:
    try:
        folder = hub.model_directory(name)
    except Exception as error:
        if not hub.is_reachable():
            raise hub.unreachable_error(name) from None
        reason = next((line for line in str(error).splitlines() if line), type(error).__name__)
        raise EncodeError(
            f"there is no file {name!r}, and the hub returned no tokenizer of that name ({reason})",
            hint=f"pass {_KINDS}; 'demo' needs no network",
        ) from error
    return _from_name(str(folder))
