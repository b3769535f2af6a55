"""Time and peak memory of ``chattmpl stats`` and ``chattmpl audit`` on two inputs, one ten times the other.

Run with ``python bench/look_memory.py TOKENIZER [ROWS] [WORKERS]``; it needs psutil. The memory of stats is to be the
same; audit keeps 28 bytes a row, to know repetitions.
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


def write(path: Path, rows: int) -> None:
    choose = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            messages = []
            for _ in range(choose.randint(1, 3)):
                question, answer, trace = (" ".join(choose.choices(WORDS, k=choose.randint(5, 60))) for _ in range(3))
                messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
                if number % 2:
                    messages[-1]["reasoning_content"] = trace
            file.write(json.dumps({"messages": messages}) + "\n")


def peak(command: str, data: Path, tokenizer: str, workers: int) -> tuple[float, list[int]]:
    """Seconds, and the peak of each process in MiB, the largest first."""
    words = [sys.executable, "-m", "chattmpl", command, str(data), "-t", "qwen3", "--tokenizer", tokenizer]
    words += ["--workers", str(workers), "--format", "json"]
    begun, highest = time.monotonic(), dict[int, int]()
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            try:
                root = psutil.Process(process.pid)
                for each in (root, *root.children(recursive=True)):
                    highest[each.pid] = max(highest.get(each.pid, 0), each.memory_info().rss)
            except psutil.Error:
                pass
            time.sleep(0.05)
    if process.returncode not in (0, 1):
        sys.exit(f"{command} ended with exit code {process.returncode}")
    return time.monotonic() - begun, sorted((size >> 20 for size in highest.values()), reverse=True)


def main() -> None:
    tokenizer = sys.argv[1]
    large = int(sys.argv[2]) if len(sys.argv) > 2 else 50_000
    workers = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data.jsonl"
        for rows in (large // 10, large):
            write(data, rows)
            size = data.stat().st_size / 1e6
            for command in ("stats", "audit"):
                seconds, found = peak(command, data, tokenizer, workers)
                speed = f"{rows / seconds:,.0f} rows/s"
                print(
                    f"{command} {rows:>9,} rows ({size:.0f} MB): {seconds:6.1f} s, {speed}, peaks {found} MiB",
                    flush=True,
                )


if __name__ == "__main__":
    main()
