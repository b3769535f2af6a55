"""Whole processes from JSONL to Parquet: ``chattmpl encode`` against a script that uses transformers.

    python bench/whole_process.py [--families qwen3 …] [--rows 10 12000] [--steady 12000 60000] [--rounds 5]

Both sides are commands of their own, so interpreter, imports, the loading of the tokenizer, checks and writing are part
of the figures. They read the same file and the same model directory (a real tokenizer with the train export of the
family as its template), run one after the other in each round, and write the same rows, which is checked. Rows have
about 800 tokens, a third of them tools and half of the answers reasoning.

*First* is the first run of chattmpl with an empty cache; the other figures are medians over the rounds after it, by the
clock and of all processors, which depends less on other load. The *steady state* is what a further row costs: the
difference between two sizes, without start-up.

*Default* is chattmpl without options: each answer follows exactly what the model sees, in several rows (one
for each answer where the template drops earlier reasoning), so it writes more tokens than the script. How many is
printed below.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent))

import pyarrow as pa
import pyarrow.parquet as pq
from render import FAMILIES, conversation
from rich.console import Console
from rich.table import Table

import chattmpl
from chattmpl import Template
from support.fetched import real_tokenizer_path

_SCRIPT = Path(__file__).with_name("transformers_encode.py")
_SAME_ROWS = ("--rows", "one", "--mask-from", "tags", "--straddle", "include")
"""The options with which chattmpl makes one row per conversation from the generation tags, as transformers does."""


class Seconds(NamedTuple):
    """Seconds by the clock, and of all processors."""

    clock: float
    processors: float


class Sides:
    """Both commands for one family, in a folder of their own."""

    def __init__(self, family: str, folder: Path, options: list[str]) -> None:
        self.folder, self.options, self.tools = folder, options, family != "gemma3"
        template = Template.load(family)
        path = real_tokenizer_path(FAMILIES[family])
        self.model = folder / "model"
        self.model.mkdir()
        shutil.copy(path, self.model)
        config: dict[str, Any] = json.loads(path.with_name("tokenizer_config.json").read_text(encoding="utf-8"))
        config |= {"eos_token": template.family.generation.stop_tokens[0], **template.tokens}
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
        config.pop("chat_template", None)
        (self.model / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
        (self.model / "chat_template.jinja").write_text(template.export("train"), encoding="utf-8")
        # The same chattmpl as here, whatever the current folder, with compiled modules, as pip installs them.
        self.environment = {**os.environ, "CHATTMPL_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
        self.environment["PYTHONPATH"] = str(Path(chattmpl.__file__).parent.parent)
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def data(self, rows: int) -> Path:
        """Return a file of conversations, the same for each number of rows."""
        path = self.folder / f"{rows}.jsonl"
        if not path.exists():
            rng = random.Random(0)
            with path.open("w", encoding="utf-8") as file:
                for index in range(rows):
                    file.write(json.dumps(conversation(rng, tools=self.tools and index % 3 == 0)) + "\n")
        return path

    def ours(self, rows: int, options: Sequence[str] = _SAME_ROWS, output: str = "ours") -> Seconds:
        """Return the seconds of ``chattmpl encode``."""
        command = [sys.executable, "-c", "import sys; from chattmpl.cli import run; sys.exit(run())", "encode"]
        model = str(self.model)
        given = [str(self.data(rows)), "-t", model, "--tokenizer", model, "-o", str(self.folder / output), "--force"]
        return self._seconds([*command, *given, *options, *self.options])

    def default(self, rows: int) -> Seconds:
        """Return the seconds of ``chattmpl encode`` without options."""
        return self.ours(rows, (), "default")

    def tokens(self, output: str) -> int:
        """Return the number of tokens that a run wrote."""
        return sum(sum(map(len, pq.read_table(file)["input_ids"])) for file in (self.folder / output).glob("*.parquet"))

    def theirs(self, rows: int) -> Seconds:
        """Return the seconds of the script."""
        output = self.folder / "theirs.parquet"
        return self._seconds([sys.executable, str(_SCRIPT), str(self.model), str(self.data(rows)), str(output)])

    def _seconds(self, command: list[str]) -> Seconds:
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        ended = subprocess.run(
            command, capture_output=True, text=True, env=self.environment, cwd=self.folder, check=False
        )
        if ended.returncode:
            sys.exit(f"{' '.join(command)}\nended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Seconds(time.perf_counter() - start, used)

    def check_equal(self) -> None:
        """Check that both sides wrote the same rows.

        Raises:
            SystemExit: they did not.
        """
        ours = pa.concat_tables(map(pq.read_table, sorted((self.folder / "ours").glob("*.parquet"))))
        theirs = pq.read_table(self.folder / "theirs.parquet")
        for name in ("input_ids", "labels"):
            if not ours[name].combine_chunks().equals(theirs[name].combine_chunks()):
                sys.exit(f"the two sides wrote different {name}")


def measure(family: str, sizes: list[int], steady: list[int], rounds: int, options: list[str]) -> list[list[str]]:
    """Return the lines of the table for one family."""
    lines = []
    medians: dict[int, list[Seconds]] = {}
    with tempfile.TemporaryDirectory(prefix="whole-process") as temporary:
        sides = Sides(family, Path(temporary), options)
        for rows in dict.fromkeys((*sizes, *steady)):
            shutil.rmtree(Path(temporary) / "cache", ignore_errors=True)
            sides.data(rows)
            first = sides.ours(rows)
            times = [(sides.ours(rows), sides.default(rows), sides.theirs(rows)) for _ in range(rounds)]
            sides.check_equal()
            medians[rows] = [
                Seconds(*(statistics.median(values) for values in zip(*side, strict=True)))
                for side in zip(*times, strict=True)
            ]
            shown = [f"{value:.2f}" for value in (first.clock, *(value for side in medians[rows] for value in side))]
            lines.append([family, f"{rows:,}", *shown, *_ratios(*medians[rows])])
            more = f"{sides.tokens('default') / sides.tokens('ours'):.1f}"
    if steady:
        count = steady[1] - steady[0]
        costs = [
            Seconds(*((b - a) / count * 1e6 for a, b in zip(less, more, strict=True)))
            for less, more in zip(*(medians[rows] for rows in steady), strict=True)
        ]
        shown = ["", *(f"{value:.0f} µs/row" for side in costs for value in side)]
        lines.append([family, "steady state", *shown, *_ratios(*costs)])
    lines.append([family, f"tokens: {more} times", *[""] * 11])
    return lines


def _ratios(ours: Seconds, default: Seconds, theirs: Seconds) -> list[str]:
    """Return how many times as fast as the script both runs of chattmpl are, by the clock and by processors."""
    return [f"{b / a:.1f}" for side in (ours, default) for a, b in zip(side, theirs, strict=True)]


def table(families: list[str], sizes: list[int], steady: list[int], rounds: int, options: list[str]) -> None:
    """Print the table."""
    machine = f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}, transformers {version('transformers')}"
    result = Table(title=f"whole processes, JSONL to Parquet: seconds, median of {rounds} rounds; {machine}")
    headings = ("first", "chattmpl", "processors", "default", "processors", "transformers", "processors")
    for heading in ("family", "rows", *headings, *("times as fast", "by processors", "default", "by processors")):
        result.add_column(heading, justify="left" if heading == "family" else "right")
    for family in families:
        for line in measure(family, sizes, steady, rounds, options):
            result.add_row(*line)
    Console(width=200).print(result)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="*", default=["qwen3", "llama3", "gpt_oss"], choices=list(FAMILIES))
    parser.add_argument("--rows", type=int, nargs="*", default=[10, 12_000])
    parser.add_argument("--steady", type=int, nargs=2, default=[12_000, 36_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("options", nargs="*", help="Further options of chattmpl encode, after --.")
    given = parser.parse_args()
    table(given.families, given.rows, given.steady, given.rounds, given.options)


if __name__ == "__main__":
    main()
