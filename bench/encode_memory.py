"""Peak memory of ``chattmpl encode`` on two inputs, one four times the other: it is to be the same.

Run with ``python bench/encode_memory.py TOKENIZER [MEGABYTES]``; it needs psutil.
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


def write(path: Path, size: int) -> None:
    choose = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < size:
            messages = []
            for _ in range(choose.randint(1, 4)):
                for role in ("user", "assistant"):
                    text = " ".join(choose.choices(WORDS, k=choose.randint(5, 250)))
                    messages.append({"role": role, "content": text})
            file.write(json.dumps({"messages": messages}) + "\n")


def peaks(data: Path, tokenizer: str, output: Path, workers: int) -> tuple[float, list[int]]:
    """Seconds, and the peak of each process in MiB, the largest first."""
    command = [sys.executable, "-m", "chattmpl", "encode", str(data), "-t", "qwen3", "--tokenizer", tokenizer]
    command += ["-o", str(output), "--force", "--workers", str(workers)]
    begun, highest = time.monotonic(), dict[int, int]()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            try:
                root = psutil.Process(process.pid)
                for each in (root, *root.children(recursive=True)):
                    highest[each.pid] = max(highest.get(each.pid, 0), each.memory_info().rss)
            except psutil.Error:
                pass
            time.sleep(0.05)
    if process.returncode:
        sys.exit(f"the job ended with exit code {process.returncode}")
    return time.monotonic() - begun, sorted((size >> 20 for size in highest.values()), reverse=True)


def main() -> None:
    tokenizer = sys.argv[1]
    small = int(sys.argv[2]) if len(sys.argv) > 2 else 50
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for megabytes in (small, 4 * small):
            write(folder / "data.jsonl", megabytes << 20)
            for workers in (1, 2):
                seconds, found = peaks(folder / "data.jsonl", tokenizer, folder / "out", workers)
                print(f"{megabytes:>5} MiB, {workers} worker(s): {seconds:6.1f} s, peaks {found} MiB", flush=True)


if __name__ == "__main__":
    main()
