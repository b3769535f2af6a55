"""Estimates of an arm, and of the difference of two arms, over several seeds, with intervals at 95 %.

Shares come from some hundred turns and also vary from seed to seed. An interval is therefore the wider of two: Wilson's
on the turns of all seeds together (for differences Newcombe's), and Student's over seeds (for differences over pairs of
the same seed).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from chattmpl.training.prove.measures import Proportion
from playbook_parts.experiment import Claim

_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""The 97.5 % quantiles for 1, 2, … degrees of freedom."""

Verdict = Literal["as expected", "the opposite", "not seen", "too few to say", "a difference", "not run"]


@dataclass(frozen=True)
class Estimate:
    """A value with its interval.

    Attributes:
        value: share of all turns together, or mean over seeds.
        low, high: interval.
        each: value of each seed.
        share: True for a share.
    """

    value: float
    low: float
    high: float
    each: tuple[float, ...]
    share: bool


def estimate(runs: Mapping[int, Mapping[str, Any]], measure: str) -> Estimate | None:
    """Estimate a measure over all seeds of an arm; None if no seed has it."""
    found = [run[measure] for run in runs.values() if run.get(measure) is not None]
    if found and isinstance(found[0], list):
        found = [(count, of) for count, of in found if of]
        if not found:
            return None
        each = tuple(count / of for count, of in found)
        pooled = Proportion(sum(count for count, _ in found), sum(of for _, of in found))
        low, high = pooled.interval
        spread = _student(each)
        value = pooled.value or 0.0
        return Estimate(value, max(0.0, min(low, value - spread)), min(1.0, max(high, value + spread)), each, True)
    if not found:
        return None
    mean, spread = sum(found) / len(found), _student(found)
    return Estimate(mean, mean - spread, mean + spread, tuple(found), False)


def difference(
    one: Mapping[int, Mapping[str, Any]], other: Mapping[int, Mapping[str, Any]], measure: str
) -> Estimate | None:
    """Estimate the difference of two arms, over the seeds that both have."""
    seeds = [seed for seed in one if seed in other]
    pair = [estimate({seed: runs[seed] for seed in seeds}, measure) for runs in (one, other)]
    first, second = pair
    if first is None or second is None:
        return None
    each = tuple(a - b for a, b in zip(first.each, second.each, strict=False))
    value, spread = first.value - second.value, _student(each)
    if not first.share:
        return Estimate(value, value - spread, value + spread, each, False)
    shares = [_pooled({seed: runs[seed] for seed in seeds}, measure) for runs in (one, other)]
    low, high = _newcombe(*shares)
    return Estimate(value, max(-1.0, min(low, value - spread)), min(1.0, max(high, value + spread)), each, True)


def _pooled(runs: Mapping[int, Mapping[str, Any]], measure: str) -> Proportion:
    counts = [run[measure] for run in runs.values() if run.get(measure)]
    return Proportion(sum(count for count, _ in counts), sum(of for _, of in counts))


def _newcombe(one: Proportion, other: Proportion) -> tuple[float, float]:
    """Return Newcombe's interval of a difference of two shares, from Wilson's of each."""
    first, second = one.value or 0.0, other.value or 0.0
    (low_1, high_1), (low_2, high_2) = one.interval, other.interval
    below = math.hypot(first - low_1, high_2 - second)
    above = math.hypot(high_1 - first, second - low_2)
    return first - second - below, first - second + above


def _student(values: Sequence[float]) -> float:
    """Return half the width of Student's interval; 0 for a single value, for which it is undefined."""
    count = len(values)
    if count < 2:
        return 0.0
    mean = sum(values) / count
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1))
    return _STUDENT[min(count - 1, len(_STUDENT)) - 1] * deviation / math.sqrt(count)


def verdict(claim: Claim, found: Estimate | None) -> Verdict:
    """Return the verdict on a claim, from the interval of the difference."""
    if found is None:
        return "not run"
    # One seed does not show how seeds vary; for shares, the number of turns gives an interval.
    if not found.share and len(found.each) < 2:
        return "too few to say"
    if claim.expected == "same":
        if -claim.within <= found.low and found.high <= claim.within:
            return "as expected"
        return "a difference" if found.low > 0 or found.high < 0 else "too few to say"
    more, less = found.low > 0, found.high < 0
    if not more and not less:
        small = -claim.within <= found.low and found.high <= claim.within
        return "not seen" if small else "too few to say"
    return "as expected" if more == (claim.expected == "more") else "the opposite"
