"""The data files of a path, a folder or a pattern."""

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from chattmpl.conversation.detection import ENCODED_HINT
from chattmpl.data.sources.chunks import DataFile
from chattmpl.data.sources.formats import FORMATS
from chattmpl.errors import ConversationError, UsageError
from chattmpl.input_files import check_regular, matching_files, read_json, unreadable

_COMPRESSIONS: dict[str, Literal["gzip", "zstd"]] = {".gz": "gzip", ".zst": "zstd"}
_KINDS = {suffix: kind for kind, form in FORMATS.items() for suffix in form.suffixes}
_KNOWN = ", ".join((*_KINDS, *(f".jsonl{suffix}" for suffix in _COMPRESSIONS)))
_OWN_JSON = ("dataset_info.json", "state.json", "dataset_dict.json", "dataset_infos.json", "summary.json")
"""Files in a folder that describe its data, and are not data."""


def has_known_suffix(path: Path) -> bool:
    """Return true if the suffix of a file is one of a format or a compression."""
    return path.suffix.lower() in (*_KINDS, *_COMPRESSIONS)


def find_files(name: str) -> list[DataFile]:
    """Find the files of a path or a pattern, sorted by name.

    Args:
        name: a file, a folder of data files, a folder that ``datasets`` saved, or a pattern such as ``data/*.jsonl``.

    Raises:
        ConversationError: there is no such file.
        UsageError: the files are not data files, or a folder is ambiguous.
    """
    path = Path(name)
    if path.is_dir():
        return _of_folder(path)
    if path.is_file():
        return [_file(path)]
    if glob.has_magic(name):
        found = matching_files(name)
        files = [_file(match) for match in found if match.is_file()]
        if not files and found:
            return [file for match in found for file in _of_folder(match)]
        if not files:
            raise ConversationError(
                f"no file matches {name}", hint="put the pattern in quotes; it is relative to the current folder"
            )
        return files
    try:
        check_regular(path, ConversationError)
    except (OSError, ValueError) as error:
        raise unreadable(name, error, ConversationError) from None
    raise ConversationError(f"{name} is not a file", hint="name a file, a folder or a pattern")


def _kind(path: Path) -> DataFile | None:
    suffix, compression = path.suffix.lower(), None
    if suffix in _COMPRESSIONS:
        compression = _COMPRESSIONS[suffix]
        suffix = Path(path.stem).suffix.lower()
    kind = _KINDS.get(suffix)
    if kind is None or (compression and FORMATS[kind].by_path):
        return None
    return DataFile(str(path), kind, compression)


def _file(path: Path) -> DataFile:
    file = _kind(path)
    if file is None:
        raise UsageError(f"{path} has an unknown suffix", hint=f"the suffixes are {_KNOWN}")
    return file


def _of_folder(folder: Path) -> list[DataFile]:
    if (folder / "state.json").is_file():
        return [DataFile(str(path), "arrow") for path in _saved(folder)]
    if (folder / "dataset_dict.json").is_file():
        splits = [path for path in sorted(folder.iterdir()) if (path / "state.json").is_file()]
        if len(splits) == 1:
            return _of_folder(splits[0])
        names = ", ".join(path.name for path in splits)
        raise UsageError(f"{folder} has several splits: {names}", hint=f"choose one, as in {splits[0]}")
    if (folder / "summary.json").is_file() and (folder / "rejected.jsonl").is_file():
        raise UsageError(f"{folder} is the output of chattmpl encode", hint=ENCODED_HINT)
    found = list(_data_files(folder))
    kinds = sorted({file.kind for file in found})
    if not found:
        raise ConversationError(f"{folder} contains no data file", hint=f"the suffixes are {_KNOWN}")
    if len(kinds) > 1:
        problem = f"{folder} contains files of several formats: {', '.join(kinds)}"
        raise UsageError(problem, hint=f"choose one, as in '{folder}/*.jsonl'")
    return found


def _saved(folder: Path) -> Iterator[Path]:
    """Yield the files of a dataset that ``save_to_disk`` wrote, in order."""
    state = read_json(folder / "state.json", ConversationError)
    try:
        names = [Path(entry["filename"]).name for entry in state["_data_files"]]
    except (KeyError, TypeError) as error:
        raise ConversationError(f"{folder / 'state.json'} is not in the format of datasets ({error!r})") from None
    yield from (folder / name for name in names)


def _data_files(folder: Path) -> Iterator[DataFile]:
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith((".", "_")) and path.name not in _OWN_JSON:
            file = _kind(path)
            if file is not None:
                yield file


def refuse_replacing(outputs: Iterable[str | Path], inputs: Iterable[str | Path]) -> None:
    """Raise `UsageError` if an input would be replaced."""
    given = {Path(path).resolve() for path in inputs}
    for path in outputs:
        if Path(path).resolve() in given:
            raise UsageError(f"{path} is an input and would be replaced", hint="name another output")
