"""Where a fixed template is written: the file that it was read from."""

from __future__ import annotations

import re

from chattmpl.lint.model import file_of
from chattmpl.template.resolver import Found
from chattmpl.template.writer import Change, plan, replacing

_VARIANT = re.compile(r":chat_template(?:\[([^\]]*)\])?$")


def planned(old: Found, new: Found) -> Change | str:
    """The change of the file that a template stands in, or why there can be none."""
    name = old.source.name
    path = file_of(old)
    if path.suffix == ".gguf" or ":tokenizer.chat_template" in name:
        return "GGUF files are not written; fix the model directory that it was made from, and convert it again"
    if not path.is_file():
        return "it is no file; give its path"
    variant = _VARIANT.search(name)
    change = plan(new.source.text, path, variant[1] if variant else None)
    if change.before != old.source.text:
        return "the file has changed in the meantime"
    return change


def put(change: Change) -> None:
    """Writes the file in one step; it keeps its newlines and its permissions.

    Raises:
        OSError: if it cannot be written.
    """
    with replacing(change.path) as file:
        file.write(change.content)
