"""The page of the playbook, written only from the stored results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from chattmpl.training.prove.models import Size
from playbook_parts import plots
from playbook_parts.experiment import Claim, Experiment
from playbook_parts.plan import MIX
from playbook_parts.statistics import Estimate, Verdict, difference, estimate, verdict
from playbook_parts.store import Store

IMAGES = Path("images") / "playbook"

_WIDTH = 125

_NUMBERS = {"tokens a second": "{:,.0f}", "trainable": "{:,.0f}"}
"""Formats of measures that are neither shares nor losses."""

_VERDICTS: dict[Verdict, str] = {
    "as expected": "as expected",
    "the opposite": "**the opposite**",
    "not seen": "**not seen**",
    "too few to say": "too little to say",
    "a difference": "**a difference**",
    "not run": "not run",
}

Runs = Mapping[str, Mapping[int, Mapping[str, Any]]]
"""Figures of each arm by seed."""


def write(store: Store, experiments: Sequence[Experiment], size: Size, docs: Path) -> list[Path]:
    """Write the page and its plots, and return their paths."""
    pages = [Section(each, store, size) for each in experiments]
    images = docs / IMAGES
    images.mkdir(parents=True, exist_ok=True)
    written = [docs / "playbook.md"]
    written[0].write_text(page(pages, size, Store.read(store.path.with_name("playbook-gpu.jsonl"))), encoding="utf-8")
    for each in pages:
        path = images / each.image
        path.write_text(each.plot(), encoding="utf-8")
        written.append(path)
    return written


class Section:
    """A comparison with its stored results."""

    def __init__(self, experiment: Experiment, store: Store, size: Size) -> None:
        self.experiment = experiment
        self.runs: Runs = {name: store.of(config) for name, config in experiment.arms(size).items()}
        self.notes = {name: store.notes.get(f"{experiment.number} {name}", "") for name in experiment.notes or {}}

    @property
    def image(self) -> str:
        """File name of its plot."""
        return f"{self.experiment.number:02}.svg"

    @property
    def seeds(self) -> int:
        """Number of seeds that all arms have."""
        return min((len(runs) for runs in self.runs.values()), default=0)

    def found(self) -> list[tuple[Claim, Estimate | None, Verdict]]:
        """Return each claim with the difference and the verdict."""
        pairs = [
            (claim, difference(self.runs[claim.arm], self.runs[claim.than], claim.measure))
            for claim in self.experiment.claims
        ]
        return [(claim, found, verdict(claim, found)) for claim, found in pairs]

    def plot(self) -> str:
        """Return the plot as SVG."""
        each, title = self.experiment, self.experiment.name
        if each.swept is None:
            groups = [(name, [(arm, estimate(runs, name)) for arm, runs in self.runs.items()]) for name in each.drawn]
            return plots.shares(title, groups)
        lines: dict[str, list[tuple[float, Estimate]]] = {}
        for arm, runs in self.runs.items():
            name, value = each.swept(arm)
            found = estimate(runs, each.drawn[0])
            if found is not None:
                lines.setdefault(name, []).append((value, found))
        return plots.sweep(title, list(lines.items()))

    def lines(self) -> Iterator[str]:
        """Yield the lines of the section, as Markdown."""
        each = self.experiment
        yield from (f"## {each.number}. {each.name}", "", _wrapped(each.question), "")
        yield from (_wrapped(f"**Expected, before the run.** {each.expectation}"), "")
        yield from _table(["", *each.measures], [self._row(arm) for arm in self.runs])
        count = f"{self.seeds} seeds" if self.seeds != 1 else "1 seed"
        yield from ("", f"{count} per arm. Expectations and differences:", "")
        rows = [
            [
                claim.says,
                f"{claim.measure}: {claim.arm} − {claim.than}",
                _signed(found, claim.measure),
                _VERDICTS[result],
            ]
            for claim, found, result in self.found()
        ]
        yield from _table(["expected", "measure", "difference", "verdict"], rows)
        if each.swept is not None:
            yield from ("", *self._best())
        yield from ("", f"![{each.name}]({(IMAGES / self.image).as_posix()})", "")
        if each.remark:
            yield from (_wrapped(f"**Seen.** {each.remark}"), "")
        for text in self.notes.values():
            if text:
                yield from ("```text", text.rstrip("\n"), "```", "")

    def _row(self, arm: str) -> list[str]:
        return [arm, *(_written(estimate(self.runs[arm], name), name) for name in self.experiment.measures)]

    def _best(self) -> Iterator[str]:
        """Yield the values of a swept setting whose loss is within 0.1 of the lowest."""
        assert self.experiment.swept is not None
        settings: dict[str, list[tuple[float, float]]] = {}
        for arm, runs in self.runs.items():
            found = estimate(runs, self.experiment.drawn[0])
            if found is not None:
                name, value = self.experiment.swept(arm)
                settings.setdefault(name, []).append((value, found.value))
        for name, points in settings.items():
            least = min(value for _, value in points)
            best = [f"{setting:g}" for setting, value in points if value <= least + 0.1]
            yield f"- Best range, {name}: {', '.join(best)} (lowest mean loss {least:.3f})"


def page(sections: Sequence[Section], size: Size, gpu: Store) -> str:
    """Return the whole page."""
    lines = [*_introduction(size), "", "## Results", "", *_overview(sections), ""]
    for section in sections:
        lines += section.lines()
    lines += _of_the_device(gpu)
    return "\n".join(lines).rstrip("\n") + "\n"


def _introduction(size: Size) -> Iterator[str]:
    yield from ("# The playbook, reproduced", "")
    yield from ("<!-- Written by bench/playbook.py from bench/results; do not edit. -->", "")
    yield _wrapped(
        "Ten controlled comparisons of ways to train on a chat template, with the engine of [`chattmpl "
        "prove`](proofs.md): small models from scratch, on synthetic dialogues. They show the effect of a choice when "
        "everything else is the same, with several seeds each. They do not show how large the effect is in a large "
        "model."
    )
    yield from ("", "```sh", "pip install 'chattmpl[train]'")
    yield from ("OMP_NUM_THREADS=1 python bench/playbook.py   # runs what is missing, then writes this page", "```", "")
    yield _wrapped(
        f"The model is a Llama with {size.layers} layers of width {size.hidden}, trained for {size.steps} steps of "
        f"{size.batch} documents ({size.talks:,} dialogues, each seen once) with a learning rate of {size.rate:g}, "
        f"unless a comparison says otherwise. Dialogues have {MIX.turns[0]} to {MIX.turns[1]} turns. A turn asks to "
        f"reverse {MIX.digits} digits or, if a system message gives a number of {MIX.digits} digits, for that number "
        f"(*persona*). `/think` and `/no_think` switch reasoning at random turns. {size.tests} held-out dialogues of "
        f"{MIX.turns[1]} turns are measured as at inference, with tasks that no training dialogue has."
    )
    yield ""
    yield _wrapped(
        "The arms of one seed have the same data, initial weights and held-out dialogues, except for what is "
        "compared. *Mode followed* is the share of turns that reason exactly when they should. *Loss* is measured on "
        "held-out supervised tokens, in nats per token. Intervals are at 95 %: for shares, the wider of Wilson's on "
        "all turns (for differences Newcombe's) and Student's over seeds; for other figures Student's. A claim that "
        "one arm has more or less is *as expected* if the interval of the difference excludes 0 on that side, and "
        "*not seen* if the interval lies within 0.05 of 0. A claim that two arms are the same is *as expected* if the "
        "interval lies within 0.05 of 0, or within the tolerance of the comparison. Otherwise there is *too little to "
        "say*, and more seeds may help (`--seeds`). *Training loss* is that of the last four steps. Claims and "
        "expectations were in the code before the runs; the verdict for a wide interval was chosen after the first of "
        "them, and the column *in short* and the paragraphs *Seen* were written afterwards."
    )


def _overview(sections: Sequence[Section]) -> Iterator[str]:
    rows = []
    for section in sections:
        counts = Counter(result for _, _, result in section.found())
        rest = ", ".join(f"{count} {_VERDICTS[result]}" for result, count in counts.items() if result != "as expected")
        named = f"{section.experiment.number}. {section.experiment.name}"
        came = f"{counts['as expected']} of {len(section.experiment.claims)}"
        rows.append([named, section.experiment.short, came, rest or "–"])
    yield from _table(["comparison", "in short", "claims as expected", "other verdicts"], rows)


def _of_the_device(gpu: Store) -> Iterator[str]:
    yield from ("## On a GPU", "")
    if "device" not in gpu.notes:
        yield _wrapped(
            "There are no figures of a GPU yet. One command measures them, at a larger size and in bf16: tokens per "
            "second of packed rows, of padded batches and of trl's default path, peak memory, and whether a "
            "resumed run ends with the weights of an uninterrupted one:"
        )
        yield from ("", "```sh", "python bench/playbook.py --size gpu", "```")
        return
    yield from ("`python bench/playbook.py --size gpu`:", "", "```text", gpu.notes["device"].rstrip("\n"), "```")


def _wrapped(text: str) -> str:
    return fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "| " + " | ".join("---" for _ in heads) + " |"
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def _written(found: Estimate | None, measure: str) -> str:
    if found is None:
        return "n/a"
    if found.share:
        return f"{100 * found.value:.0f} % ({100 * found.low:.0f}–{100 * found.high:.0f})"
    if measure == "trainable":
        return f"{found.value:,.0f}"
    form = _NUMBERS.get(measure, "{:.3f}")
    return f"{form.format(found.value)} ± {form.format(found.high - found.value)}"


def _signed(found: Estimate | None, measure: str) -> str:
    if found is None:
        return "n/a"
    if found.share:
        return f"{100 * found.value:+.0f} points ({100 * found.low:+.0f} to {100 * found.high:+.0f})"
    form = "{:+,.0f}" if measure in _NUMBERS else "{:+.3f}"
    return f"{form.format(found.value)} ({form.format(found.low)} to {form.format(found.high)})"
