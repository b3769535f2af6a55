"""Model directories of the zoo: real and small tokenizers, with templates in every place where transformers looks."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from chattmpl.template.special_tokens import CONTROL
from support.fetched import (
    MORE_TOKENIZERS,
    REAL_TOKENIZERS,
    hub_templates,
    real_tokenizer_path,
    trl_templates,
)
from support.small_tokenizers import byte_level_bpe, metaspace_bpe, unigram_with_control_pieces

_GENERATION = re.compile(r"\{%[-+]?\s*generation\b")


@dataclass(frozen=True)
class Case:
    """A template and a tokenizer, as a user names them.

    Attributes:
        group: the line of the table in which it is counted.
        name: its name.
        template: the file or directory given as the template.
        tokenizer: the model directory given as the tokenizer.
        text: the template that transformers is given; None if it finds the template in the directory itself.
        named: templates that transformers is given by name, where it does not find them itself.
    """

    group: str
    name: str
    template: Path
    tokenizer: Path
    text: str | None = None
    named: Mapping[str, str] | None = None

    @property
    def has_tags(self) -> bool:
        """True if the template has generation tags, as all templates of the layouts have."""
        return self.text is None or _GENERATION.search(self.text) is not None

    def text_for(self, tools: Any) -> str | None:
        """Return the template that transformers is given for a conversation."""
        if self.named is None:
            return self.text
        return self.named["tool_use" if tools and "tool_use" in self.named else "default"]


# -- templates of others × real and small tokenizers


def templates(hub: int) -> dict[str, str]:
    """Return all templates of trl, and those of the ``hub`` most downloaded models of the hub."""
    popular = list(hub_templates().items())[:hub]
    return {f"trl/{name}": text for name, text in trl_templates().items()} | {
        f"hub/{name}": text for name, text in popular
    }


def control_tokens(text: str) -> list[str]:
    """Return the texts in a template that look like control tokens, as they occur in it."""
    return list(dict.fromkeys(match.group() for match in CONTROL.finditer(text)))


@cache
def _vocabulary(name: str) -> frozenset[str]:
    added = Tokenizer.from_file(str(real_tokenizer_path(name))).get_added_tokens_decoder().values()
    return frozenset(token.content for token in added)


def real_tokenizers(text: str) -> list[str]:
    """Return the real tokenizers, first those that have the most control tokens of a template."""
    written = control_tokens(text)
    return sorted((*REAL_TOKENIZERS, *MORE_TOKENIZERS), key=lambda name: -len(_vocabulary(name).intersection(written)))


def foreign_cases(folder: Path, hub: int, tokenizers: int) -> Iterator[Case]:
    """Yield each template as a .jinja file, with the real tokenizers that fit it best."""
    for name, text in templates(hub).items():
        file = folder / "templates" / f"{name.replace('/', '-')}.jinja"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
        for real in real_tokenizers(text)[:tokenizers]:
            yield Case(real, f"{name} with {real}", file, real_tokenizer_path(real).parent, text)


SMALL: dict[str, tuple[Callable[[], Tokenizer], dict[str, bool], dict[str, Any]]] = {
    "byte-level": (byte_level_bpe, {}, {}),
    "Metaspace with byte fallback": (metaspace_bpe, {}, {"pad_token": None}),
    "Unigram": (unigram_with_control_pieces, {}, {}),
    "tokens with rstrip": (byte_level_bpe, {"rstrip": True}, {}),
    "pad is eos": (byte_level_bpe, {}, {"pad_token": "</s>"}),
}
"""Kinds of small tokenizers: how one is made, the flags of its control tokens, and its changes to the config."""


def save_small(kind: str, folder: Path, control: list[str], config: Mapping[str, Any] | None = None) -> None:
    """Write a small tokenizer that has the control tokens into a folder, with a config."""
    make, flags, changes = SMALL[kind]
    tokenizer = make()
    settings = {"normalized": False, **flags}
    wanted = dict.fromkeys(("<s>", "</s>", "<pad>", *control))
    tokenizer.add_special_tokens([AddedToken(token, **settings) for token in wanted])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    full = {**CONFIG, **changes, **(config or {})}
    (folder / "tokenizer_config.json").write_text(json.dumps(full), encoding="utf-8")


CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "pad_token": "<pad>",
    "model_max_length": 4096,
}


def small_cases(folder: Path, hub: int) -> Iterator[Case]:
    """Yield each template with small tokenizers that have its control tokens, one kind for each in turn."""
    kinds = list(SMALL)
    for number, (name, text) in enumerate(templates(hub).items()):
        kind = kinds[number % len(kinds)]
        place = folder / "small" / name.replace("/", "-")
        save_small(kind, place, control_tokens(text))
        file = place / "given.jinja"
        file.write_bytes(text.encode())
        yield Case(kind, f"{name} with {kind}", file, place, text)


# -- places of templates and special tokens

_PLAIN = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}<|im_start|>assistant\n"
    "{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}\n{% else %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_WITH_TOOLS = _PLAIN.replace(
    "{{ bos_token }}",
    "{{ bos_token }}{% if tools %}<|im_start|>tools\n{{ tools | tojson }}<|im_end|>\n{% endif %}",
)
_NAMED = {"default": _PLAIN, "tool_use": _WITH_TOOLS}
_CHATML = ["<|im_start|>", "<|im_end|>"]


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def _merge_config(folder: Path, drop: tuple[str, ...] = (), **values: Any) -> None:
    path = folder / "tokenizer_config.json"
    config = {**json.loads(path.read_text(encoding="utf-8")), **values}
    _write_json(path, {key: value for key, value in config.items() if key not in drop})


def _in_config(folder: Path, templates: Mapping[str, str]) -> None:
    _merge_config(folder, chat_template=templates["default"])


def _as_file(folder: Path, templates: Mapping[str, str]) -> None:
    (folder / "chat_template.jinja").write_text(templates["default"], encoding="utf-8")


def _as_list(folder: Path, templates: Mapping[str, str]) -> None:
    _merge_config(folder, chat_template=[{"name": name, "template": text} for name, text in templates.items()])


def _as_files(folder: Path, templates: Mapping[str, str]) -> None:
    _as_file(folder, templates)
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text(templates["tool_use"], encoding="utf-8")


def _file_over_config(folder: Path, templates: Mapping[str, str]) -> None:
    _as_file(folder, templates)
    _merge_config(folder, chat_template="{{ 'the template of the config' }}")


def _legacy(folder: Path, templates: Mapping[str, str]) -> None:
    _write_json(folder / "chat_template.json", {"chat_template": templates["default"]})


def _processor(folder: Path, templates: Mapping[str, str]) -> None:
    _write_json(folder / "processor_config.json", {"chat_template": templates["default"]})


PLACES: dict[str, tuple[Callable[[Path, Mapping[str, str]], None], Mapping[str, str] | None]] = {
    "tokenizer_config.json": (_in_config, None),
    "chat_template.jinja": (_as_file, None),
    "a list in tokenizer_config.json": (_as_list, None),
    "additional_chat_templates": (_as_files, None),
    "chat_template.jinja over the config": (_file_over_config, None),
    "chat_template.json": (_legacy, {"default": _PLAIN}),
    "processor_config.json": (_processor, {"default": _PLAIN}),
}
"""Places of templates: what writes them, and the templates that transformers' tokenizers do not find there."""


