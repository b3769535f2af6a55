"""The inputs of commands: templates, conversations, texts and tokenizers."""

from __future__ import annotations

import glob
import json
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chattmpl.cli.output import Failures, note, require_packages, say
from chattmpl.errors import ChatTmplError, ConversationError, EncodeError, UsageError
from chattmpl.input_files import LARGEST_VALUE, check_size, read_bytes
from chattmpl.options import MaskSource
from chattmpl.printable import row_place

# Each function imports what it needs: ``--help`` loads all commands, and so this module, but reads no inputs.
if TYPE_CHECKING:
    from chattmpl.conversation.files import Record
    from chattmpl.conversation.models import Conversation
    from chattmpl.conversation.notes import ReadingNote
    from chattmpl.data.sources import RawRow
    from chattmpl.diagnostic import TemplateDiagnostic
    from chattmpl.options import Arguments, Shape
    from chattmpl.template.resolver import TemplateSource
    from chattmpl.template.template import Template

DEFAULT_TEMPLATE = "hybrid"
STDIN = "<stdin>"


class Templates:
    """The templates of one command, each loaded once. A line on stderr says which one is used and why.

    Args:
        given: the value of ``-t``, which overrides everything else.
        retention, variant: see `Template.load`.
        tokenizer: the value of ``--tokenizer``, whose special tokens the templates get.

    Attributes:
        file: the file of conversations, to which the paths in it are relative.
    """

    def __init__(
        self, given: str | None, retention: str | None, variant: str | None, tokenizer: str | None = None
    ) -> None:
        self.given, self.retention, self.variant, self.tokenizer = given, retention, variant, tokenizer
        self.file: Path | None = None
        self._loaded: dict[str, Template] = {}
        self._default: tuple[str, str] | None = None

    @property
    def own_tokenizer(self) -> str | None:
        """The model directory that ``-t`` names, if it has a tokenizer.

        Raises:
            UsageError, TemplateError: as `of`, so that a template that does not exist is reported first.
        """
        if self.given is None or not (Path(self.given) / "tokenizer.json").is_file():
            if self.given is not None:
                self.of()
            return None
        self.tokenizer = self.tokenizer or self.given
        return self.given

    def of(self, conversation: Conversation | None = None) -> Template:
        """Return the template that ``-t`` names, or else the conversation, the project's file, or the default.

        Raises:
            UsageError: if the template does not exist, or the project's file is invalid.
            TemplateError: if the template does not compile.
        """
        if self.given is not None:
            return self._load(self.given, None)
        if conversation is not None and conversation.template:
            folder = self.file.parent if self.file is not None else Path()
            name = str(self.file) if self.file is not None else "the conversation"
            return self._load(_beside(folder, conversation.template, name), f"named by {name}")
        if self._default is None:
            self._default = _of_project() or (DEFAULT_TEMPLATE, "the default; choose another one with -t")
        return self._load(*self._default)

    def _load(self, name: str, reason: str | None) -> Template:
        from chattmpl.api import Template

        if name not in self._loaded:
            if reason is not None:
                say(f"template: {name} ({reason})")
            self._loaded[name] = Template.load(
                name, retention=self.retention, variant=self.variant, tokenizer=self.tokenizer
            )
        return self._loaded[name]


def training_template(templates: Templates, mask_from: MaskSource) -> Template:
    """Load a template for training. If tags are to be obeyed and it has none, it is annotated, which is printed.

    Raises:
        TemplateError: if it must have tags, and none can be placed.
    """
    chosen = templates.of()
    if mask_from == "law" or all(each.program.has_generation for each in chosen.variants):
        return chosen
    from chattmpl.rewrite.annotate.annotator import ensure_annotated

    return ensure_annotated(chosen, note)[0]


def conversations(file: str, shape: Shape | None = None) -> Iterator[Conversation]:
    """Read the conversations of a file; ``-`` is stdin, which holds one JSON value or one per line.

    Raises:
        ConversationError, UsageError: see `records`.
    """
    for record in records(file, shape):
        yield record()[0]


def compared_conversations(file: str | None, limit: int | None) -> list[tuple[str, Conversation]]:
    """Return the names and conversations that ship with chattmpl, and the first of a file; raise as `conversations`."""
    from chattmpl.compare.cases import named_conversations

    if file is None:
        return named_conversations()
    return named_conversations(file, list(islice(conversations(file), limit)))


def records(file: str, shape: Shape | None = None, arguments: Arguments = "keep") -> Iterator[Record]:
    """Yield the records of a file of conversations, of a data file, or of a folder or pattern of data files.

    Raises:
        ConversationError: there are none, or they cannot be read.
        UsageError: the package for their format is not installed.
    """
    from chattmpl.conversation.files import records_of, records_of_text

    if file == "-":
        text = read_text(file).removeprefix("\ufeff")
        lines = _has_lines(text)
        if not lines:
            check_size(STDIN, len(text), LARGEST_VALUE, ConversationError)
        return records_of_text(text, name=STDIN, lines=lines, shape=shape, arguments=arguments)
    if not _is_data(file):
        return records_of(file, shape=shape, arguments=arguments)
    if not file.lower().endswith(".json"):
        require_packages("reading data files", ("numpy", "pyarrow"), "data")
    from chattmpl.data.sources import find_files, read

    return (partial(_read_row, found.path, row, shape, arguments) for found in find_files(file) for row in read(found))


def _is_data(file: str) -> bool:
    """Return true for what only the reader of datasets reads: tables, compressed or large files, folders, patterns."""
    from chattmpl.conversation.files import SUFFIXES

    path = Path(file)
    if path.is_dir() or (not path.is_file() and glob.has_magic(file)):
        return True
    if path.suffix.lower() in SUFFIXES:
        return path.suffix.lower() == ".json" and path.is_file() and path.stat().st_size > LARGEST_VALUE
    from chattmpl.data.sources.files import has_known_suffix

    return has_known_suffix(path)


