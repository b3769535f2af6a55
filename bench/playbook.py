"""The playbook: ten controlled comparisons of ways to train on a template, with several seeds each.

    python bench/playbook.py                      # run what is missing, and write docs/evidence/playbook.md
    python bench/playbook.py --only 6 --seeds 2
    python bench/playbook.py --write              # only write docs/evidence/playbook.md from the stored results
    python bench/playbook.py --size gpu           # the same at a larger size, with figures of the device

Each run is stored when it finishes, under a key of its configuration and its seed: an interrupted command resumes, and
runs that comparisons share are run once. The modules of bench/playbook_parts/experiments state what is expected.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from playbook_parts.experiment import Experiment, all_experiments
from playbook_parts.page import write
from playbook_parts.plan import SIZES, Config
from playbook_parts.store import Store

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
DOCS = ROOT / "docs" / "evidence"

ORDER = (6, 5, 3, 2, 4, 1, 10, 9, 7, 8)
"""The most informative comparisons first, in case there is no time for all."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=int, nargs="+", metavar="N", help="run only these comparisons")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="number of seeds, from 0 (default: 3)")
    parser.add_argument("--size", choices=tuple(SIZES), default="default", help="size of the runs (default: default)")
    parser.add_argument("--write", action="store_true", help="only write the page")
    parser.add_argument("--list", action="store_true", help="only list the missing runs")
    parser.add_argument("--results", type=Path, metavar="DIR", default=RESULTS, help="folder of the stored results")
    parser.add_argument(
        "--docs",
        type=Path,
        metavar="DIR",
        default=DOCS,
        help="folder of the page; written only for the default size, or if another one is given",
    )
    options = parser.parse_args(arguments)
    known = {each.number: each for each in all_experiments()}
    if unknown := set(options.only or ()) - set(known):
        parser.error(f"unknown comparison {min(unknown)}; the comparisons are {', '.join(map(str, known))}")
    selected = [known[number] for number in ORDER if not options.only or number in options.only]
    store = Store.read(options.results / f"playbook-{options.size}.jsonl")
    missing = _missing(selected, options.size, range(options.seeds), store)
    if options.list:
        for experiment, arm, _, seed in missing:
            print(f"{experiment.number:2}  {arm}  seed {seed}")
        print(f"{len(missing)} runs are missing")
        return 0
    if not options.write:
        if options.size == "gpu" and not options.only and "device" not in store.notes:
            from playbook_parts import device

            store.add(device.measure(device.SIZES["gpu"]))
        _run(missing, selected, store)
    if options.size == "default" or options.docs != DOCS:
        for path in write(store, list(known.values()), SIZES[options.size], options.docs):
            print(f"wrote {path}")
    return 0


def _missing(
    experiments: Sequence[Experiment], size: str, seeds: range, store: Store
) -> list[tuple[Experiment, str, Config, int]]:
    """Return the runs that are not stored, each once, all seeds of a comparison before the next comparison."""
    found: dict[tuple[str, int], tuple[Experiment, str, Config, int]] = {}
    for experiment in experiments:
        arms = experiment.arms(SIZES[size])
        for seed in seeds:
            for name, config in arms.items():
                if not store.has(config, seed):
                    found.setdefault((config.key, seed), (experiment, name, config, seed))
    return list(found.values())


def _run(
    missing: Sequence[tuple[Experiment, str, Config, int]], experiments: Sequence[Experiment], store: Store
) -> None:
    for experiment in experiments:
        for name, make in (experiment.notes or {}).items():
            if f"{experiment.number} {name}" not in store.notes:
                store.add({"note": f"{experiment.number} {name}", "text": make()})
    if not missing:
        return
    from playbook_parts.runner import Runner

    runner = Runner()
    for done, (experiment, arm, config, seed) in enumerate(missing, start=1):
        start = time.perf_counter()
        figures = runner.run(config, seed)
        record = {"key": config.key, "seed": seed, "experiment": experiment.number, "arm": arm, "figures": figures}
        store.add(record)
        print(
            f"{done}/{len(missing)}  {experiment.number} {arm}, seed {seed}: {time.perf_counter() - start:.0f} s, "
            f"loss {next(value for name, value in figures.items() if name.endswith('loss') and value):.3f}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
