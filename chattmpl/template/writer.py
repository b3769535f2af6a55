"""Writer of templates into .jinja files, tokenizer_config.json and model directories.

The file is replaced in one step, the old one is kept next to it as a backup, and in a JSON file only the characters of
the template change.
"""

import contextlib
import difflib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from chattmpl.conversation.json_text import JsonEntry, JsonText
from chattmpl.errors import ChatTmplError, UsageError, decode
from chattmpl.template.model_directory import CONFIG, TEMPLATE
from chattmpl.template.resolver import TemplateSource

_KEY = "chat_template"
_RESPONSE = "response_template"


@dataclass(frozen=True)
class Change:
    """A planned change of a file that holds a template.

    Attributes:
        path: the file.
        before: the template in the file, or None if it has none.
        after: the template to write.
        content: the new content of the file, in bytes.
        old: the old content of the file, or None if there is no file.
    """

    path: Path
    before: str | None
    after: str
    content: bytes
    old: bytes | None

    @property
    def needed(self) -> bool:
        """True if the file would change."""
        return self.content != self.old

    def diff(self) -> str:
        """Return a unified diff of the two templates; empty if there was none before."""
        if self.before is None:
            return ""
        return unified_diff(self.before, self.after, f"{self.path} (before)", f"{self.path} (after)")


