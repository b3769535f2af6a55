"""The configuration of a training run; docs/how-to/train.md documents each key."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chattmpl.data.config_file import SUFFIXES, ConfigFile, read_config
from chattmpl.data.job import MixtureSource, Options, RejectionLimit
from chattmpl.data.mixture import Mixture, load_mixture, resolve_mixture
from chattmpl.encode.tokenizer_loader import DEMO
from chattmpl.errors import ChatTmplError, UsageError, did_you_mean
from chattmpl.template.family import family_names


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TemplateConfig(_Table):
    """The template: its name or path, and how it is rendered."""

    name: str
    retention: str | None = None
    variant: str | None = None
    kwargs: dict[str, Any] = {}


class ModelConfig(_Table):
    """The model: a pretrained one with arguments of ``from_pretrained``, or the ``config`` of one from scratch."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    path: str | None = None
    config: dict[str, Any] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of ``from_pretrained``."""
        return dict(self.model_extra or {})


class VibeConfig(_Table):
    """Prompts to answer during training."""

    prompts: list[Any] = Field(min_length=1)
    every: int | None = Field(default=None, ge=1)
    max_new_tokens: int = Field(default=256, ge=1)


class TrainConfig(_Table):
    """The configuration of a run.

    Attributes:
        data: conversations to train on.
        eval_data: held-out conversations, on which the loss is measured during training.
        template, tokenizer, model: what is trained.
        output: folder of the trained model.
        straddle, control_tokens, mask, rows, mask_from, arguments, max_length, overflow, pack, shape, clock, limit,
            fast, max_rejected: as for `chattmpl encode`.
        add_tokens: add control tokens that the tokenizer lacks.
        stop_tokens: texts that end an assistant turn, if the template does not define them.
        lora: arguments of peft's ``LoraConfig``, and ``merge``.
        trainer: arguments of trl's ``SFTConfig``.
        vibe: prompts to answer during training.
        audit: largest number of rows to audit, or ``"all"``.
        seed: seed of the mixture's sampling, the initial weights and the order of rows.
    """

    data: Mixture
    template: TemplateConfig
    model: ModelConfig
    output: str
    eval_data: Mixture | None = None
    tokenizer: str | None = None
    straddle: str = "split"
    control_tokens: str = "escape"
    mask: str = "all"
    arguments: str = "keep"
    max_length: int | None = None
    overflow: str = "truncate-turns"
    rows: str = "auto"
    mask_from: str = "law"
    pack: int | None = None
    shape: str | None = None
    clock: str | None = None
    limit: int | None = None
    fast: str = "auto"
    max_rejected: int | str = 0
    add_tokens: bool | None = None
    stop_tokens: list[str] = []
    lora: dict[str, Any] | None = None
    trainer: dict[str, Any] = {}
    vibe: VibeConfig | None = None
    audit: int | Literal["all"] = Field(default=1000)
    seed: int = 0

    @property
    def folder(self) -> Path:
        """Folder of the trained model."""
        return Path(self.output)

    @property
    def encoding_options(self) -> dict[str, Any]:
        """Options of encoding rows, named as in `chattmpl.data.job.Options`."""
        names = ["straddle", "control_tokens", "mask", "rows", "mask_from", "arguments", "max_length", "overflow"]
        names += ["pack", "shape", "fast"]
        clock = None if self.clock is None else datetime.fromisoformat(self.clock)
        return {
            **{name: getattr(self, name) for name in names},
            "clock": clock,
            "template_kwargs": self.template.kwargs,
        }


def load_config(path: str | Path, settings: Iterable[str] = ()) -> tuple[TrainConfig, ConfigFile]:
    """Read and check a configuration.

    Args:
        path: a .yaml, .yml or .toml file. Paths in it are relative to its folder.
        settings: ``KEY.KEY=VALUE`` strings that override the file. Paths in them are relative to the working directory.

    Returns:
        The configuration, and the places of its values.

    Raises:
        UsageError: the file cannot be read, or a key or value is invalid.
    """
    path = Path(path)
    read = read_config(path, settings)
    values = _expand(read, path.parent)
    try:
        config = TrainConfig.model_validate(values)
    except ValidationError as error:
        raise _usage_error(read, error) from None
    config = _resolve_data(config, read, path.parent)
    _check(config, read)
    return config, read


@contextmanager
def located(read: ConfigFile, *keys: str) -> Iterator[None]:
    """Give an error without a place that of a key, or of the option below the key that the error names."""
    try:
        yield
    except ChatTmplError as error:
        path = (*keys, *(error.option.split(".") if error.option else ()))
        if error.place is None and path:
            error.place = read.place(path)
        raise


def option_mentioned(text: str, options: Mapping[str, Any]) -> str | None:
    """Find the option that an error message of another library is about.

    Args:
        text: the message.
        options: option names and values; a value may be a mapping of nested options.

    Returns:
        The first option whose name the text quotes, else contains, else whose value it contains, with dots before
        nested names; None if there is none.
    """
    values: dict[tuple[str, ...], Any] = {}
    for name, value in options.items():
        values[name,] = value
        values |= {(name, str(key)): inner for key, inner in value.items()} if isinstance(value, dict) else {}
    names = [(keys, keys[-1]) for keys in sorted(values, key=lambda keys: -len(keys[-1]))]
    quoted = [(keys, repr(name)) for keys, name in names]
    strings = [(keys, value) for keys, value in values.items() if isinstance(value, str) and value]
    for keys, word in (*quoted, *names, *strings):
        if re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text):
            return ".".join(keys)
    return None


def one_line(error: Exception, limit: int | None = None) -> str:
    """Return the text of an error of another library on one line, cut to a number of characters."""
    return " ".join(str(error).split())[:limit]


# -- reading


_DATA = ("data", "eval_data")


def _expand(read: ConfigFile, folder: Path) -> dict[str, Any]:
    """Return the values of a file with short forms expanded and paths resolved."""
    values = dict(read.values)
    for name, inner in (("template", "name"), ("model", "path")):
        if isinstance(values.get(name), str):
            values[name] = {inner: values[name]}
    if isinstance(values.get("vibe"), list):
        values["vibe"] = {"prompts": values["vibe"]}
    if isinstance(values.get("clock"), date | datetime):
        values["clock"] = values["clock"].isoformat()
    if values.get("data") is None:
        raise UsageError(f"{read.name} has no key 'data'", hint=_EXAMPLES["data"])
    for name in _DATA:
        if values.get(name) is not None:
            values[name] = _as_mixture(values[name])
    for keys, names in ((("template", "name"), family_names()), (("model", "path"), []), (("tokenizer",), [DEMO])):
        _resolve_path(values, keys, names, read, folder)
    if isinstance(values.get("output"), str) and not read.from_command_line("output"):
        values["output"] = str(folder / values["output"])
    return {name: value for name, value in values.items() if value is not None}


def _as_mixture(data: Any) -> Any:
    """Expand a path to a mixture of one source, and a list to a mixture of several."""
    if isinstance(data, str):
        data = [data]
    if not isinstance(data, list):
        return data
    if len(data) == 1 and isinstance(data[0], str) and data[0].lower().endswith(SUFFIXES):
        return {"sources": [{"path": data[0]}]}
    return {"sources": [{"path": item, "name": item} if isinstance(item, str) else item for item in data]}


_MISSING = {
    "model": ("there is no model at {}", "model must be a folder written by save_pretrained"),
    "tokenizer": ("cannot load the tokenizer {!r}: no such file or folder", None),
}
"""Message and hint for a path that does not exist; without them, it would be looked up on the hub."""


def _resolve_path(
    values: dict[str, Any], keys: tuple[str, ...], names: Sequence[str], read: ConfigFile, folder: Path
) -> None:
    """Make a path in a file relative to its folder, unless it is a name; refuse a path that does not exist."""
    table = values
    if len(keys) > 1:
        if not isinstance(values.get(keys[0]), dict):
            return
        table = values[keys[0]] = dict(values[keys[0]])
    value = table.get(keys[-1])
    if not isinstance(value, str) or value in names:
        return
    path = Path(value) if read.from_command_line(*keys) else folder / value
    if keys[0] in _MISSING and (value in (".", "..") or value.startswith(("./", "../", "/"))) and not path.exists():
        message, hint = _MISSING[keys[0]]
        raise UsageError(message.format(str(path)), place=read.place(keys), hint=hint)
    if path.exists() or value.startswith((".", "/")):
        table[keys[-1]] = str(path)


def _resolve_data(config: TrainConfig, read: ConfigFile, folder: Path) -> TrainConfig:
    """Return the configuration with resolved data paths and with mixtures loaded from their files."""
    mixtures = {}
    for name in _DATA:
        mixture: Mixture | None = getattr(config, name)
        if mixture is None:
            continue
        base = Path() if read.from_command_line(name) else folder
        sources = mixture.sources
        if len(sources) == 1 and isinstance(sources[0].path, str) and sources[0].path.lower().endswith(SUFFIXES):
            mixture = load_mixture(base / sources[0].path)
        else:
            mixture = resolve_mixture(mixture, base, read.name)
        if "seed" not in mixture.model_fields_set:
            mixture = mixture.model_copy(update={"seed": config.seed})
        mixtures[name] = mixture
    return config.model_copy(update=mixtures)


def _usage_error(read: ConfigFile, error: ValidationError) -> UsageError:
    """Return the first error of a validation, with its place and a suggestion."""
    detail = error.errors(include_url=False)[0]
    keys = tuple(detail["loc"])
    if keys[0] in _DATA and keys[1:2] == ("sources",) and keys[:2] not in read.places:
        # The file has the short form of a mixture: a list of sources.
        place = read.place((keys[0], *keys[2:]))
    else:
        place = read.place(keys)
    name = ".".join(map(str, keys))
    if detail["type"] == "extra_forbidden":
        known = _known_keys(keys)
        hint = did_you_mean(str(keys[-1]), known) or f"the keys are {', '.join(known)}"
        return UsageError(f"unknown key {name!r}", place=place, hint=hint)
    if detail["type"] == "missing":
        return UsageError(
            f"{read.name} has no key {name!r}", place=place if len(keys) > 1 else None, hint=_EXAMPLES.get(name)
        )
    message = detail["msg"][:1].lower() + detail["msg"][1:]
    return UsageError(f"{name}: {message}", place=place)


_EXAMPLES = {
    "data": "for example 'data: conversations.jsonl'",
    "template": "for example 'template: hybrid', a .jinja file or a model directory",
    "model": "for example 'model: path/to/model', a hub id, or 'model: {config: {…}}' for a model from scratch",
    "output": "for example 'output: runs/first'",
}


def _known_keys(keys: tuple[Any, ...]) -> list[str]:
    table: type[BaseModel] = TrainConfig
    if len(keys) > 1:
        tables: dict[Any, type[BaseModel]] = {"template": TemplateConfig, "vibe": VibeConfig}
        table = (
            (MixtureSource if keys[1] == "sources" else Mixture)
            if keys[0] in _DATA
            else tables.get(keys[0], TrainConfig)
        )
    return list(table.model_fields)


# -- checks that need no other library


_SCRATCH_KEYS = ("dtype", "attn_implementation")
"""Keys of ``model`` that apply to a model from scratch, besides its config."""

_OWN_KEYS = {
    "output_dir": "set output instead",
    "seed": "set seed at the top level instead",
    "data_seed": "set seed at the top level instead",
    "resume_from_checkpoint": "use --resume instead",
    "max_length": "set max_length at the top level instead, which shortens rows by whole turns",
    "packing": "set pack: N at the top level instead",
    "eval_packing": "set pack: N at the top level instead",
    "model_init_kwargs": "set them under model, next to its path",
    "chat_template_path": "set template at the top level instead",
    "save_strategy": "checkpoints are always written every save_steps steps",
    "eos_token": "turns end where the template ends them; set stop_tokens at the top level instead",
}
"""Arguments of ``SFTConfig`` that the configuration replaces, with a hint for each."""

_COUNTS = ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps")
_POSITIVE = ("num_train_epochs", "save_steps", "logging_steps", "eval_steps")


def _check(config: TrainConfig, read: ConfigFile) -> None:
    """Refuse combinations and values that cannot work; raise `UsageError` for the first one, with its place."""
    for problems in (_model_problems(config), _trainer_problems(config)):
        for keys, message, hint in problems:
            raise UsageError(message, place=read.place(keys), hint=hint)
    with located(read, "max_rejected"):
        RejectionLimit.parse(config.max_rejected)
    try:
        options = config.encoding_options
    except ValueError:
        message = f"clock {config.clock!r} is not an ISO 8601 date or time"
        raise UsageError(message, place=read.place(("clock",)), hint="for example 2025-07-31") from None
    with located(read):
        Options(**options, limit=config.limit)


_Problems = Iterator[tuple[tuple[str, ...], str, str | None]]
"""The keys of an invalid value, a message and a hint."""


def _model_problems(config: TrainConfig) -> _Problems:
    model = config.model
    if (model.path is None) == (model.config is None):
        message = "model needs either a path or the config of a model from scratch"
        yield ("model",), message, "model: path/to/model, or model: {config: {…}}"
    if model.path is not None and Path(model.path).resolve() == config.folder.resolve():
        yield ("model",), "output is the folder of the model that training starts from", "choose another output"
    if model.config is None:
        return
    if config.tokenizer is None:
        yield ("model",), "a model from scratch has no tokenizer", "set tokenizer: path/to/tokenizer.json"
    if "model_type" not in model.config:
        yield ("model", "config"), "model.config has no model_type", "for example model_type: llama"
    for name in set(model.options) - {*_SCRATCH_KEYS}:
        yield (
            ("model", name),
            f"model.{name} does not apply to a model from scratch, which takes config, {' and '.join(_SCRATCH_KEYS)}",
            did_you_mean(name, _SCRATCH_KEYS) or f"arguments of the architecture belong in config: {{{name}: …}}",
        )
    if config.lora is not None and not config.lora.get("merge"):
        message = "lora saves only the adapters, so the random weights of a model from scratch would be lost"
        yield ("lora",), message, "lora.merge: true saves the whole model"


def _trainer_problems(config: TrainConfig) -> _Problems:
    if isinstance(config.audit, int) and config.audit < 1:
        yield ("audit",), "audit must be 'all' or at least 1 row", None
    for name in config.trainer:
        if name.startswith("eval_") and config.eval_data is None:
            yield ("trainer", name), f"trainer.{name} is set, but there is no eval_data", "eval_data: held-out.jsonl"
        if name in _OWN_KEYS:
            yield ("trainer", name), f"trainer.{name} cannot be set", _OWN_KEYS[name]
    # Numbers that lead to no step, and zero where trl divides by it.
    rules: list[tuple[str, Callable[[float], bool], str]] = [
        *((name, lambda number: number >= 1, "at least 1") for name in _COUNTS),
        *((name, lambda number: number > 0, "more than 0") for name in _POSITIVE),
        ("max_steps", lambda number: number >= 1 or number == -1, "at least 1"),
    ]
    for name, valid, bound in rules:
        number = config.trainer.get(name)
        if isinstance(number, int | float) and not isinstance(number, bool) and not valid(number):
            yield ("trainer", name), f"trainer.{name} must be {bound}, not {number}", None
