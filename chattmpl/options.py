"""Options of encoding: choices, defaults and meaning, for the library, configuration files and the command line."""

from numbers import Integral
from typing import Any, Literal, NamedTuple, get_args

from chattmpl.errors import UsageError, did_you_mean

Shape = Literal["messages", "sharegpt", "alpaca", "prompt-completion"]
StraddleChoice = Literal["include", "exclude", "error", "split"]
ControlTokenChoice = Literal["escape", "allow", "error"]
MaskChoice = Literal["all", "last", "flags", "no-reasoning"]
MaskSource = Literal["law", "tags"]
RowChoice = Literal["auto", "one", "unroll"]
Arguments = Literal["keep", "decode"]
Fast = Literal["auto", "require", "off"]
Overflow = Literal["truncate-turns", "reject", "truncate-tokens", "split"]
Format = Literal["parquet", "arrow", "jsonl"]
JobEngine = Literal["local", "ray"]
Side = Literal["right", "left"]


class Option(NamedTuple):
    """An option with a fixed set of values, or one that is a whole number of at least 1.

    Attributes:
        sentence: its meaning, for help.
        choices: its values; empty for a number.
        default: its value if it is not given.
        unset: what happens without a value, if ``default`` is None.
    """

    sentence: str
    choices: tuple[str, ...] = ()
    default: str | None = None
    unset: str = ""


OPTIONS = {
    "shape": Option("Shape of the input.", get_args(Shape), unset="detected from the keys of each row"),
    "straddle": Option(
        "Treatment of tokens that straddle an edge of a generated span.", get_args(StraddleChoice), "split"
    ),
    "control_tokens": Option(
        "Treatment of control tokens in the text of messages.", get_args(ControlTokenChoice), "escape"
    ),
    "mask": Option("Part of the generated text to train on.", get_args(MaskChoice), "all"),
    "mask_from": Option(
        "Source of the mask: prompts and completions, or the template's generation tags as they are.",
        get_args(MaskSource),
        "law",
    ),
    "rows": Option(
        "Rows of a conversation: the fewest in which each answer follows its prompt, one, or one per answer.",
        get_args(RowChoice),
        "auto",
    ),
    "arguments": Option("Treatment of arguments of tool calls that are a string of JSON.", get_args(Arguments), "keep"),
    "fast": Option("Use the fast path where it applies, require it, or turn it off.", get_args(Fast), "auto"),
    "overflow": Option("Treatment of rows longer than --max-length.", get_args(Overflow), "truncate-turns"),
    "form": Option("Format of the files.", get_args(Format), unset="the suffix of OUT, or parquet"),
    "engine": Option("Run on this machine or on a Ray cluster.", get_args(JobEngine), "local"),
    "truncation_side": Option("Side at which tokens are cut off.", get_args(Side), "right"),
    "padding_side": Option("Side at which padding is added.", get_args(Side), "right"),
    "max_length": Option("Limit of tokens per row.", unset="no limit"),
    "pack": Option("Number of tokens to pack rows to, by best fit.", unset="no packing"),
    "pad_to": Option("Minimum number of tokens.", unset="no padding"),
    "limit": Option("Number of rows to read from each source.", unset="all"),
    "sample": Option("Number of rows to sample from each source.", unset="all rows"),
    "workers": Option("Number of worker processes.", unset="one per core, fewer for little data"),
}
"""The options, by their names in Python."""


def check_options(**values: Any) -> None:
    """Check the values of options.

    Raises:
        UsageError: a value is not one of the choices, or not a whole number of at least 1.
    """
    for name, value in values.items():
        option = OPTIONS[name]
        if value is None and option.default is None:
            continue
        if option.choices:
            if value not in option.choices:
                message = f"{name} cannot be {value!r}: it must be one of {', '.join(option.choices)}"
                hint = did_you_mean(value, option.choices) if isinstance(value, str) else None
                raise UsageError(message, option=name, hint=hint)
        elif isinstance(value, bool) or not isinstance(value, Integral):
            raise UsageError(f"{name} cannot be {value!r}: it must be a whole number", option=name, hint="as in 4096")
        elif value < 1:
            raise UsageError(f"{name} must be at least 1, not {value}", option=name)
