"""Retain under each policy: number of templates that are rewritten and proven, that need no change, and are refused.

    python bench/retain.py FOLDER… [--policies all,none] [--examples 60] [--json OUT] [--write FOLDER] [--match TEXT]

FOLDER has .jinja files; of identical files the first one counts. Time is CPU time of one process. If transformers is
installed, it renders the results, and `retained.look` reports what is wrong with them.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retained import Look, look

from chattmpl import Template
from chattmpl.compiler.policies import POLICIES
from chattmpl.errors import ChatTmplError
from chattmpl.rewrite.refusal import CannotRetain, Refusal
from chattmpl.rewrite.result import Rewrite
from chattmpl.rewrite.retain.verifier import RetentionProof
from chattmpl.template.special_tokens import PLACEHOLDERS


def templates(folders: list[Path], match: str) -> Iterator[Path]:
    """Yield the files, none twice."""
    seen = set()
    for folder in folders:
        for path in sorted(folder.glob("*.jinja")) if folder.is_dir() else [folder]:
            digest = hashlib.sha256(path.read_bytes()).digest()
            if digest not in seen and match in path.name:
                seen.add(digest)
                yield path


def measured(path: Path, policy: str, examples: int, write: Path | None) -> dict[str, Any]:
    """Return the result for one template and policy."""
    start = time.process_time()
    made = None
    try:
        template = Template.load(str(path))
        made = template.retain(policy, examples=examples)
        proof = made.proof
        found = {"state": "unchanged" if proof.unchanged else "proven", "why": "", "refusal": "", "diff": proof.diff}
        notes = [note.text for note in proof.notes]
        found |= {"texts": proof.texts, "changed": proof.moved, "laws": dict(proof.held), "notes": notes}
    except CannotRetain as refusal:
        found = {"state": "refused", "why": refusal.message, "refusal": refusal.refusal.name}
    except ChatTmplError as error:
        found = {"state": "failed", "why": error.message, "refusal": type(error).__name__}
    row = {"template": path.name, "policy": policy, **found, "seconds": round(time.process_time() - start, 2)}
    if made is not None:
        if write is not None:
            (write / f"{path.stem}.{policy}.jinja").write_bytes(made.text.encode())
        row["look"] = vars(looked(template, made, policy))
    return row


def looked(before: Template, after: Rewrite[Template, RetentionProof], policy: str) -> Look:
    """Check the result with transformers."""
    if importlib.util.find_spec("transformers") is None:
        return Look(wrong=["transformers is not installed: there was no independent check"])
    tokens = {**PLACEHOLDERS, **before.tokens}
    return look(before.given.text, after.template.given.text, policy, tokens, after.proof.modes)


def main() -> None:
    """Measure, and print a line for each result, and a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--policies", default=",".join(POLICIES))
    parser.add_argument("--examples", type=int, default=60)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", type=Path, help="folder for the rewritten templates")
    parser.add_argument("--match", default="")
    given = parser.parse_args()
    if given.write is not None:
        given.write.mkdir(parents=True, exist_ok=True)
    rows = []
    for path in templates(given.folders, given.match):
        for policy in given.policies.split(","):
            row = measured(path, policy, given.examples, given.write)
            if row["refusal"] == Refusal.NO_TRACES.name:
                print(f"{path.name}: {row['why']}", flush=True)
                rows.append({**row, "policy": "any"})
                break
            rows.append(row)
            print(f"{path.name} {policy}: {row['state']} {row['seconds']} s {row['why'][:150]}", flush=True)
            for wrong in row.get("look", {}).get("wrong", ()):
                print(f"    wrong: {wrong}", flush=True)
            if given.json:
                given.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False))
    summary(rows)


def summary(rows: list[dict[str, Any]]) -> None:
    """Print a table of states by policy, the causes of refusals, and the result of the independent check."""
    without = sum(row["policy"] == "any" for row in rows)
    print(f"\n{without} templates never render reasoning")
    print("| policy | proven | unchanged | refused | failed | slowest |")
    print("| --- | --- | --- | --- | --- | --- |")
    for policy in POLICIES:
        own = [row for row in rows if row["policy"] == policy]
        states = Counter(row["state"] for row in own)
        slowest = max((row["seconds"] for row in own), default=0)
        cells = [states[state] for state in ("proven", "unchanged", "refused", "failed")]
        print(f"| {policy} | {' | '.join(map(str, cells))} | {slowest:.1f} s |")
    why = Counter(row["refusal"] for row in rows if row["policy"] != "any" and row["refusal"])
    for reason, times in why.most_common():
        print(f"  {times:3} refused: {reason}")
    looks = [row["look"] for row in rows if "look" in row]
    texts, traces, laws = (sum(one[name] for one in looks) for name in ("texts", "traces", "laws"))
    print(f"transformers rendered {texts} texts: {traces} traces looked for, a law seen to hold {laws} times")
    for name in ("wrong", "upstream"):
        found = [f"{row['template']} {row['policy']}" for row in rows if row.get("look", {}).get(name)]
        print(f"  {len(found)} with something {name}{': ' + ', '.join(found) if name == 'wrong' and found else ''}")


if __name__ == "__main__":
    main()
