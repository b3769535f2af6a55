"""The rows of a run: encoded into the output folder as `chattmpl encode` does it, counted, and found again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from chattmpl.data.config_file import Read
from chattmpl.data.job import Allowance, Options, Summary, Watcher, encode
from chattmpl.data.job.batch import conversation_of
from chattmpl.data.mixture import Mixture
from chattmpl.data.sources import find_files
from chattmpl.data.sources import read as read_rows
from chattmpl.data.stats import stats
from chattmpl.errors import ConversationError, UsageError
from chattmpl.template.template import Template
from chattmpl.training.run.config import Config
from chattmpl.training.run.validation import placed_at

FOLDER, EVAL_FOLDER = "rows", "eval-rows"
_FIGURES = "figures.json"
_ORIGINS = ("source", "place")


@dataclass(frozen=True)
class Encoded:
    """What was encoded.

    Attributes:
        summary: what ``chattmpl encode`` says of it; the job in it is what it was made of.
        figures: what ``chattmpl stats`` says of the same conversations, before they were shortened or packed.
        files: the files of the rows.
    """

    summary: dict[str, Any]
    figures: dict[str, Any]
    files: tuple[str, ...]

    @property
    def job(self) -> dict[str, Any]:
        """What makes two data sets the same."""
        return dict(self.summary["job"])

    @property
    def options(self) -> dict[str, Any]:
        """Options that were settled while rows were encoded."""
        clock = self.summary["job"]["options"]["clock"]
        return {} if clock is None else {"clock": datetime.fromisoformat(clock)}


def encode_rows(
    config: Config,
    template: Template,
    tokenizer: Any,
    *,
    evaluated: bool = False,
    keep: bool,
    force: bool,
    watcher: Watcher,
) -> Encoded:
    """Encodes the data of a run, unless that was done before.

    Args:
        config: what is asked for.
        template: loaded.
        tokenizer: of transformers.
        evaluated: the data that are evaluated, and not those that are trained on.
        keep: rows that are there belong to a run that goes on: others are refused.
        force: encode anew.
        watcher: is told how it goes.

    Raises:
        ConversationError: data are missing or unreadable, too many rows are rejected, or nothing is left.
        UsageError: something is asked for that does not exist, or the rows of a run that goes on are others now.
    """
    folder = config.folder / (EVAL_FOLDER if evaluated else FOLDER)
    data = config.eval_data if evaluated else config.data
    assert data is not None, "asked for only where there are some"
    options: dict[str, Any] = {**config.encoding, "columns": ("labels", *_ORIGINS), "limit": config.limit}
    Allowance.parse(config.max_rejected)
    options |= {"form": "arrow", "watcher": _Rows(watcher)}
    try:
        if force:
            raise UsageError("anew")
        summary = encode(data, template, tokenizer, folder, resume=True, **options)
    except UsageError:
        if keep:
            raise
        summary = encode(data, template, tokenizer, folder, force=True, **options)
        (folder / _FIGURES).unlink(missing_ok=True)
    _refuse_rejected(config, summary)
    settled = Encoded(summary.data, {}, tuple(map(str, summary.files)))
    figures = {} if evaluated else _figures(config, template, tokenizer, settled, watcher)
    return Encoded(summary.data, figures, settled.files)


class _Rows(Watcher):
    """Tells another watcher of rows, in words of a run: the job of encoding them is not the run."""

    def __init__(self, other: Watcher) -> None:
        self.reading, self.begins, self.advances = other.reading, other.begins, other.advances  # type: ignore[method-assign]
        self._other = other

    def note(self, text: str) -> None:
        """What a person should know, but for what is no news."""
        if text != "this job was finished before":
            self._other.note(text)


def _refuse_rejected(config: Config, summary: Summary) -> None:
    if summary.exceeds(Allowance.parse(config.max_rejected)):
        first = _first_rejected(summary.rejected)
        raise ConversationError(
            f"{summary.refused} of {summary.data['rows']['rows']} rows cannot be trained on; the first is {first}",
            hint=f"max_rejected allows for some; all of them are in {summary.rejected}",
        )
    if not summary.data["rows"]["written"]:
        raise ConversationError("there is nothing to train on", hint=f"see {summary.rejected} for what was rejected")


def _first_rejected(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        first = json.loads(file.readline())
    where = f"{first['file']}:{first['line']}" if first["line"] is not None else f"{first['file']}[{first['index']}]"
    return f"{where}: {first['message']}" + (f" (at {first['place']})" if first["place"] else "")


def _figures(config: Config, template: Template, tokenizer: Any, rows: Encoded, watcher: Watcher) -> dict[str, Any]:
    """What the data hold, counted once."""
    path = config.folder / FOLDER / _FIGURES
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        if known["job"] == rows.job:
            return dict(known["figures"])
    except (OSError, ValueError, KeyError):
        pass
    names = ("shape", "template_kwargs", "straddle", "control_tokens", "mask", "fast", "clock")
    options = {name: value for name, value in {**config.encoding, **rows.options}.items() if name in names}
    counted = stats(
        config.data, template, tokenizer, pack=config.pack, limit=config.limit, watcher=watcher, **options
    ).to_dict()
    counted["tokenizer"] = config.tokenizer or config.model.path
    path.write_text(json.dumps({"job": rows.job, "figures": counted}), encoding="utf-8")
    return counted


def load_rows(files: Sequence[str]) -> Any:
    """The rows as a ``datasets.Dataset``, mapped from the files, with the origin of each.

    Raises:
        UsageError: this machine does not see the files.
    """
    from datasets import Dataset, concatenate_datasets

    for file in files:
        if not Path(file).is_file():
            raise UsageError(
                f"this machine does not see {file}, which another one wrote",
                hint="output must be in a folder that all machines share",
            )
    return concatenate_datasets([Dataset.from_file(file) for file in files])


def trained_columns(rows: Any) -> Any:
    """The rows without what only tells where they come from."""
    return rows.remove_columns([name for name in _ORIGINS if name in rows.column_names])


def spread(count: int, most: int | str) -> list[int]:
    """Numbers of rows to look at, evenly spread: all, or so many at most."""
    if most == "all" or int(most) >= count:
        return list(range(count))
    return [number * count // int(most) for number in range(int(most))]


def conversations_of(rows: Any, numbers: Sequence[int], config: Config) -> list[Any]:
    """The conversations that some rows were made of, read anew from their files, each once."""
    some = rows.select(numbers).select_columns(list(_ORIGINS))[:]
    pairs: set[tuple[str, str]] = set()
    for source, place in zip(some["source"], some["place"], strict=True):
        if isinstance(source, str):
            pairs.add((source, place))
        else:
            pairs.update(zip(source, place, strict=True))
    return list(_read(config.data, pairs, Options(shape=config.shape)))  # type: ignore[arg-type]


def find_data(config: Config, read: Read) -> None:
    """Looks whether all data are there.

    Raises:
        ConversationError, UsageError: some are not, with where they are named.
    """
    for name in ("data", "eval_data"):
        mixture: Mixture | None = getattr(config, name)
        for source in mixture.sources if mixture else ():
            with placed_at(read, name):
                for path in source.paths:
                    find_files(path)


def _read(mixture: Mixture, wanted: set[tuple[str, str]], options: Options) -> Any:
    for source in mixture.sources:
        kwargs = {**mixture.chat_template_kwargs, **source.chat_template_kwargs}
        told = source.model_copy(update={"chat_template_kwargs": kwargs})
        for file in [file for path in source.paths for file in find_files(path)]:
            for raw in read_rows(file):
                place = f"{file.path}[{raw.number}]" if raw.line is None else f"{file.path}:{raw.line}"
                if (source.name, place) in wanted:
                    yield conversation_of(raw.value, told, options)
