"""The rows of a run: encoded into the output folder as by `chattmpl encode`, counted, and traced to conversations."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.data.config_file import ConfigFile
from chattmpl.data.job import JobNote, JobNoteKind, Options, RejectionLimit, Summary, Watcher, encode_dataset
from chattmpl.data.job.options import EncodingOptions
from chattmpl.data.job.shard import conversation_of
from chattmpl.data.mixture import Mixture
from chattmpl.data.rows import Rejection, attempt
from chattmpl.data.sources import find_files
from chattmpl.data.sources import read as read_rows
from chattmpl.data.stats import stats
from chattmpl.errors import ConversationError, UsageError
from chattmpl.printable import names
from chattmpl.template.template import Template
from chattmpl.training.config import TrainConfig, located

FOLDER, EVAL_FOLDER = "rows", "eval-rows"
_FIGURES = "figures.json"
_ORIGINS = ("source", "place")
"""Columns that name the conversation of a row."""


@dataclass(frozen=True)
class EncodedRows:
    """The rows of a run on disk, in Arrow files.

    Attributes:
        summary: contents of ``summary.json``, as written by ``chattmpl encode``.
        figures: figures of the same conversations, as of ``chattmpl stats``, before they are shortened or packed.
    """

    summary: dict[str, Any]
    figures: dict[str, Any]
    files: tuple[str, ...]

    @property
    def job(self) -> dict[str, Any]:
        """Everything that determines the contents of the files."""
        return dict(self.summary["job"])

    @property
    def clock(self) -> datetime | None:
        """The time that the template was given; None if it does not read the clock."""
        clock = self.summary["job"]["options"]["clock"]
        return None if clock is None else datetime.fromisoformat(clock)


def encode_rows(
    config: TrainConfig,
    template: Template,
    tokenizer: Any,
    *,
    evaluation: bool = False,
    keep: bool,
    force: bool,
    watcher: Watcher,
) -> EncodedRows:
    """Encode the data of a run, or with ``evaluation`` its ``eval_data``, unless an earlier run did.

    ``keep`` means that existing rows belong to a run that is resumed, and refuses to replace them by others; ``force``
    encodes again.

    Raises:
        ConversationError: data are missing or unreadable, too many rows are rejected, or none is left.
        UsageError: an option is invalid, or the rows of a resumed run would differ.
    """
    folder = config.folder / (EVAL_FOLDER if evaluation else FOLDER)
    data = config.eval_data if evaluation else config.data
    assert data is not None, "rows for evaluation are encoded only if there is eval_data"
    options: dict[str, Any] = {**config.encoding_options, "columns": ("labels", *_ORIGINS), "limit": config.limit}
    options |= {"form": "arrow", "watcher": _RowsWatcher(watcher, JobNoteKind.FINISHED_BEFORE)}
    summary = None
    if not force:
        try:
            summary = encode_dataset(data, template, tokenizer, folder, resume=True, **options)
        except UsageError:
            if keep:
                raise
    if summary is None:
        summary = encode_dataset(data, template, tokenizer, folder, force=True, **options)
        (folder / _FIGURES).unlink(missing_ok=True)
    _check_rejected(config, summary)
    rows = EncodedRows(summary.data, {}, tuple(map(str, summary.files)))
    figures = {} if evaluation else _count(config, template, tokenizer, rows, watcher)
    return EncodedRows(summary.data, figures, rows.files)


class _RowsWatcher(Watcher):
    """A watcher of one step that passes events on to the watcher of the run, except for some kinds of notes."""

    def __init__(self, other: Watcher, *without: JobNoteKind) -> None:
        self.reading, self.begins, self.advances = other.reading, other.begins, other.advances  # type: ignore[method-assign]
        self.reads = other.reads  # type: ignore[method-assign]
        self._other, self._without = other, without

    def note(self, note: JobNote) -> None:
        """Pass on a note."""
        if note.kind not in self._without:
            self._other.note(note)


def _check_rejected(config: TrainConfig, summary: Summary) -> None:
    if summary.exceeds(RejectionLimit.parse(config.max_rejected)):
        first, hint = summary.first_rejected()
        ways = [*filter(None, [hint]), f"set max_rejected to continue without them; {summary.rejected} lists all"]
        raise ConversationError(
            f"{summary.rejected_rows} of {summary.data['rows']['rows']} rows cannot be trained on; the first is "
            f"{first}",
            hint="; or ".join(ways),
        )
    if not summary.data["rows"]["written"]:
        raise ConversationError("there are no rows to train on", hint=f"{summary.rejected} lists the rejected rows")


def _count(
    config: TrainConfig, template: Template, tokenizer: Any, rows: EncodedRows, watcher: Watcher
) -> dict[str, Any]:
    """Return the figures of the data, read from disk if they were counted for the same rows."""
    path = config.folder / FOLDER / _FIGURES
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        if known["job"] == rows.job:
            return dict(known["figures"])
    except (OSError, ValueError, KeyError):
        pass
    given = config.encoding_options
    options = {name: given[name] for name in EncodingOptions.__annotations__ if name in given}
    if rows.clock is not None:
        options["clock"] = rows.clock
    # The rows are read a second time, and the notes on them were passed on the first time.
    quiet = _RowsWatcher(watcher, JobNoteKind.READING)
    figures = stats(
        config.data, template, tokenizer, pack=config.pack, limit=config.limit, watcher=quiet, **options
    ).to_dict()
    figures["tokenizer"] = config.tokenizer or config.model.path
    path.write_text(json.dumps({"job": rows.job, "figures": figures}), encoding="utf-8")
    return figures


def load_rows(files: Sequence[str]) -> Any:
    """Return rows as a memory-mapped ``datasets.Dataset``, including the columns of their origin.

    Raises:
        UsageError: a file does not exist on this machine.
    """
    from datasets import Dataset, concatenate_datasets

    for file in files:
        if not Path(file).is_file():
            raise UsageError(
                f"this machine cannot see {file}, which the main process wrote",
                hint="output must be a folder that all machines share",
            )
    return concatenate_datasets([Dataset.from_file(file) for file in files])


def without_origins(rows: Any) -> Any:
    """Return rows with only the columns that a trainer reads."""
    return rows.remove_columns([name for name in _ORIGINS if name in rows.column_names])


def spread(count: int, limit: int | str) -> list[int]:
    """Return evenly spaced row numbers below a count: at most ``limit`` of them, or ``"all"``."""
    if limit == "all" or int(limit) >= count:
        return list(range(count))
    return [number * count // int(limit) for number in range(int(limit))]


def read_conversations(rows: Any, numbers: Sequence[int], config: TrainConfig) -> list[Any]:
    """Read the conversations of some rows; each file is read once."""
    origins = rows.select(numbers).select_columns(list(_ORIGINS))[:]
    wanted: set[tuple[str, str]] = set()
    for source, place in zip(origins["source"], origins["place"], strict=True):
        if isinstance(source, str):
            wanted.add((source, place))
        else:  # a packed row
            wanted.update(zip(source, place, strict=True))
    return list(_read(config.data, wanted, Options(shape=config.shape)))  # type: ignore[arg-type]


def _read(mixture: Mixture, wanted: set[tuple[str, str]], options: Options) -> Iterator[Any]:
    for source in mixture.sources:
        kwargs = {**mixture.chat_template_kwargs, **source.chat_template_kwargs}
        source_ = source.model_copy(update={"chat_template_kwargs": kwargs})
        for file in [file for path in source.paths for file in find_files(path)]:
            for raw in read_rows(file):
                place = f"{file.path}[{raw.number}]" if raw.line is None else f"{file.path}:{raw.line}"
                if (source.name, place) in wanted:
                    yield conversation_of(raw.value, source_, options).value


def check_data_exists(config: TrainConfig, read: ConfigFile) -> None:
    """Check that all data files exist.

    Raises:
        ConversationError, UsageError: for the first one that does not, with the place that names it.
    """
    for name in ("data", "eval_data"):
        mixture: Mixture | None = getattr(config, name)
        for source in mixture.sources if mixture else ():
            with located(read, name):
                for path in source.paths:
                    find_files(path)


# -- fields that the template does not render

_CHECKED = 300
_SHOWN = 5

_REASONING = re.compile(r"messages\[(\d+)\]\.(?:reasoning_content|reasoning|thinking)\b")
_IDENTIFIERS = re.compile(r"messages\[\]\.(?:tool_call_id|name|tool_calls\[\]\.(?:id|type))$")
"""Fields without content, which many templates leave out."""


@dataclass(frozen=True)
class DroppedFields:
    """Fields of the data that the template does not render, and that are therefore not trained.

    Attributes:
        checked, affected: number of conversations that were rendered, and of those with such fields.
        counts: number of conversations for each field, for example ``messages.reasoning_content``.
    """

    template: str
    checked: int
    affected: int
    counts: Counter[str]

    def __str__(self) -> str:
        fields = names((f"{name} ({count:,})" for name, count in self.counts.most_common()), _SHOWN)
        return (
            f"{self.affected:,} of {self.checked:,} conversations have fields that {self.template} does not render, "
            f"so they are not trained: {fields}"
        )


def find_dropped_fields(
    conversations: Sequence[Any], template: Template, config: TrainConfig, clock: datetime | None
) -> DroppedFields | None:
    """Render the first 300 conversations and count the fields that are lost; None if there are none.

    Lost reasoning counts only in the last turn if earlier turns are rendered without theirs, or each turn has a
    separate row.
    """
    checked = conversations[:_CHECKED]
    found = [attempt(_lost_fields, each, template, config, clock) for each in checked]
    lost = [fields for fields in found if not isinstance(fields, Rejection)]
    counts = Counter(name for fields in lost for name in fields)
    return DroppedFields(template.name, len(checked), sum(map(bool, lost)), counts) if counts else None


def _lost_fields(given: Any, template: Template, config: TrainConfig, clock: datetime | None) -> set[str]:
    conversation = Conversation.coerce(given)
    lost = template.render(conversation, False, clock, **config.template.kwargs).lost
    only_last = config.rows != "one" or template.retention not in (None, "all")
    last = max((at for at, message in enumerate(conversation.messages) if message.role == "assistant"), default=-1)
    fields = set()
    for path in lost:
        reasoning = _REASONING.match(path)
        if reasoning and only_last and int(reasoning[1]) != last:
            continue
        name = re.sub(r"\[\d+\]", "[]", path)
        if not _IDENTIFIERS.match(name):
            fields.add(name.replace("[]", ""))
    return fields
