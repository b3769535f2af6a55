"""Annotate upstream templates: how many succeed, why others are refused, and how masks differ from hand-written ones.

    python bench/annotate.py [FOLDER…] [--json FILE]
    python bench/annotate.py --hub [--first N] [--examples N] [--json FILE]

The default is the folder of templates in trl. It has hand-written copies for training of some of them, named
``NAME_training.jinja``: they are repaired, and compared with the annotated originals.

With ``--hub``, the most downloaded templates of the hub are annotated; those that are refused are annotated after a
rewrite that retains all reasoning, else for their last turn only.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from chattmpl import Rendering, Template
from chattmpl.errors import ChatTmplError
from chattmpl.laws.checker import cases_of, settings_to_check
from chattmpl.laws.law import evaluate, laws_named
from chattmpl.laws.outcome import Counterexample
from chattmpl.probing import facts_of
from chattmpl.probing.corpus import CLOCK
from chattmpl.probing.shapes import generated_conversations, shipped_conversations
from chattmpl.rewrite.refusal import CannotAnnotate, Refusal
from chattmpl.template.special_tokens import PLACEHOLDERS

_COPY = "_training"
_MADE = 40


@dataclass
class Row:
    """The result for one template.

    Attributes:
        name: name of the file.
        outcome: ``annotated``, ``repaired``, ``valid`` (nothing to do), or ``refused``.
        refusal: cause of a refusal; empty otherwise.
        why: message of a refusal.
        seconds: processor time.
        downloads: number of downloads, for templates of the hub.
        tags: number of pairs of tags in the result.
        broken: laws that an independent check found broken, and that the proof does not list as exceptions.
        exceptions: laws that cannot hold for some conversations, with the reason.
        same, other_text: number of fixtures for which the hand-written copy has the same mask, and another text.
        differences: the reasons for other masks, with counts of turns.
    """

    name: str
    outcome: str = "refused"
    refusal: str = ""
    why: str = ""
    seconds: float = 0.0
    downloads: int = 0
    tags: int = 0
    broken: list[str] = field(default_factory=list)
    exceptions: list[str] = field(default_factory=list)
    same: int = 0
    other_text: int = 0
    differences: Counter[str] = field(default_factory=Counter)


def main() -> int:
    """Print a table, and write all results as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--hub", action="store_true")
    parser.add_argument("--first", type=int, default=200)
    parser.add_argument("--examples", type=int, default=20)
    given = parser.parse_args()
    if given.hub:
        return _hub(given.first, given.examples, given.json)
    rows = []
    for path in (path for folder in given.folders or [_of_trl()] for path in sorted(folder.glob("*.jinja"))):
        row = _row(path)
        rows.append(row)
        said = row.why or "; ".join(row.exceptions) or "every law holds"
        print(f"{row.name:50} {row.outcome:10} {row.seconds:5.1f} s  {said}", flush=True)
        for reason, times in row.differences.items():
            print(f"{'':50} {times} turns: {reason}")
    _summary(rows)
    _write(rows, given.json)
    return 1 if any(row.broken for row in rows) else 0


def _write(rows: list[Row], path: Path | None) -> None:
    if path is not None:
        made = [{**vars(row), "differences": dict(row.differences)} for row in rows]
        path.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


