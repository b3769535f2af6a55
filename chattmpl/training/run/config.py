"""What a run of training is asked to do: docs/training.md tells each key."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chattmpl.data.config_file import SUFFIXES, Read, read_config
from chattmpl.data.mixture import Mixture, load_mixture, placed
from chattmpl.encode.tokenizer_loader import DEMO
from chattmpl.errors import UsageError, did_you_mean
from chattmpl.template.family import family_names
from chattmpl.training.run.validation import check, refuse_absent


class _Keys(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TemplateKeys(_Keys):
    """The template: its name or place, and how it is rendered."""

    name: str
    retention: str | None = None
    variant: str | None = None
    kwargs: dict[str, Any] = {}


class ModelKeys(_Keys):
    """The model: one to start from, with arguments of ``from_pretrained``, or the ``config`` of one from scratch."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    path: str | None = None
    config: dict[str, Any] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of ``from_pretrained``."""
        return dict(self.model_extra or {})


class VibeKeys(_Keys):
    """Prompts that are answered while the model trains."""

    prompts: list[Any] = Field(min_length=1)
    every: int | None = Field(default=None, ge=1)
    max_new_tokens: int = Field(default=256, ge=1)


class Config(_Keys):
    """The configuration of a run.

    Attributes:
        data: what is trained on.
        eval_data: what the loss is told of, now and then.
        template, tokenizer, model: with what.
        output: the folder of the model.
        straddle, control_tokens, mask, max_length, overflow, unroll, pack, shape, clock, limit, fast, max_rejected: as
            for `chattmpl encode`.
        add_tokens: whether control tokens that the tokenizer lacks are added to it.
        stop_tokens: what ends the assistant's turns, where that is not known of the template.
        lora: arguments of peft's ``LoraConfig``, and ``merge``.
        trainer: arguments of trl's ``SFTConfig``.
        vibe: prompts that are answered while the model trains.
        audit: rows that are audited, at most; or all.
        seed: of the draw from a mixture, the weights and the order of rows.
    """

    data: Mixture
    template: TemplateKeys
    model: ModelKeys
    output: str
    eval_data: Mixture | None = None
    tokenizer: str | None = None
    straddle: str = "include"
    control_tokens: str = "escape"
    mask: str = "all"
    max_length: int | None = None
    overflow: str = "truncate-turns"
    unroll: bool = False
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
    vibe: VibeKeys | None = None
    audit: int | Literal["all"] = Field(default=1000)
    seed: int = 0

    @property
    def folder(self) -> Path:
        """Where the model goes."""
        return Path(self.output)

    @property
    def encoding(self) -> dict[str, Any]:
        """The options of encoding rows, as the library names them; see `chattmpl.data.job.Options`."""
        names = ("straddle", "control_tokens", "mask", "max_length", "overflow", "unroll", "pack", "shape", "fast")
        clock = None if self.clock is None else datetime.fromisoformat(self.clock)
        return {
            **{name: getattr(self, name) for name in names},
            "clock": clock,
            "template_kwargs": self.template.kwargs,
        }


def load_config(path: str | Path, settings: Iterable[str] = ()) -> tuple[Config, Read]:
    """The configuration of a file, and where each of its values stands.

    Args:
        path: a .yaml, .yml or .toml file. Paths in it are relative to it.
        settings: each ``KEY.KEY=VALUE``, above what the file says. Paths in them are relative to the working directory.

    Raises:
        UsageError: it cannot be read, or says something that does not exist.
    """
    path = Path(path)
    read = read_config(path, settings)
    said = _spelt_out(read, path.parent)
    try:
        config = Config.model_validate(said)
    except ValidationError as error:
        raise _explained(read, error) from None
    config = _with_data(config, read, path.parent)
    check(config, read)
    return config, read


def _spelt_out(read: Read, folder: Path) -> dict[str, Any]:
    """What a file says, with each short form as the long one that it stands for."""
    said = dict(read.values)
    for name, inner in (("template", "name"), ("model", "path")):
        if isinstance(said.get(name), str):
            said[name] = {inner: said[name]}
    if isinstance(said.get("vibe"), list):
        said["vibe"] = {"prompts": said["vibe"]}
    if isinstance(said.get("clock"), date | datetime):
        said["clock"] = said["clock"].isoformat()
    if said.get("data") is None:
        raise UsageError(f"{read.name} names no data", hint="as in 'data: conversations.jsonl'")
    for name in _DATA:
        if said.get(name) is not None:
            said[name] = _data_said(said[name])
    refuse_absent(said, read, folder)
    for keys, known in ((("template", "name"), (*family_names(),)), (("model", "path"), ()), (("tokenizer",), (DEMO,))):
        _place_path(said, keys, read, folder, known)
    if isinstance(said.get("output"), str) and not read.from_command_line("output"):
        said["output"] = str(folder / said["output"])
    return {name: value for name, value in said.items() if value is not None}


_DATA = ("data", "eval_data")


def _data_said(data: Any) -> Any:
    """Data as a mixture: a path is a mixture of one source, and a list one of several."""
    if isinstance(data, str):
        data = [data]
    if not isinstance(data, list):
        return data
    if len(data) == 1 and isinstance(data[0], str) and data[0].lower().endswith(SUFFIXES):
        return {"sources": [{"path": data[0]}]}
    sources = [{"path": item, "name": item} if isinstance(item, str) else item for item in data]
    return {"sources": sources}


def _place_path(said: dict[str, Any], keys: tuple[str, ...], read: Read, folder: Path, known: tuple[str, ...]) -> None:
    """Makes a path of a file relative to its folder, where there is such a file; else it may be a name."""
    table = said
    if len(keys) > 1:
        if not isinstance(said.get(keys[0]), dict):
            return
        table = said[keys[0]] = dict(said[keys[0]])
    value = table.get(keys[-1])
    if isinstance(value, str) and value not in known and not read.from_command_line(*keys):
        beside = folder / value
        if beside.exists() or value.startswith((".", "/")):
            table[keys[-1]] = str(beside)


def _with_data(config: Config, read: Read, folder: Path) -> Config:
    """The configuration with the paths of its data, and the mixtures that stand in files of their own."""
    found = {}
    for name in _DATA:
        mixture: Mixture | None = getattr(config, name)
        if mixture is None:
            continue
        beside = Path() if read.from_command_line(name) else folder
        sources = mixture.sources
        if len(sources) == 1 and isinstance(sources[0].path, str) and sources[0].path.lower().endswith(SUFFIXES):
            mixture = load_mixture(beside / sources[0].path)
        else:
            mixture = placed(mixture, beside, read.name)
        if "seed" not in mixture.model_fields_set:
            mixture = mixture.model_copy(update={"seed": config.seed})
        found[name] = mixture
    return config.model_copy(update=found)


def _explained(read: Read, error: ValidationError) -> UsageError:
    """What a person is told: the first thing that is wrong, where it stands, and what was meant."""
    detail = error.errors(include_url=False)[0]
    keys = tuple(detail["loc"])
    if keys[0] in _DATA and keys[1:2] == ("sources",) and keys[:2] not in read.places:
        # A list of sources is what the short form of a mixture is.
        place = read.place((keys[0], *keys[2:]))
    else:
        place = read.place(keys)
    where = ".".join(map(str, keys))
    if detail["type"] == "extra_forbidden":
        known = _known_keys(keys)
        hint = did_you_mean(str(keys[-1]), known) or f"the keys are {', '.join(known)}"
        return UsageError(f"there is no key {where!r}", place=place, hint=hint)
    if detail["type"] == "missing":
        return UsageError(
            f"{read.name} says no {where}", place=place if len(keys) > 1 else None, hint=_EXAMPLES.get(where)
        )
    message = detail["msg"][:1].lower() + detail["msg"][1:]
    return UsageError(f"{where}: {message}", place=place)


_EXAMPLES = {
    "template": "as in 'template: hybrid', a .jinja file or a model directory",
    "model": "as in 'model: path/to/model', a hub id, or 'model: {config: {…}}' for one from scratch",
    "output": "as in 'output: runs/first'",
}


def _known_keys(keys: tuple[Any, ...]) -> list[str]:
    from chattmpl.data.mixture import Source

    table: Any = {"template": TemplateKeys, "vibe": VibeKeys, "data": Mixture, "eval_data": Mixture}.get(
        keys[0], Config
    )
    if len(keys) == 1:
        table = Config
    elif keys[0] in _DATA and keys[1] == "sources":
        table = Source
    return list(table.model_fields)
