"""The settings of trl that take prepared rows as they are, and refusals of those that would alter them silently."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from chattmpl.errors import UsageError, did_you_mean

IGNORED = -100
_BATCH = 1000


@dataclass(frozen=True)
class Rows:
    """What settings depend on.

    Attributes:
        columns: names of the columns.
        longest: most tokens of a row; 0 where there is none.
    """

    columns: frozenset[str]
    longest: int

    @property
    def packed(self) -> bool:
        """Whether several documents stand in a row."""
        return "seq_lengths" in self.columns


def sft_config(rows: Any, **options: Any) -> Any:
    """An ``SFTConfig`` under which trl trains on exactly what prepared rows say.

    Filled in where it is not given: ``max_length=None``; ``padding_free=True`` for packed rows; and on a machine
    without an accelerator ``use_cpu=True`` and ``bf16=False``.

    Args:
        rows: what `prepare` returned, or another data set of tokenised rows, such as one of ``chattmpl encode``.
        **options: of ``trl.SFTConfig``.

    Raises:
        UsageError: for rows that are not ready, and for an option under which trl would alter what is trained, or
            ignore something, without a word.
    """
    import torch
    from trl import SFTConfig

    check_names(options)
    check_options(looked_at(rows, options), options)
    filled: dict[str, Any] = {"max_length": None}
    if "seq_lengths" in rows.column_names:
        filled["padding_free"] = True
    # Where torch finds none, trl's default of bf16 fails in the optimizer or trains in a lower precision.
    if not torch.accelerator.is_available():
        filled |= {"use_cpu": True} | ({} if options.get("fp16") else {"bf16": False})
    return SFTConfig(**{**filled, **options})


def check_names(options: Iterable[str]) -> None:
    """Refuses names that ``SFTConfig`` does not have.

    Raises:
        UsageError: for the first one, with what may have been meant.
    """
    from dataclasses import fields

    from trl import SFTConfig

    known = {field.name for field in fields(SFTConfig) if field.init}
    for name in options:
        if name not in known:
            raise UsageError(f"SFTConfig has no option {name!r}", hint=did_you_mean(name, known))


def looked_at(rows: Any, options: dict[str, Any]) -> Rows:
    """What the settings depend on.

    Raises:
        UsageError: the rows are not ready to be trained on.
    """
    if hasattr(rows, "column_names") and not hasattr(rows, "__len__"):
        raise UsageError(
            "the rows are a stream, and each of them is to be looked at before training",
            hint="give a datasets.Dataset; chattmpl encode writes one that need not fit into memory",
        )
    names = frozenset(getattr(rows, "column_names", None) or ())
    if "input_ids" not in names:
        raise UsageError(
            "the rows have no input_ids, so trl would render them with a template of its own choice",
            hint="prepare(dataset, template, tokenizer) makes rows of conversations",
        )
    _check_what_is_trained(names, options)
    if not len(rows):
        raise UsageError("there is no row to train on", hint="the data set is empty")
    longest = 0
    checked = [name for name in _checked(names, options) if name in names]
    for first in range(0, len(rows), _BATCH):
        some = rows[first : first + _BATCH]
        for index, tokens in enumerate(some["input_ids"]):
            longest = max(longest, len(tokens))
            _check_row(first + index, len(tokens), {name: some[name][index] for name in checked})
    return Rows(names, longest)


def _checked(names: frozenset[str], options: dict[str, Any]) -> tuple[str, ...]:
    """The columns that trl reads for what is trained; it looks at no mask where there are labels."""
    if "labels" in names:
        return ("labels",)
    return ("assistant_masks", "completion_mask") if options.get("completion_only_loss") else ("assistant_masks",)


def _check_what_is_trained(names: frozenset[str], options: dict[str, Any]) -> None:
    if "labels" in names or "assistant_masks" in names:
        return
    if "completion_mask" in names and not options.get("completion_only_loss"):
        raise UsageError(
            "a lone completion_mask is ignored unless completion_only_loss=True, and all tokens would be trained",
            hint="use the labels that prepare makes, or say completion_only_loss=True",
        )
    if "completion_mask" not in names:
        raise UsageError(
            "the rows say nowhere what is trained, so trl would train all tokens",
            hint="prepare(dataset, template, tokenizer) makes labels",
        )


def _check_row(number: int, tokens: int, said: dict[str, Any]) -> None:
    for name, values in said.items():
        if tokens != len(values):
            raise UsageError(
                f"row {number} has {tokens} tokens and {len(values)} {name}",
                hint=f"trl does not look: the {name} would belong to other tokens, or end early",
            )
    untrained = IGNORED if "labels" in said else 0
    if all(untrained in values for values in zip(*said.values(), strict=True)):
        raise UsageError(
            f"row {number} has nothing to train, and would take its place in a batch all the same",
            hint="leave it out; prepare rejects such rows",
        )


def check_options(rows: Rows, options: dict[str, Any]) -> None:
    """Refuses what trl would ignore, or what would alter the rows, without a word.

    Raises:
        UsageError: with what would happen, and the way out.
    """
    for check in _CHECKS:
        found = check(rows, options)
        if found is not None:
            raise UsageError(found[0], hint=found[1])


_Found = tuple[str, str] | None


def _assistant_only_loss(rows: Rows, options: dict[str, Any]) -> _Found:
    if not options.get("assistant_only_loss"):
        return None
    return (
        "assistant_only_loss=True is for conversations: trl raises on rows that are tokenised",
        "drop it: the labels say what is trained",
    )


def _completion_only_loss(rows: Rows, options: dict[str, Any]) -> _Found:
    if not options.get("completion_only_loss") or "labels" not in rows.columns:
        return None
    return (
        "completion_only_loss=True changes nothing on rows that have labels",
        "drop it: the labels say what is trained; prepare(…, mask='last') trains the last turn alone",
    )


def _packs(options: dict[str, Any]) -> bool:
    return bool(options.get("packing") or options.get("eval_packing"))


def _repacked(rows: Rows, options: dict[str, Any]) -> _Found:
    if not rows.packed or not _packs(options):
        return None
    return (
        "packing=True on rows that are packed: trl drops their seq_lengths, and documents would see each other",
        "drop packing: packed rows need padding_free=True, which sft_config fills in",
    )


def _chat_template(rows: Rows, options: dict[str, Any]) -> _Found:
    if options.get("chat_template_path") is None:
        return None
    return (
        "chat_template_path replaces the tokenizer's template: another one than the rows were made with would be saved",
        "drop it: tokenizer.chat_template = template.export('inference')",
    )


def _seq_lengths(rows: Rows, options: dict[str, Any]) -> _Found:
    if options.get("eval_packing") and not options.get("packing") and not options.get("padding_free"):
        return (
            "eval_packing=True without packing: seq_lengths would be ignored, and documents would see each other",
            "drop it, or prepare the rows to evaluate on, and those to train on, with pack=N",
        )
    if not rows.packed or options.get("padding_free", True):
        return None
    return (
        "padding_free=False on packed rows: seq_lengths would be ignored, and documents would see each other",
        "drop it, or prepare rows without pack",
    )


def _strategy(rows: Rows, options: dict[str, Any]) -> _Found:
    if not _packs(options) or options.get("packing_strategy", "bfd") == "bfd":
        return None
    return (
        f"packing_strategy={options['packing_strategy']!r} cuts rows, so that answers begin without their prompt",
        "packing_strategy='bfd', or prepare(…, pack=N)",
    )


def _packing_length(rows: Rows, options: dict[str, Any]) -> _Found:
    if not _packs(options) or options.get("max_length") is not None:
        return None
    return (
        f"{'packing' if options.get('packing') else 'eval_packing'}=True needs max_length, the tokens of a packed row",
        "max_length=N, or prepare(…, pack=N) without packing",
    )


def _max_length(rows: Rows, options: dict[str, Any]) -> _Found:
    length = options.get("max_length")
    if length is not None and (isinstance(length, bool) or not isinstance(length, Integral)):
        return f"max_length cannot be {length!r}: it is a whole number of tokens", "as in max_length=4096"
    if length is None or rows.longest <= int(length):
        return None
    done = "discard what stands beyond it" if options.get("packing") else "cut them, also inside answers"
    return (
        f"max_length={length}, but rows have up to {rows.longest} tokens: trl would {done}",
        f"prepare(…, max_length={length}) shortens by whole turns",
    )


def _padding_free_length(rows: Rows, options: dict[str, Any]) -> _Found:
    padding_free = options.get("padding_free", rows.packed)
    if not padding_free or options.get("packing") or options.get("max_length") is None:
        return None
    return (
        "max_length is not enforced with padding_free=True and without packing: trl raises",
        "drop max_length, and give it to prepare",
    )


def _truncation_mode(rows: Rows, options: dict[str, Any]) -> _Found:
    if options.get("truncation_mode", "keep_start") == "keep_start":
        return None
    return (
        f"truncation_mode={options['truncation_mode']!r} cuts away what an answer answers",
        "drop it: prepare(…, max_length=N) shortens by whole turns",
    )


def _text_field(rows: Rows, options: dict[str, Any]) -> _Found:
    if "dataset_text_field" not in options:
        return None
    return "dataset_text_field is ignored on rows that are tokenised", "drop it"


_CHECKS: tuple[Callable[[Rows, dict[str, Any]], _Found], ...] = (
    _assistant_only_loss,
    _completion_only_loss,
    _chat_template,
    _repacked,
    _strategy,
    _seq_lengths,
    _packing_length,
    _max_length,
    _padding_free_length,
    _truncation_mode,
    _text_field,
)
