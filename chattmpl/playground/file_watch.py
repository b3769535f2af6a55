"""The file of the command line, watched: who edits it in an editor of their own sees the page follow."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Watch:
    """A file, and how it was when it was last looked at.

    Attributes:
        path: the file.
    """

    path: Path
    _seen: tuple[int, int] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._seen = self._stamp()

    def changed(self) -> bool:
        """Whether the file is another one than at the last look; one that is gone, for a moment, is not."""
        stamp = self._stamp()
        if stamp is None or stamp == self._seen:
            return False
        self._seen = stamp
        return True

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size


def watched(name: str) -> Path | None:
    """The file of a template that is named on the command line; None for a family."""
    path = Path(name)
    if path.is_dir():
        held = [path / file for file in ("template.jinja", "chat_template.jinja", "tokenizer_config.json")]
        return next((file for file in held if file.is_file()), None)
    return path if path.is_file() else None
