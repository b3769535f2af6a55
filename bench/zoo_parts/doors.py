"""Entry points of the zoo: each encodes the same conversations with the same template and tokenizer."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chattmpl.cli.output import INTERRUPTED
from chattmpl.conversation.notes import NoteKind
from chattmpl.data.encoder import Encoder, Row
from chattmpl.data.reading import concerning, from_counts
from chattmpl.encode import template_for
from chattmpl.errors import ChatTmplError
from chattmpl.options import Fast
from support.command import run_here
from support.reference import CLOCK
from support.training import SMALL as MODEL
from zoo_parts.models import Case
from zoo_parts.rows import Shape

_TRAINER = {"per_device_train_batch_size": 2, "gradient_checkpointing": False, "max_steps": 1}
_COLUMNS = ("labels", "source", "place")


@dataclass
class Result:
    """The result of one entry point for one case.

    Attributes:
        rows: ids and labels, by index of the conversation.
        rejected: the reason, by index of the conversation.
        refused: the reason why the case as a whole was refused.
        notes: notes and warnings.
        untrained: indices of the conversations without a trained token.
        kinds: kinds of the notes on the data and the template, as the codes of the audit that find the same; those
            of an audit are its own codes, with ``info`` for what is only a note.
        crash: an error that is not meant for users.
    """

    rows: dict[int, tuple[list[int], list[int]]] = field(default_factory=dict)
    rejected: dict[int, str] = field(default_factory=dict)
    refused: str | None = None
    notes: list[str] = field(default_factory=list)
    crash: str | None = None
    untrained: set[int] = field(default_factory=set)
    kinds: set[tuple[str, ...]] = field(default_factory=set)


@dataclass(frozen=True)
class Job:
    """The inputs of an entry point.

    Attributes:
        case: the template and the tokenizer.
        shape: the shape of the data.
        records: the data in memory.
        data: the same in a file.
        folder: an empty folder.
    """

    case: Case
    shape: Shape
    records: Sequence[Any]
    data: Path
    folder: Path


Door = Callable[[Job], Result]

SAME_ROWS: dict[str, Any] = {"rows": "one", "mask_from": "tags", "straddle": "include"}
"""The options with which rows are those of transformers: one per conversation, masked by generation tags."""


def _encoder(job: Job, fast: Fast) -> Result:
    result = Result()
    encoder = Encoder(str(job.case.template), str(job.case.tokenizer), fast=fast, clock=CLOCK, **SAME_ROWS)
    for index, each in enumerate(encoder.encode_many(job.records)):
        if isinstance(each, Row):
            ids = [int(token) for token in each.input_ids]
            trained = [bool(value) for value in each.mask]
            result.rows[index] = ids, [token if yes else -100 for token, yes in zip(ids, trained, strict=True)]
        else:
            result.rejected[index] = each.message
    return result


def _exact(job: Job) -> Result:
    return _encoder(job, "off")


def _fast(job: Job) -> Result:
    return _encoder(job, "auto")


def _prepare(job: Job) -> Result:
    from chattmpl.training.adapter import prepare

    result = Result()
    options: dict[str, Any] = {**SAME_ROWS, "columns": _COLUMNS, "clock": CLOCK, "fast": "off", "max_rejected": "100%"}
    for row in prepare(job.records, str(job.case.template), str(job.case.tokenizer), **options):
        result.rows[_number(row["place"])] = _tokens(row)
    for index in range(len(job.records)):
        if index not in result.rows:
            result.rejected[index] = "rejected"
    return result


def _command(job: Job) -> Result:
    case, out = job.case, job.folder / "out"
    arguments = [str(job.data), "-t", str(case.template), "--tokenizer", str(case.tokenizer), "-o", str(out)]
    arguments += [word for name, value in SAME_ROWS.items() for word in (f"--{name.replace('_', '-')}", value)]
    arguments += ["--format", "jsonl", "--columns", ",".join(_COLUMNS), "--max-rejected", "100%", "--fast", "off"]
    return _with_kinds(_ran(["encode", *arguments, "--clock", CLOCK.isoformat()], out), job, out / "summary.json")


def _train(job: Job) -> Result:
    from tokenizers import Tokenizer

    case, out = job.case, job.folder / "trained"
    # The tokenizer may get a few tokens more.
    size = Tokenizer.from_file(str(case.tokenizer / "tokenizer.json")).get_vocab_size() + 64
    config = {
        "data": str(job.data),
        "template": str(case.template),
        "tokenizer": str(case.tokenizer),
        "model": {"config": {**MODEL, "vocab_size": size}},
        "output": str(out),
        "fast": "off",
        **SAME_ROWS,
        "clock": CLOCK.isoformat(),
        "max_rejected": "100%",
        "trainer": _TRAINER,
    }
    path = job.folder / "run.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")
    return _with_kinds(_ran(["train", str(path), "--dry-run"], out / "rows"), job, out / "rows" / "summary.json")


FOUND_BY: dict[NoteKind, tuple[str, ...]] = {
    NoteKind.UNREAD_COLUMN: ("AU206",),
    NoteKind.UNREAD_FLAG: ("AU206",),
    NoteKind.UNREAD_KEY: ("AU204",),
    NoteKind.PART: ("AU204",),
    NoteKind.FIELD: ("AU203", "AU204", "AU304", "AU305"),
    NoteKind.MEDIA: ("AU207",),
    NoteKind.READ_AS: ("AU209",),
    NoteKind.TEXT_PARTS: ("AU208",),
    NoteKind.TEXT_ARGUMENTS: ("AU505",),
    NoteKind.OBJECT_RESULT: ("AU506",),
    NoteKind.FLAG_WITHOUT_EFFECT: ("AU110",),
    NoteKind.EARLIER_ANSWERS: ("AU111",),
}
"""The codes of the audit that find what a note says; others say nothing about the rows."""
MISSING = ("AU404",)


def _audit(job: Job) -> Result:
    """Audit the data; the rows are those that ``encode`` would reject or not train."""
    case = job.case
    arguments = [str(job.data), "-t", str(case.template), "--tokenizer", str(case.tokenizer), "--format", "json"]
    outcome = run_here(["audit", *arguments, "--fast", "off", "--clock", CLOCK.isoformat(), "--examples", "99"])
    if outcome.code not in (0, 1):
        return Result(refused=outcome.err) if outcome.code == 2 else Result(crash=outcome.err.strip()[-300:])
    result = Result()
    for found in json.loads(outcome.out)["findings"]:
        rows = {each["number"] for each in found["examples"]}
        if found["code"] == "AU109":
            result.rejected.update(dict.fromkeys(rows, found["message"]))
        elif found["code"] == "AU101":
            result.untrained |= rows
        result.kinds.add((found["code"], *([] if found["severity"] != "info" else ["info"])))
    return result


def _with_kinds(result: Result, job: Job, summary: Path) -> Result:
    """Add the kinds of notes in the summary of a job to its result."""
    reading = json.loads(summary.read_text(encoding="utf-8")).get("reading", {}) if summary.is_file() else {}
    template = template_for(str(job.case.template), str(job.case.tokenizer))
    kinds = {note.kind for note, _ in concerning(from_counts(reading), template)}
    result.kinds = {FOUND_BY[kind] for kind in kinds if kind in FOUND_BY}
    result.kinds |= {MISSING} if any("CT601" in note for note in result.notes) else set()
    return result


DOORS: dict[str, Door] = {
    "Encoder": _exact,
    "Encoder, fast": _fast,
    "prepare": _prepare,
    "encode": _command,
    "train": _train,
    "audit": _audit,
}
"""The entry points by name."""

WITHOUT_ROWS = ("audit",)
"""Entry points that return no rows."""

NEED_TAGS = ("prepare", "encode", "train", "audit")
"""Entry points that refuse a template without generation tags, or annotate it, which takes a while."""


def enter(door: Door, job: Job) -> Result:
    """Return the result of an entry point, with an error of chattmpl as a refusal and any other as a crash."""
    shutil.rmtree(job.folder, ignore_errors=True)
    job.folder.mkdir(parents=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = door(job)
        except ChatTmplError as error:
            result = Result(refused=error.message)
        except Exception as error:
            result = Result(crash=f"{type(error).__name__}: {error}")
    result.notes += [str(each.message) for each in caught if type(each.message).__module__.startswith("chattmpl")]
    return result


def _ran(arguments: Sequence[str], out: Path) -> Result:
    """Run a command that writes rows into a folder, and read them."""
    outcome = run_here(arguments)
    if outcome.code == INTERRUPTED:
        raise KeyboardInterrupt
    result = Result(notes=re.findall(r"^(?:note|warning): (.*)", outcome.err, re.MULTILINE))
    error = re.search(r"^error: (.*)", outcome.err, re.MULTILINE)
    if outcome.code not in (0, 1, 2) or "Traceback" in outcome.err or "this is a bug" in outcome.err:
        return Result(crash=outcome.err.strip()[-300:])
    if outcome.code == 2:
        result.refused = error[1] if error else outcome.err.strip()[-300:]
        return result
    rejected = out / "rejected.jsonl"
    for line in rejected.read_text(encoding="utf-8").splitlines() if rejected.is_file() else ():
        each = json.loads(line)
        result.rejected[each["index"]] = each["message"]
        if each["reason"] == "nothing-to-train":
            result.untrained.add(each["index"])
    # Rows are numbered by their lines, which are not those of conversations in each format.
    indices = (index for index in itertools.count() if index not in result.rejected)
    rows = sorted(_read(out), key=lambda row: _number(row["place"]))
    result.rows = dict(zip(indices, map(_tokens, rows), strict=False))
    return result


def _read(folder: Path) -> Iterable[Mapping[str, Any]]:
    for file in sorted(folder.glob("train-*")):
        if file.suffix == ".jsonl":
            yield from map(json.loads, file.read_text(encoding="utf-8").splitlines())
        else:
            from datasets import Dataset

            yield from Dataset.from_file(str(file))


def _tokens(row: Mapping[str, Any]) -> tuple[list[int], list[int]]:
    """Return the ids and the labels of a row."""
    return list(row["input_ids"]), list(row["labels"])


def _number(place: str) -> int:
    """Return the number in the place of a row: ``file:line`` or ``file[index]``."""
    match = re.search(r":(\d+)$|\[(\d+)\]$", place)
    if match is None:
        raise ValueError(f"the row has no number: {place}")
    return int(match[1] or match[2])
