"""What a configuration may not say, as far as that can be told without loading anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chattmpl.data.config_file import Read
from chattmpl.data.job import Allowance, Options
from chattmpl.errors import ChatTmplError, UsageError, did_you_mean

if TYPE_CHECKING:
    from chattmpl.training.run.config import Config

SCRATCH = ("dtype", "attn_implementation")
"""Keys of model that apply to one from scratch, beside its config."""

_OURS = {
    "output_dir": "it is output",
    "seed": "it is seed, beside trainer",
    "data_seed": "it is seed, beside trainer",
    "resume_from_checkpoint": "it is --resume",
    "max_length": "it is max_length, beside trainer, and shortens by whole turns",
    "packing": "it is pack: N, beside trainer",
    "eval_packing": "it is pack: N, beside trainer",
    "model_init_kwargs": "they stand in model, beside its path",
    "chat_template_path": "it is template, beside trainer",
    "save_strategy": "checkpoints are written every save_steps",
    "eos_token": "turns end where the template ends them, and what is saved has to end there too: it is stop_tokens, "
    "beside trainer",
}
"""Arguments of SFTConfig that have a key of their own, or no meaning."""

_COUNTS = ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps")
_POSITIVE = ("num_train_epochs", "save_steps", "logging_steps", "eval_steps")


def check(config: Config, read: Read) -> None:
    """Refuses what does not go together, and values that nothing can be done with.

    Raises:
        UsageError: for the first of them, with its place.
    """
    _check_model(config, read)
    if isinstance(config.audit, int) and config.audit < 1:
        raise UsageError("audit is at least 1 row, or all", place=read.place(("audit",)))
    _check_trainer(config, read)
    _check_numbers(config.trainer, read)
    with placed_at(read, "max_rejected"):
        Allowance.parse(config.max_rejected)
    _check_options(config, read)


def refuse_absent(said: Mapping[str, Any], read: Read, folder: Path) -> None:
    """Refuses a model or a tokenizer that is written as a path, and is none: else it would be taken for a hub id.

    Raises:
        UsageError: there is no such file or folder.
    """
    for keys, message, hint in (
        (("model", "path"), "there is no model at {}", "model: a folder that save_pretrained wrote"),
        (("tokenizer",), "the tokenizer {!r} cannot be loaded: there is no such file or folder", None),
    ):
        value = said.get(keys[0])
        if len(keys) > 1:
            value = value.get(keys[1]) if isinstance(value, Mapping) else None
        if not isinstance(value, str) or not (value in (".", "..") or value.startswith(("./", "../", "/"))):
            continue
        path = Path(value) if read.from_command_line(*keys) or read.from_command_line(keys[0]) else folder / value
        if not path.exists():
            raise UsageError(message.format(str(path)), place=read.place(keys), hint=hint)


def _check_model(config: Config, read: Read) -> None:
    model = config.model
    if (model.path is None) == (model.config is None):
        message = "model needs a path, or the config of a model from scratch, and not both"
        raise UsageError(message, place=read.place(("model",)), hint="model: path/to/model, or model: {config: {…}}")
    if model.path is not None and Path(model.path).resolve() == config.folder.resolve():
        message = "the model is read from where the trained one is to be saved"
        raise UsageError(message, place=read.place(("model",)), hint="name another output")
    if model.config is None:
        return
    if config.tokenizer is None:
        message = "a model from scratch brings no tokenizer"
        raise UsageError(message, place=read.place(("model",)), hint="tokenizer: path/to/tokenizer.json")
    if "model_type" not in model.config:
        message = "model.config has no model_type"
        raise UsageError(message, place=read.place(("model", "config")), hint="as in model_type: llama")
    for name in model.options:
        if name not in SCRATCH:
            raise UsageError(
                f"model.{name} does not apply to a model from scratch, which takes config, {' and '.join(SCRATCH)}",
                place=read.place(("model", name)),
                hint=did_you_mean(name, SCRATCH) or f"what belongs to the model stands in config: {{{name}: …}}",
            )
    if config.lora is not None and not config.lora.get("merge"):
        message = "lora saves adapters alone, and the random weights of a model from scratch would be lost"
        raise UsageError(message, place=read.place(("lora",)), hint="lora.merge: true saves the whole model")


def _check_trainer(config: Config, read: Read) -> None:
    for name in config.trainer:
        if name.startswith("eval_") and config.eval_data is None:
            message = f"trainer.{name}, and there is nothing to evaluate"
            raise UsageError(message, place=read.place(("trainer", name)), hint="eval_data: held-out.jsonl")
        if name in _OURS:
            message = f"trainer.{name} is not to be set"
            raise UsageError(message, place=read.place(("trainer", name)), hint=_OURS[name])


def _check_numbers(given: Mapping[str, Any], read: Read) -> None:
    """Refuses numbers that lead to no step, or that trl divides by."""
    rules: list[tuple[str, Callable[[float], bool], str]] = [
        *((name, lambda number: number >= 1, "is at least 1") for name in _COUNTS),
        *((name, lambda number: number > 0, "is more than 0") for name in _POSITIVE),
        ("max_steps", lambda number: number >= 1 or number == -1, "is at least 1"),
    ]
    for name, good, must in rules:
        number = given.get(name)
        if isinstance(number, int | float) and not isinstance(number, bool) and not good(number):
            raise UsageError(f"trainer.{name} {must}, not {number}", place=read.place(("trainer", name)))


def _check_options(config: Config, read: Read) -> None:
    try:
        Options(**config.encoding, limit=config.limit)
    except UsageError as error:
        name_ = next((name for name in type(config).model_fields if error.message.startswith(name)), None)
        error.place = read.place((name_,)) if name_ else None
        raise
    except ValueError:
        message = f"clock {config.clock!r} is no moment in ISO 8601"
        raise UsageError(message, place=read.place(("clock",)), hint="as in 2025-07-31") from None


@contextmanager
def placed_at(read: Read, *keys: str) -> Iterator[None]:
    """Says where in the configuration stands what an error is about, if it does not say so itself."""
    try:
        yield
    except ChatTmplError as error:
        error.place = error.place or read.place(keys)
        raise