def unified_diff(before: str, after: str, before_name: str, after_name: str) -> str:
    """Return a unified diff of two named texts; empty if they are equal."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), before_name, after_name, lineterm="")
    return "".join(f"{line}\n" for line in lines)


def plan(template: str, path: Path, variant: str | None = None) -> Change:
    """Plan to write a template to a path; nothing is written.

    Args:
        template: the text of the template.
        path: a model directory, a .json file with a ``chat_template``, or a file that holds only a template.
        variant: the name of the template to replace, where there are several; ``default`` if None.

    Raises:
        UsageError: if the path is not one of these.
    """
    if path.is_dir():
        path = _in_directory(path, variant)
    old = path.read_bytes() if path.exists() else None
    if path.suffix != ".json":
        before = None if old is None else old.decode("utf-8", errors="replace")
        return Change(path, before, template, template.encode(), old)
    if old is None:
        raise UsageError(
            f"there is no file {path}", hint=f"a template alone is written to a .jinja file or to a {CONFIG}"
        )
    text, config = _config(old, path)
    before, content = _replaced(text, config, template, variant, path)
    return Change(path, before, template, content.encode(), old)


def plan_in_place(found: TemplateSource, template: str) -> Change:
    """Plan to write a template into the file that another was read from; nothing is written.

    Raises:
        UsageError: if that is no file that can be written, or if its template is not the one that was read.
    """
    if found.path is None:
        raise UsageError(f"{found.source.name} is no file", hint="give its path")
    if found.path.suffix == ".gguf":
        raise UsageError(
            f"{found.path} is a GGUF file, which is not written",
            hint="rewrite the model directory that it was made from, and convert that again",
        )
    change = plan(template, found.path, found.variant)
    if change.before != found.source.text:
        raise UsageError(f"{found.path} has changed in the meantime", hint="run the command again")
    return change


def plan_response(data: dict[str, Any], path: Path, exported: Change) -> Change | None:
    """Plan to write a ``response_template`` with an exported template; nothing is written.

    Args:
        data: the response template, from `chattmpl.Template.response_template`.
        path: the model directory or file that the template is written to.
        exported: the planned change of the template. If it changes the same file, the result has both changes.

    Returns:
        None if there is no ``tokenizer_config.json`` to hold it.

    Raises:
        UsageError: if that file is not a JSON object.
    """
    config = path / CONFIG if path.is_dir() else path
    if config.suffix != ".json" or not config.is_file():
        return None
    old = config.read_bytes()
    text, held = _config(exported.content if exported.path == config else old, config)
    entries = {entry.path: entry for entry in text.entries() if len(entry.path) == 1}
    keys = list(entries.values())
    space = _space(text.text, keys[-1]) if keys else "\n  "
    value = json.dumps(data, ensure_ascii=_escapes(text.text), indent=2 if "\n" in space else None)
    value = value.replace("\n", space)
    if (_RESPONSE,) in entries:
        start, end = entries[(_RESPONSE,)].value
        content = text.text if held[_RESPONSE] == data else text.text[:start] + value + text.text[end:]
    else:
        content = _with_key(text.text, keys, value, _RESPONSE)
    if exported.path == config:
        return replace(exported, content=content.encode())
    return Change(config, None, "", content.encode(), old)


def _escapes(text: str) -> bool:
    """Return whether a JSON text escapes characters outside ASCII."""
    return text.isascii() and "\\u" in text


def _space(text: str, entry: JsonEntry) -> str:
    """Return the white space before a key."""
    assert entry.key is not None
    space = re.search(r"\s*$", text[: entry.key[0]])
    return space.group() if space else ""


def write(change: Change, *, backup: bool = True) -> Path | None:
    """Write a change in one step, and return the path of the backup of the old file, if there is one.

    A backup never replaces another: they are named ``.bak``, ``.bak1``, ``.bak2``, … A symbolic link, as in a hub
    cache, is replaced by the file; its target stays unchanged.

    Raises:
        OSError: if the folder or the file cannot be written.
    """
    saved = _backup(change.path, change.old) if backup and change.old is not None else None
    with replacing(change.path) as file:
        file.write(change.content)
    return saved


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file that replaces ``path`` on success and is removed on failure.

    A path that is not a regular file, such as ``/dev/stdout``, is written directly.

    Raises:
        OSError: if it cannot be written.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            if file.tell():
                os.fsync(file.fileno())
        Path(name).chmod(_mode(path))
        Path(name).replace(path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        # A write that fails, as on a full disk, names no file.
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _mode(path: Path) -> int:
    """Return the permissions of a file, or those that a new file gets."""
    if path.exists():
        return stat.S_IMODE(path.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _backup(path: Path, content: bytes) -> Path:
    number = 0
    while True:
        backup = path.with_name(f"{path.name}.bak{number or ''}")
        try:
            with backup.open("xb") as file:
                file.write(content)
        except FileExistsError:
            number += 1
            continue
        shutil.copystat(path, backup)
        return backup


def _in_directory(folder: Path, variant: str | None) -> Path:
    """Return the file of a model directory that transformers reads first."""
    if variant not in (None, "default"):
        named = folder / "additional_chat_templates" / f"{variant}.jinja"
        if named.is_file():
            return named
    elif (folder / TEMPLATE).is_file():
        return folder / TEMPLATE
    config = folder / CONFIG
    if not config.is_file():
        raise UsageError(
            f"{folder} holds neither a {TEMPLATE} nor a {CONFIG}, so it is no model directory",
            hint=f"name the file to write, as in {folder / TEMPLATE}",
        )
    inside = _config(config.read_bytes(), config)[1].get(_KEY) is not None
    return config if inside or variant not in (None, "default") else folder / TEMPLATE


def _config(content: bytes, path: Path) -> tuple[JsonText, dict[str, Any]]:
    """Return a JSON file as text and as the object in it."""
    text = JsonText(decode(content, path, UsageError), str(path))
    try:
        value = text.value()
    except ChatTmplError as error:
        raise UsageError(error.message, place=error.place, hint=f"{path.name} should be a {CONFIG}") from None
    if not isinstance(value, dict):
        raise UsageError(f"{path} is not a JSON object", hint=f"it should be a {CONFIG}")
    return text, value


def _replaced(
    text: JsonText, config: dict[str, Any], template: str, variant: str | None, path: Path
) -> tuple[str | None, str]:
    """Return the template in a JSON text, and the text with another template in its place."""
    value = json.dumps(template, ensure_ascii=_escapes(text.text))
    where = _where(config, variant, path)
    entries = {entry.path: entry for entry in text.entries() if len(entry.path) <= 3}
    if where in entries:
        start, end = entries[where].value
        before = json.loads(text.text[start:end])
        return before if isinstance(before, str) else None, text.text[:start] + value + text.text[end:]
    return None, _with_key(text.text, [entry for entry in entries.values() if len(entry.path) == 1], value)


def _where(config: dict[str, Any], variant: str | None, path: Path) -> tuple[str | int, ...]:
    """Return the JSON path of the template to replace."""
    held, name = config.get(_KEY), variant or "default"
    if isinstance(held, list):
        named = {
            item.get("name"): (_KEY, index, "template") for index, item in enumerate(held) if isinstance(item, dict)
        }
    elif isinstance(held, dict):
        named = {key: (_KEY, key) for key in held}  # type: ignore[misc]
    elif name == "default":
        return (_KEY,)
    else:
        named = {}
    if name not in named:
        known = ", ".join(sorted(map(str, named))) or "none that has a name"
        raise UsageError(f"{path} has no template named {name!r}", hint=f"it has {known}")
    return named[name]


def _with_key(text: str, entries: list[JsonEntry], value: str, key: str = _KEY) -> str:
    """Return a JSON object with the template as its last key, indented like its other keys."""
    pair = f'"{key}": {value}'
    if not entries:
        closing = text.rindex("}")
        return f"{text[:closing].rstrip()}\n  {pair}\n{text[closing:]}"
    last = entries[-1]
    return f"{text[: last.value[1]]},{_space(text, last)}{pair}{text[last.value[1] :]}"
