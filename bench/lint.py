"""Time lint on the templates that trl ships, beside chatlint, in one process.

    python bench/lint.py [--rounds N]

Each round lints all templates with chattmpl and with chatlint, in turns, with empty caches. Times
are seconds of CPU (both are one thread); the best round counts, since the others had company on the machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from mutants import chatlint, found_in
from planting.oracle import Base

from support.fetched import trl_templates


def seconds(rounds: int) -> dict[str, list[float]]:
    """Return the CPU seconds of each round for each installed tool."""
    templates = [Base(name, "trl", source) for name, source in trl_templates().items()]
    tools = {"chattmpl": found_in, "chatlint": chatlint()}
    taken: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        for name, tool in tools.items():
            if tool is None:
                continue
            start = time.process_time()
            for template in templates:
                tool(template)
            # The first round loads modules.
            if number:
                taken.setdefault(name, []).append(time.process_time() - start)
    taken["templates"] = [len(templates)]
    return taken


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    taken = seconds(parser.parse_args().rounds)
    count = int(taken.pop("templates")[0])
    for name, times in taken.items():
        print(f"{name}: {min(times):.2f} s of CPU for {count} templates, {1000 * min(times) / count:.0f} ms each")
    if "chatlint" in taken:
        print(f"ratio: {min(taken['chattmpl']) / min(taken['chatlint']):.2f}")


if __name__ == "__main__":
    main()
