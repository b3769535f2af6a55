"""Kinds of defects: how to plant them, how to prove them, and the rules that should find them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from planting.oracle import Base, observed, same

Plant = Callable[[str], Iterator[str]]
Proof = Callable[[Base, Base], bool]

KINDS: dict[str, Kind] = {}
"""By name, in the order in which they are defined."""


@dataclass(frozen=True)
class Kind:
    """A kind of defect.

    Attributes:
        name: a few words.
        codes: rules, one of which should find the defect.
        plant: yields sources with the defect.
        proof: whether a source has the defect, by what it renders.
        located: whether the finding belongs on a line that was changed.
    """

    name: str
    codes: frozenset[str]
    plant: Plant
    proof: Proof
    located: bool

    def mutants(self, base: Base, at_most: int = 1) -> Iterator[Base]:
        """Yield the mutants of a base in which the defect is proven."""
        found: set[str] = set()
        for source in self.plant(base.source):
            mutant = base.with_source(source)
            if len(found) < at_most and source != base.source and source not in found and self.proof(base, mutant):
                found.add(source)
                yield mutant


def differs(base: Base, mutant: Base) -> bool:
    """Return whether the mutant compiles and renders another text or other spans of some fixture."""
    return observed(mutant) is not None and not same(base, mutant)


def other_text(base: Base, mutant: Base) -> bool:
    """Return whether the mutant writes another text."""
    first, second = observed(base), observed(mutant)
    if first is None or second is None:
        return False
    return any(
        one.whole is not None and two.whole is not None and one.whole.text != two.whole.text
        for one, two in zip(first, second, strict=True)
    )


def other_prompt(base: Base, mutant: Base) -> bool:
    """Return whether the mutant writes another prompt, and no fewer prompts."""
    first, second = observed(base), observed(mutant)
    if first is None or second is None:
        return False
    one, two = first[0].prompt, second[0].prompt
    return one is not None and two is not None and one.text != two.text


def other_mask(base: Base, mutant: Base) -> bool:
    """Return whether the mutant writes the same texts with other spans."""
    return differs(base, mutant) and not other_text(base, mutant)


def only_source(base: Base, mutant: Base) -> bool:
    """Return whether the mutant renders the same here: its defect shows in other engines, or to readers."""
    return same(base, mutant)


def always(base: Base, mutant: Base) -> bool:
    """Accept every source: the defect is in the source alone."""
    return True


def kind(name: str, codes: str, proof: Proof, *, located: bool = True) -> Callable[[Plant], Plant]:
    """Register a function that plants a kind of defect."""

    def known(plant: Plant) -> Plant:
        KINDS[name] = Kind(name, frozenset(codes.split()), plant, proof, located)
        return plant

    return known
