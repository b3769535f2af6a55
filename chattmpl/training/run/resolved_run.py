"""What a run is made of, before any data is read: its template, its tokenizer, and where turns end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.data.auto_annotate import annotated
from chattmpl.data.config_file import Read
from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.template.template import Template
from chattmpl.training.adapter.trl_config import check_names
from chattmpl.training.run import tokenizer as tokens
from chattmpl.training.run.config import Config
from chattmpl.training.run.models import adapters, check_model

LORA_AND_TOKENS = (
    "lora trains adapters alone, and tokens that were added would stay as random as they are",
    "lora.modules_to_save: [embed_tokens, lm_head] trains these too",
)
"""What is wrong with added tokens and adapters alone, and the way out."""

_ADD = "add_tokens: true adds those of the template, stop_tokens names others"


@dataclass(frozen=True)
class Chosen:
    """What a run is made of.

    Attributes:
        template: as it is trained, annotated where it had no tags.
        tokenizer: of transformers, with the template that is served.
        stops: the stop tokens, by id.
        served: the source of the template that is served: without tags, and as it was before any were placed.
        annotated: whether tags were placed.
    """

    template: Template
    tokenizer: Any
    stops: dict[int, str]
    served: str
    annotated: bool


@contextmanager
def located(config: Config, read: Read, *keys: str) -> Iterator[None]:
    """Says where in the configuration stands what an error is about."""
    try:
        yield
    except ChatTmplError as error:
        if error.place is None:
            inner = _inside(config, keys)
            named = _named(inner, error.message) if inner else None
            error.place = read.place((*keys, *named) if named else keys)
        raise


def _inside(config: Config, keys: tuple[str, ...]) -> Mapping[str, Any] | None:
    """What stands at keys, where a part of it may be what an error is about."""
    if keys in (("trainer",), ("lora",)):
        return dict(getattr(config, keys[0]) or {})
    return {**config.model.options, "config": config.model.config or {}} if keys == ("model",) else None


def _named(inner: Mapping[str, Any], message: str) -> tuple[str, ...] | None:
    """The way to the key that an error names, or to the text that it does not take."""
    ways: dict[tuple[str, ...], Any] = {}
    for name, value in inner.items():
        ways[name,] = value
        ways |= {(name, str(key)): each for key, each in value.items()} if isinstance(value, dict) else {}
    texts = ((way, value) for way, value in ways.items() if isinstance(value, str) and value)
    named = [(way, way[-1]) for way in sorted(ways, key=lambda way: -len(way[-1]))]
    quoted = [(way, repr(name)) for way, name in named]
    return next((way for way, word in (*quoted, *named, *texts) if _has_word(message, word)), None)


def _has_word(text: str, word: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) is not None


@contextmanager
def _in_its_words(words: Mapping[str, str]) -> Iterator[None]:
    """Says ways out in words of a configuration, where they are those of another command."""
    try:
        yield
    except ChatTmplError as error:
        for before, ours in words.items():
            error.hint = error.hint and error.hint.replace(before, ours)
        raise


def check_settings(config: Config, read: Read, processes: int) -> None:
    """Refuses arguments of trl and peft that do not exist, or that would do harm.

    Raises:
        UsageError: for the first of them.
    """
    with located(config, read, "trainer"):
        check_names(config.trainer)
        if processes > 1 and config.trainer.get("average_tokens_across_devices") is False:
            raise UsageError(
                "average_tokens_across_devices=False: each process would divide by its own supervised tokens, so that "
                "those of a batch with few of them count for more",
                hint="drop it",
            )
        _check_types(config.trainer)
        if config.trainer.get("use_liger_kernel") and find_spec("liger_kernel") is None:
            raise UsageError(
                "use_liger_kernel needs liger-kernel, which is not installed", hint="pip install liger-kernel"
            )
    with located(config, read, "lora"):
        adapters(config)
    with located(config, read, "model"):
        check_model(config.model)
    with located(config, read, "vibe"):
        prompts_of(config)


_NUMBERS: dict[str, tuple[type, ...]] = {"bool": (bool,), "int": (int,), "float": (int, float)}


def _check_types(given: Mapping[str, Any]) -> None:
    """Refuses values of the wrong type, which transformers takes as they are: any text is true."""
    from dataclasses import fields

    from trl import SFTConfig

    said = {field.name: getattr(field.type, "__name__", str(field.type)) for field in fields(SFTConfig)}
    for name, value in given.items():
        words = set(re.findall(r"\w+", said[name])) - {"Optional", "Union", "typing"}
        if value is None or not words or not words <= {*_NUMBERS, "None", "NoneType"}:
            continue
        taken = tuple(kind for word in words for kind in _NUMBERS.get(word, ()))
        if not isinstance(value, taken) or (isinstance(value, bool) and bool not in taken):
            raise UsageError(f"trainer.{name} cannot be {value!r}: SFTConfig takes {said[name]}")


def prompts_of(config: Config) -> list[Conversation]:
    """The prompts of the vibe test; a text is what a user says.

    Raises:
        UsageError: one of them is no conversation.
    """
    prompts = []
    for number, each in enumerate(config.vibe.prompts if config.vibe else ()):
        try:
            prompts.append(Conversation.coerce([{"role": "user", "content": each}] if isinstance(each, str) else each))
        except ChatTmplError as error:
            raise UsageError(f"vibe.prompts[{number}]: {error.message}", hint=error.hint) from None
    return prompts


def choose(config: Config, read: Read, note: Callable[[str], None]) -> Chosen:
    """Loads the template and the tokenizer, and makes them fit.

    Args:
        config: what is asked for.
        read: where that stands.
        note: is told what was done that nobody asked for.

    Raises:
        TemplateError, EncodeError, UsageError: one of them cannot be used, or they do not fit.
    """
    said = config.template
    with located(config, read, "template"):
        template = Template.load(said.name, retention=said.retention, variant=said.variant)
        template.check_kwargs({name: value for name, value in said.kwargs.items() if value is not None})
    name = config.tokenizer or config.model.path
    assert name is not None, "a configuration has one of them"
    with located(config, read, "tokenizer" if config.tokenizer else "model"):
        tokenizer = tokens.load_tokenizer(name)
    with located(config, read, "template"):
        if template.family is None:
            template = tokens.aligned(template, tokenizer, note)
        tagged, served = template.program.has_generation, template.export("inference")
        with _in_its_words({"--stop-token TEXT": "stop_tokens: [TEXT]"}):
            template = annotated(template, note, tuple(config.stop_tokens))
        stops = tokens.stops_of(template, config.stop_tokens)
        added = tokens.add_missing(template, tokenizer, config.add_tokens, note)
        if template.family is not None:
            template = tokens.aligned(template, tokenizer, note)
    where = next(
        (name for name in ("stop_tokens", "add_tokens") if getattr(config, name) not in (None, [])), "template"
    )
    with located(config, read, where), _in_its_words({"add them to it as special tokens": _ADD}):
        ids = tokens.settle(template, tokenizer, stops)
    if added and config.lora is not None and "modules_to_save" not in config.lora:
        raise UsageError(LORA_AND_TOKENS[0], place=read.place(("lora",)), hint=LORA_AND_TOKENS[1])
    tokenizer.chat_template = served
    if template.retention not in (None, "all") and not config.unroll:
        note(
            f"{template.name} renders earlier turns without their reasoning (retention {template.retention}): such "
            "turns are trained as no prompt is answered; unroll: true gives each a row of its own, and retention: all "
            "keeps what was sampled"
        )
    return Chosen(template, tokenizer, ids, served, not tagged)