def _hub(first: int, examples: int, path: Path | None) -> int:
    """Annotate the most downloaded templates of the hub, and print shares by number and by downloads."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from support.fetched import hub_downloads, hub_templates

    downloads = hub_downloads()
    rows = []
    for name, source in islice(hub_templates().items(), first):
        row = _hub_row(Template.from_source(source, name=name), examples)
        row.downloads = downloads[name]
        rows.append(row)
        print(f"{row.name:50} {row.outcome:10} {row.seconds:5.1f} s  {row.tags:2} tags  {row.why}", flush=True)
    every = sum(row.downloads for row in rows)
    for outcome, times in Counter(row.outcome for row in rows).most_common():
        share = sum(row.downloads for row in rows if row.outcome == outcome) / every
        print(f"{times:4} {outcome:10} {share:6.1%} of downloads")
    for reason, times in Counter(row.refusal for row in rows if row.refusal).most_common():
        print(f"{times:4} refused at first: {reason}")
    _write(rows, path)
    return 0


def _hub_row(template: Template, examples: int) -> Row:
    row = Row(template.name)
    start = time.process_time()
    ways: tuple[tuple[str, Callable[[], Template]], ...] = (
        ("annotated", lambda: template.annotate(repair=True, examples=examples).template),
        (
            "retained",
            lambda: (
                template.retain("all", examples=examples).template.annotate(repair=True, examples=examples).template
            ),
        ),
        ("last turn", lambda: template.annotate(repair=True, examples=examples, for_="last-turn").template),
    )
    for outcome, way in ways:
        try:
            row.tags = way().source.count("endgeneration")
        except ChatTmplError as error:
            if not row.why:
                row.why = error.message
                row.refusal = _cause(error) if isinstance(error, CannotAnnotate) else type(error).__name__
        else:
            row.outcome = outcome
            break
    row.seconds = time.process_time() - start
    return row


def _of_trl() -> Path:
    found = importlib.util.find_spec("trl")
    if found is None or found.origin is None:
        sys.exit("trl is not installed: pass a folder of templates")
    return Path(found.origin).parent / "chat_templates"


def _row(path: Path) -> Row:
    row = Row(path.stem)
    template = Template.load(path)
    tagged = template.program.has_generation
    start = time.process_time()
    try:
        rewrite = template.annotate(repair=True)
    except CannotAnnotate as refusal:
        row.why, row.refusal = refusal.message, _cause(refusal)
        return row
    finally:
        row.seconds = time.process_time() - start
    made_template = rewrite.template
    row.outcome = ("valid" if made_template.given == template.given else "repaired") if tagged else "annotated"
    exceptions = rewrite.proof.exceptions
    row.exceptions = [f"{one.law}: {one.why}{f' {one.kwargs}' if one.kwargs else ''}" for one in exceptions]
    named = {one.law for one in exceptions}
    conversations = [*shipped_conversations(), *generated_conversations(_MADE, facts_of(template).shape)]
    # A file does not have special tokens, without which a turn may have no stop token.
    looked_at = Template.from_source(made_template.source, tokens={**PLACEHOLDERS, **template.tokens})
    cases = cases_of(looked_at, conversations, settings_to_check(looked_at), None)
    laws = laws_named(["sampled", "stop", "pure"])
    broken = {law.name for case in cases for law in laws if isinstance(evaluate(law, case), Counterexample)}
    row.broken = sorted(broken - named)
    copy = path.with_name(f"{path.stem}{_COPY}.jinja")
    if copy.is_file():
        _compare(made_template, Template.load(copy), row)
    return row


def _compare(ours: Template, theirs: Template, row: Row) -> None:
    for conversation in shipped_conversations():
        try:
            one, other = (template.render(conversation, clock=CLOCK) for template in (ours, theirs))
        except ChatTmplError:
            continue
        if one.text != other.text:
            row.other_text += 1
        elif one.generated == other.generated:
            row.same += 1
        else:
            row.differences.update(_reasons(one, other))


def _reasons(ours: Rendering, theirs: Rendering) -> list[str]:
    """Return why two masks of one text differ, once for each turn."""
    found = []
    mine = _marks(ours)
    for start, end in _runs([a != b for a, b in zip(mine, _marks(theirs), strict=True)]):
        text = ours.text[start:end]
        after = start > 0 and mine[start - 1]
        if mine[start]:
            found.append("a stop token that theirs leaves out" if "<" in text else "text that theirs leaves out")
        elif not text.strip():
            found.append("white space after the stop token, in theirs" if after else "white space, in theirs")
        elif after and end < len(mine) and not mine[end]:
            found.append("text after the stop token, in theirs")
        else:
            opener = "think" in text.lower()
            found.append("a think opener of the prompt, in theirs" if opener else "the header of the turn, in theirs")
    return found


def _marks(rendering: Rendering) -> list[bool]:
    marks = [False] * len(rendering.text)
    for start, end in rendering.generated:
        marks[start:end] = [True] * (end - start)
    return marks


def _runs(different: list[bool]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for at, differs in enumerate(different):
        if differs and runs and runs[-1][1] == at:
            runs[-1] = (runs[-1][0], at + 1)
        elif differs:
            runs.append((at, at + 1))
    return runs


def _summary(rows: list[Row]) -> None:
    outcomes = Counter(row.outcome for row in rows)
    why = Counter(row.refusal for row in rows if row.refusal)
    wrong = [row.name for row in rows if row.broken]
    print(f"\n{len(rows)} templates: " + ", ".join(f"{times} {outcome}" for outcome, times in outcomes.most_common()))
    for reason, times in why.most_common():
        print(f"  {times:3} refused: {reason}")
    print(f"  {len(wrong)} wrong in an independent check{': ' + ', '.join(wrong) if wrong else ''}")
    print(f"  at most {max(row.seconds for row in rows):.1f} s of processor time for one")
    print("differences from hand-written copies, in turns:")
    for reason, times in sum((row.differences for row in rows), Counter()).most_common():
        print(f"  {times:3} {reason}")


def _cause(refusal: CannotAnnotate) -> str:
    """Return the cause of a refusal without details of the template."""
    if refusal.refusal is Refusal.LAW_IMPOSSIBLE:
        return f"{refusal.law}: {refusal.details['obstacle']}"
    return refusal.refusal.name.lower().replace("_", " ")


if __name__ == "__main__":
    sys.exit(main())
