"""Sizes of the experiment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """How large the model is, how long it trains and how much is measured.

    Attributes:
        hidden, layers, heads: of the model.
        talks: conversations to train on.
        steps, batch: optimizer steps, and rows in each.
        rate: the highest learning rate.
        tests: held-out conversations.
        merges: tokens of the tokenizer besides bytes and control tokens.
        limit: most tokens of a completion.
    """

    hidden: int
    layers: int
    heads: int
    talks: int
    steps: int
    batch: int
    rate: float
    tests: int
    merges: int = 600
    limit: int = 80


SIZES = {
    "tiny": Size(64, 2, 4, talks=3000, steps=300, batch=24, rate=5e-3, tests=40),
    "default": Size(128, 2, 4, talks=6000, steps=600, batch=32, rate=3e-3, tests=80),
    "gpu": Size(512, 8, 8, talks=50000, steps=4000, batch=128, rate=6e-4, tests=500),
}
