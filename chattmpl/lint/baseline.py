"""Baselines: known findings, which are not reported again.

A finding is identified by its rule, its file and the text of its line, so that it stays known when lines move.
"""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.errors import UsageError
from chattmpl.input_files import read_json

VERSION = 1
_WIDTH = 120

_Key = tuple[str, str, str]


def write_baseline(path: Path, diagnostics: Iterable[TemplateDiagnostic]) -> int:
    """Write findings as known, and return their number."""
    counted = Counter(map(_key, diagnostics))
    known = [
        {"code": code, "file": file, "line": line, "count": count}
        for (code, file, line), count in sorted(counted.items(), key=lambda item: (item[0][1], item[0]))
    ]
    text = json.dumps({"version": VERSION, "known": known}, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    return sum(counted.values())


def without_known(path: Path, diagnostics: Iterable[TemplateDiagnostic]) -> list[TemplateDiagnostic]:
    """Return the findings that are not in the baseline; raise `UsageError` if the file is not a baseline."""
    left = _read(path)
    new = []
    for diagnostic in diagnostics:
        key = _key(diagnostic)
        if left[key] > 0:
            left[key] -= 1
        else:
            new.append(diagnostic)
    return new


def _read(path: Path) -> Counter[_Key]:
    if not path.exists():
        raise UsageError(f"there is no baseline {path}", hint="write one with --write-baseline")
    known = read_json(path)
    try:
        if known["version"] != VERSION:
            raise UsageError(
                f"{path} is a baseline of version {known['version']}, not {VERSION}",
                hint="write it again with --write-baseline",
            )
        return Counter({(item["code"], item["file"], item["line"]): int(item["count"]) for item in known["known"]})
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{path} is not a baseline", hint="write one with --write-baseline") from None


def _key(diagnostic: TemplateDiagnostic) -> _Key:
    place = diagnostic.place
    text = place.source.line_text(place.line)
    if len(text) > _WIDTH:
        # In templates on a single line, the text at the place.
        text = text[place.column - 1 : place.column - 1 + _WIDTH]
    # Several causes may break one law at one place.
    code = f"{diagnostic.code}:{diagnostic.kind}" if diagnostic.code == diagnostic.law else diagnostic.code
    return code, Path(place.source.name).as_posix(), text.strip()[:_WIDTH]
