"""Comparison of a row of the fast path with the exact path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from chattmpl.data.fast.markers import Ranges, split_markers
from chattmpl.errors import EncodeError

_Found = TypeVar("_Found")


class ExactResult(NamedTuple):
    """The result of the exact path for a conversation that it does not refuse.

    Attributes:
        text: the rendered text.
        generated: the generated character ranges, touching ranges merged.
        ids, mask: the tokens, and 1 for each that is trained.
    """

    text: str
    generated: Ranges
    ids: list[int]
    mask: list[int]


class NotCompared(EncodeError):
    """The fast path leaves the conversation to the exact path after it has encoded it, and so cannot be compared."""


class Sample(NamedTuple):
    """A record to compare with the exact path, and the text with markers, tokens and mask of each of its fast rows."""

    record: Any
    rows: list[tuple[str, list[int], list[int]]]


def describe_difference(
    expected: ExactResult | None, text: str, ids: list[int] | None = None, mask: list[int] | None = None
) -> str | None:
    """Describe the difference between the results of the fast and the exact path; None if there is none.

    Args:
        expected: the result of the exact path; None if it refuses the conversation.
        text: the text with markers.
        ids: the tokens; None if only the text is compared.
        mask: 1 for each token that is trained; None if only the text is compared.
    """
    if expected is None:
        return f"it makes a row that the exact path does not make: {_excerpt(text)}"
    plain, generated = split_markers(text)
    if plain != expected.text:
        at = next((i for i, (a, b) in enumerate(zip(plain, expected.text, strict=False)) if a != b), 0)
        return f"it writes {_excerpt(plain[at:])} where the exact path writes {_excerpt(expected.text[at:])}"
    if generated != expected.generated:
        return f"its generated spans are {generated} instead of {expected.generated}"
    for what, found, wanted in (("tokens", ids, expected.ids), ("mask", mask, expected.mask)):
        if found is not None and found != wanted:
            differing = (i for i, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b)
            first = next(differing, min(len(found), len(wanted)))
            return f"its {what} differ from token {first} on, in a row that begins with {_excerpt(plain)}"
    return None


def paired(results: list[ExactResult] | None, found: Sequence[_Found]) -> Iterator[tuple[ExactResult | None, _Found]]:
    """Pair the rows of a conversation with the exact results, or with None where there are more or fewer."""
    same = results is not None and len(results) == len(found)
    return zip(results if same and results is not None else [None] * len(found), found, strict=True)


def _excerpt(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")