def _read_row(
    file: str, row: RawRow, shape: Shape | None, arguments: Arguments
) -> tuple[Conversation, tuple[ReadingNote, ...]]:
    from chattmpl.conversation.shapes import read_conversation

    try:
        if row.error is not None:
            raise row.error
        return read_conversation(row.value, shape, arguments=arguments)
    except ChatTmplError as error:
        if error.place is None:
            error.message = f"{row_place(file, row.line, row.number)}: {error.message}"
        raise
    except Exception as error:  # of this row, whatever it is
        place = row_place(file, row.line, row.number)
        raise ConversationError(f"{place}: {type(error).__name__}: {error}") from None


def count_records(file: str) -> int | None:
    """Return the number of records in a file or files; None if it is not known without reading much."""
    try:
        from chattmpl.data.sources import find_files, scan
        from chattmpl.input_files import LARGEST

        files = [] if file == "-" else find_files(file)
        takes_long = sum(Path(found.path).stat().st_size for found in files) > LARGEST
        return sum(scan(found).rows for found in files) if files and not takes_long else None
    except (ImportError, ChatTmplError):
        return None


def read_text(file: str) -> str:
    """Read a file, or stdin for ``-``; raise `UsageError` if it is not UTF-8."""
    data = sys.stdin.buffer.read() if file == "-" else read_bytes(Path(file))
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        name = STDIN if file == "-" else file
        raise UsageError(
            f"{name}: byte 0x{data[error.start]:02x} at offset {error.start} is not UTF-8",
            hint="convert it to UTF-8 first",
        ) from None


class Baseline:
    """The file of known findings: the one that was given, else the default one if it exists."""

    def __init__(self, given: str | None, default: str) -> None:
        self.file = Path(given or default)
        self._used = given is not None or self.file.is_file()

    def write(self, found: Sequence[TemplateDiagnostic]) -> None:
        """Write findings to the file, and say so."""
        from chattmpl.lint.baseline import write_baseline

        say(f"wrote {write_baseline(self.file, found)} known findings to {self.file}")

    def without_known(self, found: Sequence[TemplateDiagnostic]) -> list[TemplateDiagnostic]:
        """Return the findings that are not in the file; raise `UsageError` if it is not a baseline."""
        from chattmpl.lint.baseline import without_known

        return without_known(self.file, found) if self._used else [*found]


def tokenizer_of(name: str | None) -> Any:
    """Load the tokenizer of an option, if it was given; raise `EncodeError` if it cannot be loaded."""
    if name is None:
        return None
    from chattmpl.encode import load_tokenizer

    return load_tokenizer(name)


def tokenizer_beside(found: TemplateSource, given: Any, failures: Failures) -> tuple[Any, TemplateSource]:
    """Return a given tokenizer, else that of the template's model directory, and the template with its special tokens.

    A tokenizer that cannot be loaded is a failure, and None is returned for it.
    """
    if given is not None:
        return given, found.with_tokens(given.special_tokens)
    path = found.directory.tokenizer if found.directory is not None else None
    try:
        return tokenizer_of(None if path is None else str(path)), found
    except EncodeError as error:
        failures(error)
        return None, found


def with_special_tokens(template: Template, tokenizer: Any) -> Template:
    """Return a template with the special tokens of a tokenizer, or with placeholders for them, which a note names.

    Args:
        template: the template.
        tokenizer: from `tokenizer_of`; None if there is none.
    """
    from chattmpl.encode import template_for
    from chattmpl.probing.facts import placeholders_in, with_placeholders

    known = with_placeholders(template_for(template, tokenizer))
    if names := placeholders_in(known):
        note(f"placeholders stand for {', '.join(names)} in {template.name}: give --tokenizer")
    return known


def _has_lines(text: str) -> bool:
    """Return whether the first line is a complete JSON value that is followed by others."""
    first, _, rest = text.strip().partition("\n")
    if not rest:
        return False
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return False
    return True


def _relative_to(folder: Path, name: str) -> str:
    """Return the path of a template that is named in a file of a folder; other names stay as they are."""
    from chattmpl.template.family import family_names

    path = folder / name
    return str(path) if name not in family_names() and path.exists() else name


def _beside(folder: Path, name: str, file: str) -> str:
    """Return the template that a conversation names: a family, or a path inside the conversation's folder.

    Raises:
        UsageError: it leads out of the folder; conversations come from others, who must not choose what is read.
    """
    from chattmpl.template.family import family_names

    if name in family_names():
        return name
    path, inside = Path(name), folder.resolve()
    read = [folder / path, *((folder / path).iterdir() if (folder / path).is_dir() else ())]
    leads_out = not all(one.resolve().is_relative_to(inside) for one in read)
    if path.is_absolute() or ".." in path.parts or leads_out:
        raise UsageError(
            f"{file} names the template {name!r}, which is outside of its folder",
            hint="a conversation may name a family, or a file in its own folder; choose any other template with -t",
        )
    return _relative_to(folder, name)


def _of_project() -> tuple[str, str] | None:
    """Return the template of ``[tool.chattmpl]`` in the nearest pyproject.toml, and the reason to print."""
    from chattmpl.project_file import project_table

    path, table = project_table(Path.cwd()) or (None, {})
    if path is None or "template" not in table:
        return None
    name = table["template"]
    if not isinstance(name, str):
        raise UsageError(f"{path}: template must be a string", hint='as in template = "qwen3"')
    return _relative_to(path.parent, name), f"from [tool.chattmpl] in {path}"
