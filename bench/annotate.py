"""Annotating templates that others ship: how many, why not the others, and how our masks differ from hand-made ones.

    python bench/annotate.py [FOLDER…] [--json FILE]

Without a folder, the templates that come with trl are taken; of those it has hand-made copies for training, named
``NAME_training.jinja``, which ours are compared with and which are repaired.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from chattmpl import Rendering, Template
from chattmpl.errors import ChatTmplError
from chattmpl.laws.checker import cases_of, settings_to_check
from chattmpl.laws.law import evaluate, laws_named
from chattmpl.laws.outcome import Counterexample
from chattmpl.probing import facts_of
from chattmpl.probing.corpus import CLOCK
from chattmpl.probing.shapes import generated_conversations, shipped_conversations
from chattmpl.rewrite.annotate.refusal import CannotAnnotate
from chattmpl.template.special_tokens import PLACEHOLDERS

_COPY = "_training"
_MADE = 40


@dataclass
class Row:
    """What came of one template.

    Attributes:
        name: of its file.
        outcome: ``annotated``, ``repaired``, ``lawful`` already, or ``refused``.
        why: of a refusal.
        seconds: of processor time.
        broken: laws that an independent run found broken, and that the proof does not name as exceptions.
        exceptions: laws that cannot hold for some conversations, with the reason.
        same, other_text: on how many fixtures the hand-made copy has our mask, and on how many it renders another text.
        differences: the reasons for other masks, with counts of turns.
    """

    name: str
    outcome: str = "refused"
    why: str = ""
    seconds: float = 0.0
    broken: list[str] = field(default_factory=list)
    exceptions: list[str] = field(default_factory=list)
    same: int = 0
    other_text: int = 0
    differences: Counter[str] = field(default_factory=Counter)


def main() -> int:
    """Print a table for people, and write all for programs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    for path in (path for folder in given.folders or [_of_trl()] for path in sorted(folder.glob("*.jinja"))):
        row = _row(path)
        rows.append(row)
        said = row.why or "; ".join(row.exceptions) or "every law holds"
        print(f"{row.name:50} {row.outcome:10} {row.seconds:5.1f} s  {said}", flush=True)
        for reason, times in row.differences.items():
            print(f"{'':50} {times} turns: {reason}")
    _summary(rows)
    if given.json is not None:
        given.json.write_text(
            json.dumps([{**vars(row), "differences": dict(row.differences)} for row in rows], indent=2) + "\n",
            encoding="utf-8",
        )
    return 1 if any(row.broken for row in rows) else 0


def _of_trl() -> Path:
    found = importlib.util.find_spec("trl")
    if found is None or found.origin is None:
        sys.exit("trl is not installed: give a folder of templates")
    return Path(found.origin).parent / "chat_templates"


def _row(path: Path) -> Row:
    row = Row(path.stem)
    template = Template.load(path)
    tagged = template.program.has_generation
    start = time.process_time()
    try:
        made_template = template.annotate(repair=True)
    except CannotAnnotate as refusal:
        row.why = refusal.message
        return row
    finally:
        row.seconds = time.process_time() - start
    row.outcome = ("lawful" if made_template.given == template.given else "repaired") if tagged else "annotated"
    proof = made_template.proof
    assert proof is not None
    row.exceptions = [f"{one.law}: {one.why}{f' {one.kwargs}' if one.kwargs else ''}" for one in proof.exceptions]
    named = {one.law for one in proof.exceptions}
    conversations = [*shipped_conversations(), *generated_conversations(_MADE, facts_of(template).shape)]
    # A file does not tell its special tokens, and without them nothing may end a turn.
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
    """Why two masks of one text differ, once for each turn."""
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
    why = Counter(_kind(row.why) for row in rows if row.why)
    wrong = [row.name for row in rows if row.broken]
    print(f"\n{len(rows)} templates: " + ", ".join(f"{times} {outcome}" for outcome, times in outcomes.most_common()))
    for reason, times in why.most_common():
        print(f"  {times:3} refused: {reason}")
    print(f"  {len(wrong)} wrong by an independent check{': ' + ', '.join(wrong) if wrong else ''}")
    print(f"  at most {max(row.seconds for row in rows):.1f} s of processor time for one")
    print("differences to hand-made copies, in turns:")
    for reason, times in sum((row.differences for row in rows), Counter()).most_common():
        print(f"  {times:3} {reason}")


def _kind(why: str) -> str:
    """A reason without what is special to one template."""
    return why.partition(": ")[2] or why if why.startswith("the law") else why.partition(":")[0]


if __name__ == "__main__":
    sys.exit(main())
