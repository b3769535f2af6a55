"""Model directories: the files next to a chat template that define its special tokens and stop tokens."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any

from chattmpl import input_files
from chattmpl.conversation.validation_errors import shown
from chattmpl.errors import TemplateError, decode
from chattmpl.template.special_tokens import NAMES, SpecialTokens, complete, read_tokens

CONFIG = "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"
"""The file in which transformers keeps the template of a model directory."""

ADDITIONAL = "additional_chat_templates"
"""The folder in which transformers keeps named templates, such as ``tool_use.jinja``."""

LEGACY_TEMPLATE = "chat_template.json"
PROCESSOR = "processor_config.json"
"""The files of a processor that hold a template, in which transformers looked before it had `TEMPLATE`."""

TOKENIZER = "tokenizer.json"
_GENERATION = "generation_config.json"
_MODEL = "config.json"
_SPECIAL_TOKENS = "special_tokens_map.json"
_ADDED_TOKENS = "added_tokens.json"
TOKENIZER_FILES = (TOKENIZER, CONFIG, _SPECIAL_TOKENS, _ADDED_TOKENS)
"""The files that define a tokenizer."""

_CLASSES_WITHOUT_TOKENS = ("PreTrainedTokenizerFast", "PreTrainedTokenizer", "TokenizersBackend", "PythonBackend")
"""Tokenizer classes without default special tokens. The classes of models have some, where the files name none."""


@dataclass(frozen=True)
class ModelDirectory:
    """A directory with a tokenizer and its configuration, as ``save_pretrained`` writes it.

    Each property reads its file when it is first used, and raises a TemplateError if the file is not a JSON object.

    Attributes:
        path: the directory.
    """

    path: Path

    @classmethod
    def of(cls, file: Path) -> ModelDirectory | None:
        """Return the model directory that a template file is part of, or None if it is part of none."""
        if file.name in (CONFIG, TEMPLATE, LEGACY_TEMPLATE, PROCESSOR):
            folder = file.parent
        elif file.parent.name == ADDITIONAL:
            folder = file.parent.parent
        else:
            return None
        return cls(folder)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The contents of ``tokenizer_config.json``; empty if there is no such file."""
        return self._read(CONFIG) or {}

    @cached_property
    def tokens(self) -> SpecialTokens:
        """The special tokens, such as ``{"eos_token": "</s>", "bos_token": None}``; see `SpecialTokens`.

        As in transformers, ``special_tokens_map.json`` counts only, and then overrides the config, where that has no
        ``added_tokens_decoder``.
        """
        tokens = read_tokens(self._merged, self.path / CONFIG)
        known = {name: token for name, token in tokens.items() if token is not None}
        own = self.config.get("tokenizer_class") in _CLASSES_WITHOUT_TOKENS
        return {**(complete(known) if own else {}), **tokens}

    @cached_property
    def _merged(self) -> dict[str, Any]:
        """The config with ``special_tokens_map.json``, where that counts."""
        if self.config.get("added_tokens_decoder") is not None:
            return self.config
        more = self._read(_SPECIAL_TOKENS) or {}
        read_tokens(more, self.path / _SPECIAL_TOKENS)
        return {**self.config, **more}

    @property
    def adds_bos(self) -> bool:
        """Whether the config says that the tokenizer adds a BOS token."""
        return self.config.get("add_bos_token") is True

    @cached_property
    def stop_ids(self) -> tuple[int, ...] | None:
        """The token ids at which generation ends; None if no file says.

        They are those of ``generation_config.json``, else of ``config.json``, which transformers then copies.
        """
        ids = {name: self._stop_ids(name) for name in (_MODEL, _GENERATION)}
        return ids[self.stop_file]

    def _stop_ids(self, name: str) -> tuple[int, ...] | None:
        given = (self._read(name) or {}).get("eos_token_id")
        if given is None:
            return None
        ids = given if isinstance(given, list) else [given]
        if not all(type(number) is int for number in ids):
            raise TemplateError(
                f"{self.path / name}: eos_token_id must be a token id or a list of them, not {shown(given)}",
                hint="write the ids at which generation ends, as in 151645",
            )
        return tuple(ids)

    @property
    def stop_file(self) -> str:
        """The name of the file that defines `stop_ids`."""
        return _GENERATION if (self.path / _GENERATION).is_file() else _MODEL

    @cached_property
    def added_tokens(self) -> tuple[dict[str, Any], ...]:
        """The tokens that files add to those of ``tokenizer.json``, each a dict with ``content`` and its flags.

        They are in the order in which transformers adds them: those with an ``id``, special tokens by name, others.

        Raises:
            TemplateError: a file does not hold tokens.
        """
        try:
            return self._declared_tokens()
        except (ValueError, TypeError, AttributeError) as error:
            raise TemplateError(f"the added tokens of {self.path} cannot be read ({error!r})") from error

    def _declared_tokens(self) -> tuple[dict[str, Any], ...]:
        config, listed = self._merged, self.config.get("added_tokens_decoder")
        further = "extra_special_tokens" if config.get("extra_special_tokens") else "additional_special_tokens"
        entries = [config.get(name) for name in NAMES]
        entries += [value for name, value in config.items() if name.endswith("_token") and name not in NAMES]
        for name in ("model_specific_special_tokens", further):
            values = config.get(name) or []
            given = list(values.values()) if isinstance(values, dict) else values
            if not isinstance(given, list) or not all(isinstance(entry, (str, dict)) for entry in given):
                raise TemplateError(f"{self.path / CONFIG}: {name} must be a list or an object of tokens")
            entries += given
        special = [
            {**entry, "special": True} if isinstance(entry, dict) else {"content": entry, "special": True}
            for entry in entries
            if isinstance(entry, (str, dict)) and entry
        ]
        if listed is None:
            contents = {entry.get("content") for entry in special}
            listed = {
                index: {"content": content, "special": content in contents, "normalized": content not in contents}
                for content, index in (self._read(_ADDED_TOKENS) or {}).items()
            }
        with_ids = [{**entry, "id": int(index)} for index, entry in listed.items()]
        return (*sorted(with_ids, key=itemgetter("id")), *special)

    @cached_property
    def _every_added(self) -> list[dict[str, Any]]:
        tokens = [*((self._read(TOKENIZER) or {}).get("added_tokens") or []), *self.added_tokens]
        return [token for token in tokens if isinstance(token, dict) and isinstance(token.get("content"), str)]

    @property
    def token_contents(self) -> frozenset[str]:
        """The contents of the added tokens of the tokenizer; empty if there is none."""
        return frozenset(token["content"] for token in self._every_added)

    @property
    def control_tokens(self) -> frozenset[str]:
        """The contents of the added tokens that are special."""
        return frozenset(token["content"] for token in self._every_added if token.get("special"))

    @property
    def stop_tokens(self) -> frozenset[str]:
        """The contents of the added tokens at which generation ends."""
        ids = self.stop_ids or ()
        return frozenset(token["content"] for token in self._every_added if token.get("id") in ids)

    @property
    def tokenizer(self) -> Path | None:
        """The path of ``tokenizer.json``, if there is one."""
        path = self.path / TOKENIZER
        return path if path.is_file() else None

    def _read(self, name: str) -> dict[str, Any] | None:
        path = self.path / name
        return read_json(path) if path.is_file() else None


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds a JSON object; raise `TemplateError` if it holds something else."""
    return input_files.read_json(path, TemplateError)


def read_text(path: Path) -> str:
    """Read a file of UTF-8 text, with its newlines as they are; raise `TemplateError` if it is not UTF-8."""
    return decode(input_files.read_bytes(path, TemplateError, input_files.LARGEST), path, TemplateError)
