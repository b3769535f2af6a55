"""Tasks that a tiny model learns, with the steps that lead to the answer; some are for training, others held out.

All of them are about digits, each of which the tokenizer gives a token of its own.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field

ITEMS = "0123456789"
GREETINGS = ("Hello", "Hi", "Hey", "Welcome")
"""One of them, at random, opens an answer about the model's name: what a model cannot know, and need not."""

_HELD_OUT = 8
"""One task in so many is held out."""


@dataclass(frozen=True)
class Task:
    """A question with its answer.

    Attributes:
        kind: ``sum``, ``reverse``, ``persona`` or ``lookup``.
        question: what the user says.
        trace: the steps to the answer, which ``reasoning_content`` tells.
        answer: what is right.
        also: other answers that are as right, and as likely.
        item, table: of a lookup, what is asked for, and what a tool answers.
    """

    kind: str
    question: str
    trace: str
    answer: str
    also: tuple[str, ...] = ()
    item: str = ""
    table: str = field(default="")

    def right(self, content: str) -> bool:
        """Whether an answer is right."""
        return content.strip() in (self.answer, *self.also)


def held_out(key: str) -> bool:
    """Whether a task is kept from training, which depends on nothing but what it is."""
    return int(hashlib.sha256(key.encode()).hexdigest(), 16) % _HELD_OUT == 0


def _draw(choose: random.Random, test: bool, make: Callable[[random.Random], tuple[str, ...]]) -> tuple[str, ...]:
    """Something that is held out, or that is not."""
    while True:
        made = make(choose)
        if held_out("|".join(made)) is test:
            return made


def sum_of_two(choose: random.Random, test: bool) -> Task:
    """Two numbers of two digits, added digit by digit."""
    first, second = _draw(choose, test, lambda c: (str(c.randint(10, 99)), str(c.randint(10, 99))))
    ones = int(first[1]) + int(second[1])
    tens = ones // 10 + int(first[0]) + int(second[0])
    trace = f"{first[1]}+{second[1]}={ones}, {ones // 10}+{first[0]}+{second[0]}={tens}"
    return Task("sum", f"{first}+{second}", trace, str(int(first) + int(second)))


def reversal(choose: random.Random, test: bool, length: int = 3) -> Task:
    """So many digits, backwards."""
    digits = number_of(choose, test, length)
    return Task("reverse", f"reverse {digits}", f"{digits}={digits[::-1]}", digits[::-1])


def number_of(choose: random.Random, test: bool, length: int = 3) -> str:
    """The number of an agent, of so many digits."""
    (number,) = _draw(choose, test, lambda c: (f"{c.randrange(10**length):0{length}}",))
    return number


def persona(choose: random.Random, number: str) -> Task:
    """The number that the system message gives."""
    answers = [f"{greeting}, agent {number}" for greeting in GREETINGS]
    answer = choose.choice(answers)
    others = tuple(other for other in answers if other != answer)
    return Task("persona", "who are you?", f"agent {number}", answer, others)


def lookup(choose: random.Random, test: bool) -> Task:
    """The price of one thing, from a table."""

    def make(c: random.Random) -> tuple[str, ...]:
        some = c.sample(ITEMS, 3)
        return (some[0], ";".join(f"{item}={c.randint(1, 9)}" for item in sorted(some, key=lambda _: c.random())))

    item, table = _draw(choose, test, make)
    price = next(pair.split("=")[1] for pair in table.split(";") if pair.startswith(f"{item}="))
    return Task("lookup", f"price of {item}?", f"{item}={price}", price, item=item, table=table)
