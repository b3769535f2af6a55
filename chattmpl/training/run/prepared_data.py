"""What the first process prepares for all: rows, and what there is of a run that was cut off."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from chattmpl.errors import UsageError
from chattmpl.training.run.config import Config
from chattmpl.training.run.folder import RunFolder, digest
from chattmpl.training.run.identity import difference, identity
from chattmpl.training.run.process_group import World
from chattmpl.training.run.progress import Watcher
from chattmpl.training.run.resolved_run import Chosen
from chattmpl.training.run.rows import Encoded, encode_rows
from chattmpl.version import __version__

_WAYS_OUT = "name another output, change it back, or --force starts anew"


@dataclass(frozen=True)
class Ready:
    """What was prepared.

    Attributes:
        rows: what is trained on.
        evaluated: the files of the rows that are evaluated; none if there are none.
        identity: of the run.
        record: what is known of it.
        checkpoint: where to go on; None at the start.
        supervised: tokens that were seen before it.
        finished: whether there is nothing left to do.
    """

    rows: Encoded
    evaluated: tuple[str, ...]
    identity: str
    record: dict[str, Any]
    checkpoint: str | None = None
    supervised: int = 0
    finished: bool = False


def prepare(config: Config, chosen: Chosen, world: World, watcher: Watcher, *, resume: str, force: bool) -> Ready:
    """Looks at what an earlier run left, and encodes the rows.

    Raises:
        UsageError: the output holds another run, or something else.
        ConversationError: see `chattmpl.training.run.rows.encode_rows`.
    """
    folder = RunFolder(config.folder)
    folder.refuse_foreign()
    if force:
        folder.clear()
    said = identity(config, chosen.template, chosen.tokenizer, sorted(chosen.stops.values()), world)
    known = folder.record() or {}
    whole, partial = folder.checkpoints(known.get("identity", ""))
    finished = known.get("trained") is not None
    goes_on = bool(whole) or finished
    if goes_on and resume == "never":
        raise UsageError(
            f"{folder.path} holds a run", hint="--force starts anew, --resume auto goes on, or name another output"
        )
    # What is compared has been through JSON.
    if goes_on and (changed := difference(known.get("run") or {}, json.loads(json.dumps(said, default=str)))):
        raise UsageError(f"this is not the run that {folder.path} holds: {changed} changed", hint=_WAYS_OUT)
    rows = encode_rows(config, chosen.template, chosen.tokenizer, keep=goes_on, force=force, watcher=watcher)
    evaluated: tuple[str, ...] = ()
    if config.eval_data is not None:
        held: dict[str, Any] = {"keep": False, "force": force, "watcher": watcher}
        evaluated = encode_rows(config, chosen.template, chosen.tokenizer, evaluated=True, **held).files
    name = digest({"run": said, "job": rows.job})
    if goes_on and name != known["identity"]:
        raise UsageError(f"the data of the run that {folder.path} holds changed", hint=_WAYS_OUT)
    if finished:
        return Ready(rows, evaluated, name, known, finished=True)
    for path in partial:
        watcher.note(f"{path} is left out: the run was cut off while it was written")
    record = _record(chosen, rows, name, said)
    folder.write(record)
    if not whole:
        return Ready(rows, evaluated, name, record)
    watcher.note(f"going on from {whole[0]}")
    marked = RunFolder(whole[0]).record() or {}
    return Ready(rows, evaluated, name, record, str(whole[0]), int(marked.get("supervised", 0)))


def _record(chosen: Chosen, rows: Encoded, name: str, said: dict[str, Any]) -> dict[str, Any]:
    template = chosen.template
    return {
        "chattmpl": __version__,
        "identity": name,
        "run": said,
        "template": {
            "name": template.name,
            "family": template.family.name if template.family else None,
            "retention": template.retention,
            "train": digest(template.export("train")),
            "inference": digest(chosen.served),
            "stops": list(chosen.stops.values()),
            "annotated": chosen.annotated,
        },
        "data": {"rows": rows.summary["rows"], "sources": rows.figures["sources"], "total": rows.figures["total"]},
        "trained": None,
    }
