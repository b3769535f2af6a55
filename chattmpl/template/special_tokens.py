"""Special tokens by name, as transformers passes them to templates, and patterns of control tokens."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from chattmpl.conversation.validation_errors import shown
from chattmpl.errors import TemplateError

SpecialTokens = Mapping[str, str | None]
"""Special tokens by name: None where there is known to be none, as ``bos_token`` in Qwen; unknown names are absent."""

NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
"""The names that every tokenizer of transformers has; others belong to a model, such as ``image_token``."""

PIPED_CONTROL = re.compile(r"<\|[^|<>\s]{1,60}\|>|<｜[^｜<>]{1,60}｜>")
"""Control tokens that cannot be anything else: those between ``<|`` and ``|>``."""

CONTROL = re.compile(
    rf"{PIPED_CONTROL.pattern}|<\|?[A-Za-z_][\w.:-]*\|?>|</(?:(?:\w+_)?s|assistant|bot|model|user)>"
    r"|\[/?[A-Z_]{3,}\]|\[\|[^|\[\]\s]{1,60}\|\]|\[e~\[|\]~b\]"
)
"""Anything that resembles a control token, for templates whose tokenizer is not known."""

HTML_TAG = re.compile(
    "</?(?:a|abbr|address|area|article|aside|audio|b|base|bdi|bdo|blockquote|body|br|button|canvas|caption|center|cite|code"
    "|col|colgroup|data|datalist|dd|del|details|dfn|dialog|div|dl|dt|em|embed|fieldset|figcaption|figure|font|footer|form"
    "|h[1-6]|head|header|hr|html|i|iframe|img|input|ins|kbd|label|legend|li|link|main|map|mark|meta|meter|nav|noscript"
    "|object|ol|optgroup|option|output|p|param|picture|pre|progress|q|rp|rt|ruby|s|samp|script|section|select|small"
    "|source|span|strike|strong|style|sub|summary|sup|svg|table|tbody|td|template|textarea|tfoot|th|thead|time|title|tr"
    "|track|tt|u|ul|var|video|wbr)>"
)
"""Tags of HTML, which are added tokens of some vocabularies and ordinary text."""

TAG = re.compile(r"<\|[^<>|]*\|>|<｜[^<>｜]*｜>|</?\w+>")
"""Control tokens and tags around a section of a turn, in the template's own text."""

PLACEHOLDER = "<|{}|>"
PLACEHOLDERS = {name: PLACEHOLDER.format(name) for name in ("bos_token", "eos_token", "pad_token", "unk_token")}
"""Special tokens for a template that comes without any."""


def complete(tokens: Mapping[str, str]) -> dict[str, str | None]:
    """Return special tokens with None for each of the names that they lack; nothing if there are none at all."""
    return {**dict.fromkeys(NAMES), **tokens} if tokens else {}


def read_tokens(config: Mapping[str, Any], file: object) -> dict[str, str | None]:
    """Return the special tokens of a ``tokenizer_config.json``, those of the model among them.

    As in transformers, these are the entries named ``*_token``, and the named tokens in ``extra_special_tokens``. A
    token is a string, or a dict with its ``content``. Other entries may have such a name too, as ``add_bos_token``.

    Raises:
        TemplateError: a special token is something else; ``file`` is the file to name.
    """
    named = {key: value for key, value in config.items() if key.endswith("_token")}
    certain = set(NAMES)
    for key in ("extra_special_tokens", "model_specific_special_tokens"):
        more = config[key] if isinstance(config.get(key), dict) else {}
        named |= more
        certain.update(more)
    tokens: dict[str, str | None] = {}
    for name, value in named.items():
        content = value.get("content") if isinstance(value, dict) else value
        if isinstance(content, str) or (value is None and name in NAMES):
            tokens[name] = content
        elif name in certain and value is not None:
            raise TemplateError(
                f"{file}: {name} must be a token (a string, or an object with its content), not {shown(content)}",
                hint="write the text of the token, or null if there is none",
            )
    return tokens


def with_placeholders(tokens: SpecialTokens, variables: Iterable[str] = ()) -> dict[str, str | None]:
    """Return special tokens with placeholders for those that are not known, among them those that a template reads."""
    return {**PLACEHOLDERS, **{name: PLACEHOLDER.format(name) for name in read_by(variables)}, **tokens}


def read_by(variables: Iterable[str]) -> list[str]:
    """Return the names of special tokens among the variables of a template, sorted."""
    return sorted(name for name in variables if name.endswith("_token"))


class TurnEnding(NamedTuple):
    """The end of an assistant turn that is the last of its conversation.

    Attributes:
        stop: the token that the model samples to end the turn.
        rest: the text that the template writes after it, which is not sampled.
        append: the text that is sampled where the template writes no stop token: the stop token, with the text before
            it if there is some; empty if the template writes one.
    """

    stop: str
    rest: str
    append: str


Endings = Mapping[bool, tuple[TurnEnding, ...]]
"""The possible ends of turns without and with tool calls."""
