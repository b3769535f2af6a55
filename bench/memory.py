"""Peak memory and time of commands on two datasets, one larger than the other: memory should be the same.

    python bench/memory.py encode TOKENIZER [MEGABYTES] [TIMES]
    python bench/memory.py stats TOKENIZER
    python bench/memory.py audit TOKENIZER

Needs psutil. The data are generated: MEGABYTES (default: 20), and TIMES (default: 4) as much. audit keeps 28 bytes per
row, to find duplicates. Each command runs with one worker, and encode with two as well.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

WORDS = ("when", "the", "train", "leaves", "late", "we", "read", "a", "book", "or", "count", "stars", "by", "rivers")
COMMANDS = ("encode", "stats", "audit")


def write(path: Path, size: int) -> int:
    """Write conversations, every other one with reasoning; return their number."""
    choose = random.Random(0)
    rows = 0
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < size:
            messages = []
            for _ in range(choose.randint(1, 4)):
                question, answer, trace = (" ".join(choose.choices(WORDS, k=choose.randint(5, 250))) for _ in range(3))
                messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
                if rows % 2:
                    messages[-1]["reasoning_content"] = trace
            file.write(json.dumps({"messages": messages}) + "\n")
            rows += 1
    return rows


def peaks(words: list[str]) -> tuple[float, list[int]]:
    """Return the seconds of a command, and the peak of each of its processes in MiB, the largest first."""
    begun, highest = time.monotonic(), dict[int, int]()
    command = [sys.executable, "-m", "chattmpl", *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            try:
                root = psutil.Process(process.pid)
                for each in (root, *root.children(recursive=True)):
                    highest[each.pid] = max(highest.get(each.pid, 0), each.memory_info().rss)
            except psutil.Error:
                pass
            time.sleep(0.05)
    if process.returncode not in (0, 1):
        sys.exit(f"{words[0]} ended with exit code {process.returncode}")
    return time.monotonic() - begun, sorted((size >> 20 for size in highest.values()), reverse=True)


def main() -> None:
    """Run the benchmark."""
    command, tokenizer, *numbers = sys.argv[1:]
    if command not in COMMANDS:
        sys.exit(f"the commands are {', '.join(COMMANDS)}")
    small, times = (*map(int, numbers), *(20, 4)[len(numbers) :])
    with tempfile.TemporaryDirectory() as name:
        data, output = Path(name) / "data.jsonl", ["-o", str(Path(name) / "out"), "--force"]
        for megabytes in (small, times * small):
            rows = write(data, megabytes << 20)
            for workers in (1, 2) if command == "encode" else (1,):
                words = [command, str(data), "-t", "qwen3", "--tokenizer", tokenizer, "--workers", str(workers)]
                seconds, found = peaks([*words, *(output if command == "encode" else ("--format", "json"))])
                said = f"{megabytes:>5} MiB, {rows:,} rows, {workers} worker(s)"
                print(f"{command}: {said}: {seconds:6.1f} s, peaks {found} MiB", flush=True)


if __name__ == "__main__":
    main()
