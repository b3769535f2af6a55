"""Small data sets of conversations, made by number: the same number makes the same conversation."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

WORDS = ("when", "the", "train", "leaves", "late", "we", "read", "a", "book", "or", "count", "stars", "by", "rivers")


def conversation(number: int, words: int = 12) -> dict[str, Any]:
    """A conversation of one to three exchanges; every other one has reasoning."""
    choose = random.Random(number)

    def text() -> str:
        return " ".join(choose.choices(WORDS, k=choose.randint(1, words)))

    messages: list[dict[str, Any]] = []
    for _ in range(choose.randint(1, 3)):
        messages.append({"role": "user", "content": text()})
        messages.append({"role": "assistant", "content": text()})
        if number % 2:
            messages[-1]["reasoning_content"] = text()
    return {"messages": messages}


def write_jsonl(path: Path, records: list[Any]) -> Path:
    """A file with a record a line."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def write_many(path: Path, count: int, *, words: int = 12) -> Path:
    """A file of many conversations, written one by one."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            file.write(json.dumps(conversation(number, words)) + "\n")
    return path
