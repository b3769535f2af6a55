"""Which template a command means, where nobody said it on the command line."""

from __future__ import annotations

from pathlib import Path

from chattmpl.cli.exit_codes import say
from chattmpl.conversation.models import Conversation
from chattmpl.errors import UsageError
from chattmpl.source import Place, Source
from chattmpl.template.family import family_names
from chattmpl.template.template import Template

DEFAULT = "hybrid"
PROJECT_FILE = "pyproject.toml"


class Templates:
    """The templates of one command, each loaded once, and the line on stderr that says which one was taken.

    Args:
        given: the value of ``-t``, which is above all else.
        file: the file of conversations; a path in it is relative to its folder.
        retention, variant: see `Template.load`.
    """

    def __init__(
        self, given: str | None, file: Path | None = None, retention: str | None = None, variant: str | None = None
    ) -> None:
        self.given = given
        self.file = file
        self.retention = retention
        self.variant = variant
        self._loaded: dict[str, Template] = {}
        self._default: tuple[str, str] | None = None

    def of(self, conversation: Conversation | None = None) -> Template:
        """The template that ``-t`` names, else the conversation, else the project, else the default.

        Raises:
            UsageError: if there is no such template, or the project's file is wrong.
            TemplateError: if it does not compile.
        """
        if self.given is not None:
            return self._load(self.given, None)
        if conversation is not None and conversation.template:
            folder = self.file.parent if self.file is not None else Path()
            name = str(self.file) if self.file is not None else "the conversation"
            return self._load(_beside(conversation.template, folder), f"named by {name}")
        if self._default is None:
            self._default = _of_project() or (DEFAULT, "the default; -t chooses another")
        return self._load(*self._default)

    def _load(self, name: str, reason: str | None) -> Template:
        if name not in self._loaded:
            if reason is not None:
                say(f"template: {name} ({reason})")
            self._loaded[name] = Template.load(name, retention=self.retention, variant=self.variant)
        return self._loaded[name]


def _beside(name: str, folder: Path) -> str:
    """A template's name as a path from here, if it is one of a file beside the file that names it."""
    beside = folder / name
    return str(beside) if name not in family_names() and beside.exists() else name


def _of_project() -> tuple[str, str] | None:
    """The template of ``[tool.chattmpl]`` in the nearest pyproject.toml, and how to say so."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        path = folder / PROJECT_FILE
        if path.is_file():
            name = _read(path)
            return None if name is None else (_beside(name, folder), f"from [tool.chattmpl] of {path}")
    return None


def _read(path: Path) -> str | None:
    import tomllib

    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        settings = tomllib.loads(text).get("tool", {}).get("chattmpl", {})
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}", hint="-t names a template without it") from None
    name = settings.get("template")
    if name is not None and not isinstance(name, str):
        start = max(text.find("template", text.find("tool.chattmpl")), 0)
        place = Place(Source(text, str(path)), start, start + len("template"))
        raise UsageError("template must be a string", place=place, hint='as in template = "qwen3"')
    return name
