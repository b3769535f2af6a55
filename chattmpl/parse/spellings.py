"""Spellings of models: ways in which models write a turn that their template writes in another way."""

import re
from collections.abc import Iterable
from typing import NamedTuple


class _Spelling(NamedTuple):
    """A spelling and its replacement, for templates whose turns contain a text."""

    contained: str
    pattern: re.Pattern[str]
    replacement: str


_SPELLINGS = (
    # Harmony: the recipient may follow the channel, and the type of the arguments may be a constraint.
    _Spelling(
        " to=functions.",
        re.compile(r"<\|channel\|>\w+ to=functions\.([^\s<]+) ?(?:<\|constrain\|>)?json<\|message\|>"),
        r" to=functions.\1<|channel|>commentary json<|message|>",
    ),
    _Spelling(
        " to=functions.",
        re.compile(r" to=functions\.([^\s<]+)<\|channel\|>\w+ ?(?:<\|constrain\|>)?json<\|message\|>"),
        r" to=functions.\1<|channel|>commentary json<|message|>",
    ),
    # A model may think in several messages.
    _Spelling(
        "<|channel|>analysis<|message|>",
        re.compile(
            r"(?<=<\|channel\|>analysis<\|message\|>)([^<]*)<\|end\|><\|start\|>assistant<\|channel\|>analysis<\|message\|>"
        ),
        r"\1\n\n",
    ),
    # Llama 3.1 opens calls of functions, too, with the token for code.
    _Spelling("", re.compile(r"\A<\|python_tag\|>(?=\s*\{)"), ""),
)


def respelled(text: str, written: Iterable[str], stops: Iterable[str]) -> str:
    """Return a completion in the spelling of its template.

    Args:
        text: the completion.
        written: the texts that the template writes in turns.
        stops: the tokens at which sampling ends; one at the end is cut off.
    """
    texts = tuple(written)
    for spelling in _SPELLINGS:
        if not spelling.contained or any(spelling.contained in each for each in texts):
            text = spelling.pattern.sub(spelling.replacement, text)
    stop = next((stop for stop in stops if stop and text.rstrip().endswith(stop)), "")
    return text.rstrip().removesuffix(stop) if stop else text