def _strings(folder: Path) -> None:
    pass


def _dicts(folder: Path) -> None:
    flags = {"__type": "AddedToken", "lstrip": False, "rstrip": False, "normalized": False, "single_word": False}
    _merge_config(folder, bos_token={**flags, "content": "<s>"}, eos_token={**flags, "content": "</s>"})


def _map(folder: Path) -> None:
    _merge_config(folder, drop=("bos_token", "eos_token", "pad_token"))
    _write_json(folder / "special_tokens_map.json", {"bos_token": "<s>", "eos_token": {"content": "</s>"}})


def _map_differs(folder: Path) -> None:
    _write_json(folder / "special_tokens_map.json", {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"})


def _no_bos(folder: Path) -> None:
    _merge_config(folder, bos_token=None)


def _none(folder: Path) -> None:
    _merge_config(folder, drop=("bos_token", "eos_token", "pad_token"))


def _named_by_model(folder: Path) -> None:
    _merge_config(folder, extra_special_tokens={"image_token": "<|image|>"})


SPECIAL: dict[str, Callable[[Path], None]] = {
    "strings": _strings,
    "AddedToken objects": _dicts,
    "special_tokens_map.json": _map,
    "a map that differs from the config": _map_differs,
    "bos_token null": _no_bos,
    "no special tokens": _none,
    "tokens with names of the model": _named_by_model,
}
"""Ways to say which tokens are special: what changes the files of a model directory."""


def layout_cases(folder: Path) -> Iterator[Case]:
    """Yield model directories with each place of templates and each way to name special tokens."""
    for place, (write, named) in PLACES.items():
        for form, change in SPECIAL.items():
            model = folder / "layouts" / re.sub(r"\W+", "-", f"{place} {form}")
            shutil.rmtree(model, ignore_errors=True)
            save_small("byte-level", model, [*_CHATML, "<|image|>"])
            texts = _NAMED
            if form == "tokens with names of the model":
                texts = {name: text.replace("{{ bos_token }}", "{{ image_token }}") for name, text in _NAMED.items()}
            elif form == "bos_token null":
                guarded = "{% if bos_token %}{{ bos_token }}{% endif %}"
                texts = {name: text.replace("{{ bos_token }}", guarded) for name, text in _NAMED.items()}
            write(model, texts)
            change(model)
            given = None if named is None else {name: texts[name] for name in named}
            yield Case(place, f"{place}, {form}", model, model, named=given)
