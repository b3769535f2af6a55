"""``SFTConfig`` and ``SFTTrainer`` of trl for prepared rows, without settings that would silently alter the rows."""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from numbers import Integral
from typing import Any

from chattmpl.encode.encoding import IGNORE_INDEX
from chattmpl.errors import UsageError, did_you_mean

_BATCH = 1000
"""Number of rows that are checked at once."""


@dataclass(frozen=True)
class RowFacts:
    """Facts about a dataset on which valid settings depend.

    Attributes:
        longest: number of tokens in the longest row.
    """

    columns: frozenset[str]
    longest: int

    @property
    def packed(self) -> bool:
        """True if a row may hold several documents."""
        return "seq_lengths" in self.columns


def sft_config(rows: Any, **options: Any) -> Any:
    """Return an ``SFTConfig`` with which trl trains on exactly what prepared rows mark.

    Defaults differ from trl's: ``max_length=None``; ``padding_free=True`` for packed rows; and on a machine without an
    accelerator ``use_cpu=True`` and ``bf16=False``.

    Args:
        rows: dataset from `prepare`, or another dataset of tokenized rows, for example from ``chattmpl encode``.
        **options: arguments of ``trl.SFTConfig``.

    Raises:
        UsageError: for rows that are not tokenized or not marked.
        UsageError: for an option that trl would silently ignore, or that would silently alter what is trained.
    """
    import torch
    from trl import SFTConfig

    check_names(options)
    check_options(check_rows(rows, options), options)
    defaults: dict[str, Any] = {"max_length": None}
    if "seq_lengths" in rows.column_names:
        defaults["padding_free"] = True
    # Without an accelerator, trl's default of bf16 fails in the optimizer or trains in a lower precision.
    if not torch.accelerator.is_available():
        defaults |= {"use_cpu": True} | ({} if options.get("fp16") else {"bf16": False})
    return SFTConfig(**{**defaults, **options})


def sft_trainer(model: Any, args: Any, rows: Any, tokenizer: Any, **options: Any) -> Any:
    """Return an ``SFTTrainer`` that prints nothing, with the arguments of `sft_config`.

    ``options`` are further arguments of ``trl.SFTTrainer``, for example ``peft_config``.
    """
    from transformers.trainer_callback import PrinterCallback, ProgressCallback
    from trl import SFTTrainer

    trainer = SFTTrainer(model=model, args=args, train_dataset=rows, processing_class=tokenizer, **options)
    for printing in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printing)
    return trainer


def check_names(options: Iterable[str]) -> None:
    """Refuse names that ``SFTConfig`` does not have; raise `UsageError` for the first one, with a suggestion."""
    from dataclasses import fields

    from trl import SFTConfig

    known = {field.name for field in fields(SFTConfig) if field.init}
    for name in options:
        if name not in known:
            raise UsageError(f"SFTConfig has no option {name!r}", option=name, hint=did_you_mean(name, known))


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings, logs and progress bars of other libraries."""
    import datasets
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), datasets.utils.logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    datasets.utils.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        logging.enable_progress_bar()
        if bars:
            datasets.utils.logging.enable_progress_bar()


# -- rows


def check_rows(rows: Any, options: Mapping[str, Any]) -> RowFacts:
    """Check that a dataset is tokenized and marked, and return facts about it.

    Raises:
        UsageError: the rows cannot be trained on as they are.
    """
    if hasattr(rows, "column_names") and not hasattr(rows, "__len__"):
        raise UsageError(
            "the rows are a stream, and each row must be checked before training",
            hint="pass a datasets.Dataset; chattmpl encode writes one that need not fit into memory",
        )
    columns = frozenset(getattr(rows, "column_names", None) or ())
    if "input_ids" not in columns:
        raise UsageError(
            "the rows have no input_ids, so trl would render them with a template of its choice",
            hint="prepare(dataset, template, tokenizer) encodes conversations",
        )
    _check_marks(columns, options)
    if not len(rows):
        raise UsageError("there are no rows to train on", hint="the dataset is empty")
    longest = 0
    marks = [name for name in _mark_columns(columns, options) if name in columns]
    for first in range(0, len(rows), _BATCH):
        batch = rows[first : first + _BATCH]
        for index, tokens in enumerate(batch["input_ids"]):
            longest = max(longest, len(tokens))
            _check_row(first + index, len(tokens), {name: batch[name][index] for name in marks})
    return RowFacts(columns, longest)


def _mark_columns(columns: frozenset[str], options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the columns from which trl computes the loss; with labels it ignores masks."""
    if "labels" in columns:
        return ("labels",)
    return ("assistant_masks", "completion_mask") if options.get("completion_only_loss") else ("assistant_masks",)


