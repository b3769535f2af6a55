"""A training run, from its configuration to the saved model."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from chattmpl.data.config_file import ConfigFile
from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.training.adapter import BatchAudit, audit_batches, count_supervised
from chattmpl.training.adapter.sft import quiet
from chattmpl.training.config import TrainConfig
from chattmpl.training.model import lora_config
from chattmpl.training.process_group import ProcessGroup
from chattmpl.training.resolved_run import ResolvedRun, resolve
from chattmpl.training.rows import (
    EncodedRows,
    check_data_exists,
    encode_rows,
    find_dropped_fields,
    load_rows,
    read_conversations,
    spread,
    without_origins,
)
from chattmpl.training.run_folder import RunFolder, differences, digest, run_identity
from chattmpl.training.saved_model import check_saved_model, check_saved_tokenizer, save
from chattmpl.training.trainer import CheckpointMarker, RunWatcher, build_trainer, check_settings, library_error
from chattmpl.version import __version__

_COMPARED = 8
"""Number of conversations that are rendered with the saved template and compared."""

_HINT = "choose another output, undo the change, or start over with --force"


@dataclass(frozen=True)
class TrainResult:
    """The result of a run.

    Attributes:
        record: contents of ``chattmpl.json``.
        folder: folder of the model.
        state: ``dry run`` if nothing was trained, ``finished before`` if an earlier run had trained the model.
        is_main: True in the process that reports the result.
    """

    record: dict[str, Any]
    folder: Path
    state: Literal["trained", "dry run", "finished before"]
    is_main: bool


@dataclass(frozen=True)
class _Prepared:
    """The state that the main process prepares for all.

    Attributes:
        rows, eval_files: rows to train on, and files of the rows to evaluate on.
        identity: hash of the identity of the run and of its data.
        checkpoint, supervised: checkpoint to resume from, and the number of supervised tokens before it.
        finished: True if an earlier run trained the model.
    """

    rows: EncodedRows
    eval_files: tuple[str, ...]
    identity: str
    record: dict[str, Any]
    checkpoint: str | None = None
    supervised: int = 0
    finished: bool = False


def train(
    config: TrainConfig,
    read: ConfigFile,
    *,
    resume: Literal["auto", "never"] = "auto",
    force: bool = False,
    dry_run: bool = False,
    watcher: RunWatcher | None = None,
) -> TrainResult:
    """Train a model on what a template renders, or resume its training.

    Args:
        config: the configuration, from `chattmpl.training.config.load_config`.
        read: the places of its values, likewise.
        resume: ``auto`` resumes an interrupted run; ``never`` refuses if there is one.
        force: delete what an earlier run left, and start over.
        dry_run: stop before the first step.
        watcher: receives events, in the main process only.

    Raises:
        BatchAuditError: the trainer would train other tokens than the template marks.
        UsageError, TemplateError, EncodeError, ConversationError: the configuration cannot be carried out.
        OtherProcessFailed: another process failed and reported the error.
    """
    group = ProcessGroup()
    with quiet():
        run = _Run(config, read, group, (watcher if group.is_main else None) or RunWatcher())
        result = run.run(resume, force, dry_run)
    group.leave()
    return result


class _Run:
    def __init__(self, config: TrainConfig, read: ConfigFile, group: ProcessGroup, watcher: RunWatcher) -> None:
        self.config, self.read, self.group, self.watcher = config, read, group, watcher
        self.folder = RunFolder(config.folder)
        self.resolved: ResolvedRun

    def run(self, resume: str, force: bool, dry_run: bool) -> TrainResult:
        group = self.group
        # Steps that may fail go through the group: one process reports the error, and the others end without one.
        group.on_all(self._resolve)
        prepared = group.on_main(lambda: self._prepare(resume, force))
        if prepared.finished:
            return TrainResult(prepared.record, self.folder.path, "finished before", group.is_main)
        self.watcher.encoded(prepared.rows.figures, prepared.rows.summary)
        rows = load_rows(prepared.rows.files)
        numbers = spread(len(rows), self.config.audit)
        conversations = read_conversations(rows, numbers, self.config)
        clock = prepared.rows.clock
        if group.is_main:
            dropped = find_dropped_fields(conversations, self.resolved.template, self.config, clock)
            if dropped is not None:
                self.watcher.notice(str(dropped))
        group.on_all(lambda: self._check_tokenizer(conversations, clock))
        trainer = self._build_trainer(without_origins(rows), prepared)
        record = {**prepared.record, "audit": self._audit(trainer, conversations, numbers, clock)}
        if dry_run:
            return TrainResult(record, self.folder.path, "dry run", group.is_main)
        record["trained"] = self._train(trainer, prepared)
        self._save(trainer, record, conversations, clock)
        return TrainResult(record, self.folder.path, "trained", group.is_main)

    def _resolve(self) -> None:
        size = self.group.size
        check_settings(self.config, self.read, size)
        if self.group.is_main:
            check_data_exists(self.config, self.read)
        self.watcher.notice(f"this run has {size} process{'' if size == 1 else 'es'}")
        self.resolved = resolve(self.config, self.read, self.watcher.notice)

    def _prepare(self, resume: str, force: bool) -> _Prepared:
        """Check the state that an earlier run left, and encode the rows."""
        config, folder, resolved = self.config, self.folder, self.resolved
        folder.refuse_foreign()
        if force:
            folder.clear()
        identity = run_identity(config, resolved, self.group)
        known = folder.record() or {}
        complete, partial = folder.checkpoints(known.get("identity", ""))
        finished = known.get("trained") is not None
        resumed = bool(complete) or finished
        if resumed and resume == "never":
            raise UsageError(
                f"{folder.path} contains a run",
                hint="--resume auto resumes it, --force starts over; or choose another output",
            )
        # The known identity was read from JSON.
        changed = differences(known.get("run") or {}, json.loads(json.dumps(identity, default=str))) if resumed else []
        if changed:
            raise UsageError(f"{folder.path} contains a different run: {', '.join(changed)} changed", hint=_HINT)
        encode: dict[str, Any] = {"force": force, "watcher": self.watcher}
        rows = encode_rows(config, resolved.template, resolved.tokenizer, keep=resumed, **encode)
        eval_files: tuple[str, ...] = ()
        if config.eval_data is not None:
            eval_files = encode_rows(
                config, resolved.template, resolved.tokenizer, evaluation=True, keep=False, **encode
            ).files
        name = digest({"run": identity, "job": rows.job})
        if resumed and name != known["identity"]:
            raise UsageError(f"the data of the run in {folder.path} changed", hint=_HINT)
        if finished:
            return _Prepared(rows, eval_files, name, known, finished=True)
        for path in partial:
            self.watcher.notice(f"ignoring {path}: it is incomplete, or of another run")
        record = self._record(rows, name, identity)
        folder.write(record)
        if not complete:
            return _Prepared(rows, eval_files, name, record)
        self.watcher.notice(f"resuming from {complete[0]}")
        marked = RunFolder(complete[0]).record() or {}
        return _Prepared(rows, eval_files, name, record, str(complete[0]), int(marked.get("supervised", 0)))

    def _record(self, rows: EncodedRows, name: str, identity: dict[str, Any]) -> dict[str, Any]:
        resolved = self.resolved
        template = resolved.template
        return {
            "chattmpl": __version__,
            "identity": name,
            "run": identity,
            "template": {
                "name": template.name,
                "family": template.family.name if template.family else None,
                "retention": template.retention,
                "train": digest(template.export("train")),
                "inference": digest(resolved.served),
                "stops": list(resolved.stops.values()),
                "annotated": resolved.annotated,
            },
            "data": {"rows": rows.summary["rows"], "sources": rows.figures["sources"], "total": rows.figures["total"]},
            "trained": None,
        }

    def _check_tokenizer(self, conversations: list[Any], clock: datetime | None) -> None:
        some = conversations[:_COMPARED] if self.group.is_main else []
        kwargs = self.config.template.kwargs
        check_saved_tokenizer(self.resolved.tokenizer, self.resolved.template, some, kwargs, clock)

    def _build_trainer(self, rows: Any, prepared: _Prepared) -> Any:
        built: list[Any] = []  # on_all would pickle a returned trainer

        def build() -> None:
            eval_rows = without_origins(load_rows(prepared.eval_files)) if prepared.eval_files else None
            trainer = build_trainer(
                self.config,
                self.read,
                self.resolved,
                rows,
                eval_rows,
                identity=prepared.identity,
                processes=self.group.size,
                watcher=self.watcher,
            )
            built.append(trainer)

        self.group.on_all(build)
        return built[0]

    def _audit(
        self, trainer: Any, conversations: list[Any], numbers: list[int], clock: datetime | None
    ) -> dict[str, Any]:
        """Audit the rows of these numbers in each process, and return the sums for the record."""
        names = {"straddle", "control_tokens", "mask", "rows", "mask_from", "max_length", "overflow", "pack"}
        names.add("template_kwargs")
        options = {name: value for name, value in self.config.encoding_options.items() if name in names}
        if clock is not None:
            options["clock"] = clock
        total = len(trainer.train_dataset)

        def audit() -> BatchAudit:
            return audit_batches(
                trainer,
                conversations,
                self.resolved.template,
                self.resolved.tokenizer,
                row_numbers=numbers if len(numbers) < total else None,
                max_rejected="100%",
                **options,
            )

        result = BatchAudit.combined(self.group.on_all(audit))
        self.watcher.audited(result, len(numbers), total)
        return {"rows": len(numbers), **{name: value for name, value in asdict(result).items() if name != "first"}}

    def _train(self, trainer: Any, prepared: _Prepared) -> dict[str, Any]:
        """Train, and return steps, losses and supervised tokens for the record."""
        counter = count_supervised(trainer, prepared.supervised)
        for callback in trainer.callback_handler.callbacks:
            if isinstance(callback, CheckpointMarker):
                callback.watch(trainer, counter)
        try:
            trainer.train(resume_from_checkpoint=prepared.checkpoint)
        except ChatTmplError:
            raise
        except Exception as error:
            complete, _ = self.folder.checkpoints(prepared.identity)
            hint = f"run the same command again to resume from {complete[0]}" if complete else ""
            raise library_error("training failed", error, hint=hint) from error
        state = trainer.state
        losses, eval_losses = (
            [entry[name] for entry in state.log_history if name in entry] for name in ("loss", "eval_loss")
        )
        return {
            "steps": state.global_step,
            "epochs": state.epoch,
            "first_loss": losses[0] if losses else None,
            "loss": losses[-1] if losses else None,
            "eval_loss": eval_losses[-1] if eval_losses else None,
            "supervised_tokens": counter.so_far() if counter.tokens else counter.total,
        }

    def _save(self, trainer: Any, record: dict[str, Any], conversations: list[Any], clock: datetime | None) -> None:
        _, merge = lora_config(self.config)
        save(trainer, self.folder.path, self.resolved, merge=merge, group=self.group)

        def finish() -> None:
            kwargs = self.config.template.kwargs
            check_saved_model(self.folder.path, self.resolved.template, conversations[:_COMPARED], kwargs, clock)
            self.folder.write(record)

        self.group.on_main(finish)
