"""From what a person names (files, folders, patterns) to the files that are meant."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from chattmpl.data.sources.byte_stream import unreadable
from chattmpl.data.sources.chunk import DataFile, Kind
from chattmpl.errors import ConversationError, UsageError

_KINDS: dict[str, Kind] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
_COMPRESSIONS: dict[str, Literal["gzip", "zstd"]] = {".gz": "gzip", ".zst": "zstd"}
_KNOWN = ", ".join((*_KINDS, *(f".jsonl{suffix}" for suffix in _COMPRESSIONS)))
_OWN_JSON = ("dataset_info.json", "state.json", "dataset_dict.json", "dataset_infos.json", "summary.json")
"""Files of a folder that tell of its data, and are none."""


def find_files(name: str) -> list[DataFile]:
    """The files that a path or a pattern means, in order of their names.

    Args:
        name: a file, a folder of such files, a folder that ``datasets`` saved, or a pattern such as ``data/*.jsonl``.

    Raises:
        ConversationError: there is no such file.
        UsageError: what there is cannot be read as conversations, or it is not clear what is meant.
    """
    path = Path(name)
    if path.is_dir():
        return _of_folder(path)
    if path.is_file():
        return [_file(path)]
    if glob.has_magic(name):
        found = [Path(match) for match in sorted(glob.glob(name, recursive=True))]  # noqa: PTH207 — absolute ones too
        files = [_file(match) for match in found if match.is_file()]
        if not files and found:
            return [file for match in found for file in _of_folder(match)]
        if not files:
            raise ConversationError(f"no file matches {name}", hint="put the pattern in quotes, relative to here")
        return files
    raise unreadable(name, FileNotFoundError(2, "No such file or directory"))


def _kind(path: Path) -> DataFile | None:
    suffix, compression = path.suffix.lower(), None
    if suffix in _COMPRESSIONS:
        compression = _COMPRESSIONS[suffix]
        suffix = Path(path.stem).suffix.lower()
    kind = _KINDS.get(suffix)
    if kind is None or (compression and kind in ("parquet", "arrow")):
        return None
    return DataFile(str(path), kind, compression)


def _file(path: Path) -> DataFile:
    file = _kind(path)
    if file is None:
        raise UsageError(f"{path} has no suffix that tells what it holds", hint=f"the suffixes are {_KNOWN}")
    return file


def _of_folder(folder: Path) -> list[DataFile]:
    if (folder / "state.json").is_file():
        return [DataFile(str(path), "arrow") for path in _saved(folder)]
    if (folder / "dataset_dict.json").is_file():
        splits = [path for path in sorted(folder.iterdir()) if (path / "state.json").is_file()]
        if len(splits) == 1:
            return _of_folder(splits[0])
        names = ", ".join(path.name for path in splits)
        raise UsageError(f"{folder} has several splits: {names}", hint=f"name one of them, as in {splits[0]}")
    found = list(_data_files(folder))
    kinds = sorted({file.kind for file in found})
    if not found:
        raise ConversationError(f"{folder} holds no data file", hint=f"the suffixes are {_KNOWN}")
    if len(kinds) > 1:
        raise UsageError(f"{folder} holds files of several kinds: {', '.join(kinds)}", hint=f"say '{folder}/*.jsonl'")
    return found


def _saved(folder: Path) -> Iterator[Path]:
    """The files of a data set that ``save_to_disk`` wrote, in its order."""
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        names = [entry["filename"] for entry in state["_data_files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ConversationError(f"{folder / 'state.json'} is not as datasets writes it ({error!r})") from None
    yield from (folder / name for name in names)


def _data_files(folder: Path) -> Iterator[DataFile]:
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith((".", "_")) and path.name not in _OWN_JSON:
            file = _kind(path)
            if file is not None:
                yield file


def refuse_replacing(outputs: Iterable[str | Path], inputs: Iterable[str | Path]) -> None:
    """Says so where a file that is read would be replaced.

    Raises:
        UsageError: it names the first such output.
    """
    given = {Path(path).resolve() for path in inputs}
    for path in outputs:
        if Path(path).resolve() in given:
            raise UsageError(f"{path} is read, and would be replaced", hint="name another output")