def _check_marks(columns: frozenset[str], options: Mapping[str, Any]) -> None:
    if "labels" in columns or "assistant_masks" in columns:
        return
    if "completion_mask" in columns and not options.get("completion_only_loss"):
        raise UsageError(
            "trl ignores completion_mask unless completion_only_loss=True, and would train all tokens",
            hint="use the labels from prepare, or set completion_only_loss=True",
        )
    if "completion_mask" not in columns:
        raise UsageError(
            "the rows have neither labels nor masks, so trl would train all tokens",
            hint="prepare(dataset, template, tokenizer) adds labels",
        )


def _check_row(number: int, tokens: int, marks: Mapping[str, Any]) -> None:
    for name, values in marks.items():
        if tokens != len(values):
            raise UsageError(
                f"row {number} has {tokens} tokens and {len(values)} {name}",
                hint=f"trl does not check this: the {name} would end early or mark other tokens",
            )
    untrained = IGNORE_INDEX if "labels" in marks else 0
    if all(untrained in values for values in zip(*marks.values(), strict=True)):
        raise UsageError(
            f"row {number} has no token to train, but would take its place in a batch",
            hint="remove it; prepare rejects such rows",
        )


# -- options


def check_options(rows: RowFacts, options: Mapping[str, Any]) -> None:
    """Refuse options that trl would silently ignore, or that would silently alter the rows.

    Raises:
        UsageError: for the first one, with its consequence.
    """
    problems = chain.from_iterable(
        find(rows, options) for find in (_loss_problems, _packing_problems, _length_problems)
    )
    for option, message, hint in problems:
        raise UsageError(message, option=option, hint=hint)


_Problems = Iterator[tuple[str, str, str]]
"""The name of an option, the consequence of its value, and how to fix it."""


def _loss_problems(rows: RowFacts, options: Mapping[str, Any]) -> _Problems:
    if options.get("assistant_only_loss"):
        message = "assistant_only_loss=True is for conversations; on tokenized rows trl raises an error"
        yield "assistant_only_loss", message, "remove it: the labels mark what is trained"
    if options.get("completion_only_loss") and "labels" in rows.columns:
        yield (
            "completion_only_loss",
            "completion_only_loss=True has no effect on rows with labels",
            "remove it: the labels mark what is trained; prepare(…, mask='last') trains only the last turn",
        )
    if options.get("chat_template_path") is not None:
        yield (
            "chat_template_path",
            "chat_template_path replaces the tokenizer's template, so the saved template would not be that of the rows",
            "remove it: tokenizer.chat_template = template.export('inference')",
        )
    if "dataset_text_field" in options:
        yield "dataset_text_field", "dataset_text_field has no effect on tokenized rows", "remove it"


def _packing_problems(rows: RowFacts, options: Mapping[str, Any]) -> _Problems:
    name = next((name for name in ("packing", "eval_packing") if options.get(name)), None)
    ignored = "trl ignores seq_lengths, so documents would attend to each other"
    if rows.packed and name is not None:
        yield (
            name,
            f"{name}=True on packed rows: trl drops their seq_lengths, so documents would attend to each other",
            f"remove {name}: packed rows need padding_free=True, which sft_config sets",
        )
    if name is not None and options.get("packing_strategy", "bfd") != "bfd":
        strategy = options["packing_strategy"]
        message = f"packing_strategy={strategy!r} splits rows, so answers would lose their prompt"
        yield "packing_strategy", message, "packing_strategy='bfd', or prepare(…, pack=N)"
    if name == "eval_packing" and not options.get("padding_free"):
        hint = "remove it, or prepare the rows for training and for evaluation with pack=N"
        yield "eval_packing", f"eval_packing=True without packing=True: {ignored}", hint
    if rows.packed and not options.get("padding_free", True):
        hint = "remove it, or prepare the rows without pack"
        yield "padding_free", f"padding_free=False on packed rows: {ignored}", hint
    if name is not None and options.get("max_length") is None:
        message = f"{name}=True requires max_length, the number of tokens in a packed row"
        yield name, message, "max_length=N, or prepare(…, pack=N) without packing"


def _length_problems(rows: RowFacts, options: Mapping[str, Any]) -> _Problems:
    length = options.get("max_length")
    if length is not None and (isinstance(length, bool) or not isinstance(length, Integral)):
        message = f"max_length must be a whole number of tokens, not {length!r}"
        yield "max_length", message, "for example max_length=4096"
    if length is not None and rows.longest > int(length):
        effect = "discard the rest" if options.get("packing") else "cut them, even inside answers"
        yield (
            "max_length",
            f"max_length={length}, but rows have up to {rows.longest} tokens: trl would {effect}",
            f"prepare(…, max_length={length}) shortens rows by whole turns",
        )
    if length is not None and options.get("padding_free", rows.packed) and not options.get("packing"):
        message = "max_length with padding_free=True and without packing: trl does not enforce it and raises an error"
        yield "max_length", message, "remove max_length, and pass it to prepare"
    if options.get("truncation_mode", "keep_start") != "keep_start":
        yield (
            "truncation_mode",
            f"truncation_mode={options['truncation_mode']!r} removes the prompt of an answer",
            "remove it: prepare(…, max_length=N) shortens rows by whole turns",
        )
