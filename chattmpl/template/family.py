"""Families: templates with declared facts, each in one folder.

A family is a ``template.jinja`` with a ``family.toml``; to add one, add a folder. Families are found in the package, in
the folders that the environment variable ``CHATTMPL_TEMPLATES`` lists, and in those that ``families`` in
``[tool.chattmpl]`` of the nearest pyproject.toml lists.
"""

import json
import os
import re
from collections.abc import Container, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from chattmpl import cache
from chattmpl.compiler.policies import POLICIES
from chattmpl.conversation.validation_errors import dotted
from chattmpl.errors import FamilyError, UsageError, did_you_mean
from chattmpl.input_files import LARGEST_SETTINGS, parse_toml, read_config_text
from chattmpl.project_file import project_table, strings
from chattmpl.source import Place, Source

FILE = "family.toml"
TEMPLATE_FILE = "template.jinja"
SEARCH_PATH = "CHATTMPL_TEMPLATES"


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


def _regular_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    return text


_Pattern = Annotated[str, AfterValidator(_regular_expression)]


class Upstream(_Facts):
    """The template that the family reproduces: its hub id and revision."""

    name: str
    revision: str = "unknown"


class Generation(_Facts):
    """The tokens that end a sampled turn, and the control tokens that the template writes."""

    stop_tokens: tuple[str, ...] = Field(min_length=1)
    control_tokens: tuple[str, ...] = ()


class Supports(_Facts):
    """The parts of a conversation that the template renders."""

    system: bool
    developer: bool = False
    tools: bool = False
    tool_calls: bool = False
    parallel_tool_calls: bool = False
    tool_results: bool = False
    reasoning: bool = False
    documents: bool = False
    multimodal: bool = False


def _policy(name: str) -> str:
    if name not in POLICIES:
        raise ValueError(f"there is no retention policy {name!r}; the policies are {', '.join(POLICIES)}")
    return name


class RetentionFacts(_Facts):
    """The retention of the upstream template; see `chattmpl.compiler.policies.Retention`."""

    default: Annotated[str, AfterValidator(_policy)]
    query: str = "message.role == 'user'"
    without_query: Literal["all", "none"] = "all"


class DeclaredMode(_Facts):
    """A template kwarg that switches behaviour, with its values."""

    values: tuple[Any, ...]
    default: Any = None
    description: str


class Kwarg(_Facts):
    """Another template kwarg."""

    description: str
    example: Any = None


class Parsers(_Facts):
    """The parsers of a serving engine that read completions of the model."""

    reasoning: str | None = None
    tool: str | None = None


class Limit(_Facts):
    """Fields that the template cannot render, which is a declared loss."""

    fields: tuple[str, ...]
    why: str


class Divergence(_Facts):
    """An intended difference from the upstream template."""

    upstream: str
    ours: str
    why: str = ""


class Defect(_Facts):
    """A defect of the upstream template that the family reproduces.

    Attributes:
        law: the law that it breaks, if it breaks one.
        kinds: the kinds of counterexamples that it explains; all if empty.
        fields: parts of field paths, if it concerns only those fields.
        data: for fields of a counterexample's data, the prefixes of their values.
        when: a regular expression that is searched in the JSON of the kwargs followed by that of the conversation.
        rules: the codes of the lint rules that find it.
        example: a conversation that shows it, if no fixture does.
    """

    what: str
    law: str | None = None
    kinds: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    data: dict[str, str] = {}
    when: _Pattern = ""
    rules: tuple[str, ...] = ()
    example: dict[str, Any] | None = None

    @property
    def unconditional(self) -> bool:
        """True if the defect explains every counterexample of its law."""
        return not (self.kinds or self.data or self.when)


class EngineBug(_Facts):
    """A difference in how another engine renders the inference export.

    Attributes:
        engine: its name, as `chattmpl.engine` has it.
        what: the difference.
        when: a regular expression that is searched in the ASCII JSON of all variables of a render.
        example: variables of a render that differs, if no fixture shows the difference.
    """

    engine: str
    what: str
    when: _Pattern
    example: dict[str, Any] | None = None

    def __hash__(self) -> int:
        return hash((self.engine, self.what))

    def concerns(self, variables: Mapping[str, object]) -> bool:
        """Return whether a render with these variables may differ."""
        return re.search(self.when, json.dumps(variables)) is not None


class Family(_Facts):
    """A template with its declared facts, from ``family.toml``.

    ``tokens`` are kwargs of every render, such as ``eos_token``.
    """

    name: str
    title: str
    description: str
    upstream: Upstream | None = None
    tokens: dict[str, str] = {}
    generation: Generation
    supports: Supports
    retention: RetentionFacts | None = None
    modes: dict[str, DeclaredMode] = {}
    kwargs: dict[str, Kwarg] = {}
    parsers: dict[str, Parsers] = {}
    limits: tuple[Limit, ...] = ()
    divergences: tuple[Divergence, ...] = ()
    upstream_defects: tuple[Defect, ...] = ()
    engine_bugs: tuple[EngineBug, ...] = ()
    folder: Path

    @property
    def template_source(self) -> Source:
        """The template, in the dialect."""
        return Source(_text(self.folder / TEMPLATE_FILE), f"{self.name}/{TEMPLATE_FILE}")


def shipped_folder(kind: str) -> Path:
    """Return the folder of shipped data (``templates``, ``fixtures``): in the package, or next to it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / kind
    return installed if installed.is_dir() else package.parent / kind


def family_names() -> list[str]:
    """Return the sorted names of all families."""
    found = {folder.name for root in _roots() for folder in root.iterdir() if (folder / FILE).is_file()}
    return sorted(found)


def load_family(name: str) -> Family:
    """Load a family by its name.

    Raises:
        FamilyError: if there is no such family, or several, or its folder is incomplete or wrong.
    """
    folders = [root / name for root in _roots() if (root / name / FILE).is_file()]
    if len(folders) > 1:
        raise FamilyError(
            f"several families are named {name!r}: {' and '.join(map(str, folders))}", hint="rename the folder of yours"
        )
    if folders:
        family = read_family(folders[0])
        if family.name != name:
            source = Source(_text(folders[0] / FILE), str(folders[0] / FILE))
            raise FamilyError(f"name must be {name!r}, as its folder is named", place=_place(source, ["name"]))
        return family
    known = family_names()
    raise FamilyError(
        f"there is no family {name!r}", hint=did_you_mean(name, known) or f"the families are {', '.join(known)}"
    )


def family_for_tokens(contents: Container[str]) -> str | None:
    """Return the name of the family that fits a tokenizer best: by its stop token, then by its control tokens.

    Args:
        contents: the added tokens of the tokenizer.

    Returns:
        The name; None if no family fits, or families with different stop tokens fit equally.
    """
    fits = []
    for name in family_names():
        generation = load_family(name).generation
        written = {*generation.control_tokens, *generation.stop_tokens}
        known = sum(token in contents for token in written)
        if generation.stop_tokens[0] in contents:
            fits.append((-known / len(written), -known, name, generation.stop_tokens))
    fits.sort()
    best = [stop_tokens for share, _, _, stop_tokens in fits if share == fits[0][0]]
    return fits[0][2] if len(set(best)) == 1 else None


@lru_cache
def read_family(folder: Path) -> Family:
    """Read a family from its folder.

    Raises:
        FamilyError: if ``family.toml`` or ``template.jinja`` is missing or wrong, with the place.
    """
    path = folder / FILE
    for needed in (path, folder / TEMPLATE_FILE):
        if not needed.is_file():
            raise FamilyError(
                f"a family needs the file {needed}", hint="the page family.toml of the documentation lists its keys"
            )
    source = Source(_text(path), str(path))
    try:
        return Family.model_validate({**_parsed(source), "folder": folder})
    except ValidationError as error:
        raise _invalid(source, error.errors()[0]) from None


def _invalid(source: Source, detail: ErrorDetails) -> FamilyError:
    """Return the error about the first wrong key of a ``family.toml``."""
    keys = [str(key) for key in detail["loc"]]
    name = dotted(detail["loc"])
    message, hint = (
        f"{name}: {detail['msg'].removeprefix('Value error, ')}",
        "the page family.toml of the documentation lists the keys",
    )
    match detail["type"]:
        case "missing":
            message = f"{name} is missing"
        case "extra_forbidden":
            message, hint = f"there is no key {name}", did_you_mean(keys[-1], family_keys()) or hint
        case "value_error":
            pass
        case _:
            message = f"{name}: {detail['msg'].replace('Input should be', 'must be')}, not {detail['input']!r:.60}"
    place = _place(source, keys)
    return FamilyError(message if place else f"{source.name}: {message}", place=place, hint=hint)


def family_keys() -> set[str]:
    """Return the names of all keys of a ``family.toml``, those of its tables included."""
    models: list[type[BaseModel]] = [Family, *_Facts.__subclasses__()]
    return {field for model in models for field in model.model_fields} - {"folder"}


def _parsed(source: Source) -> dict[str, Any]:
    stored: dict[str, Any] | None = cache.load("facts", source.text)
    if stored is not None:
        return stored
    import tomllib

    try:
        facts = parse_toml(source.text, source.name, FamilyError)
    except tomllib.TOMLDecodeError as error:
        raise FamilyError(f"{source.name} is not TOML: {error}") from None
    cache.store(facts, "facts", source.text)
    return facts


def _place(source: Source, keys: list[str]) -> Place | None:
    """Return the place of the innermost key that can be found in the TOML text, as a key or in a table header."""
    found = None
    position = 0
    for key in keys:
        match = re.compile(rf"(?m)^\s*(?:\[+[^\]\n]*)?\b{re.escape(key)}\b").search(source.text, position)
        if match is not None:
            position = match.end()
            found = Place(source, match.end() - len(key), match.end())
    return found


def _text(path: Path) -> str:
    return read_config_text(path, FamilyError, LARGEST_SETTINGS).replace("\r\n", "\n")


def _roots() -> list[Path]:
    """Return the folders of families, the shipped ones last."""
    given = [(Path(root), f"the environment variable {SEARCH_PATH}") for root in _searched()]
    given += [(root, f"families in {path}") for path, root in _of_project(Path.cwd())]
    roots: dict[Path, Path] = {}
    for root, where in given:
        if not root.is_dir():
            raise UsageError(f"{where} names {root}, which is not a folder", hint="name a folder of families")
        if (root / FILE).is_file():
            raise UsageError(
                f"{where} names {root}, which is a family", hint=f"name the folder that holds it: {root.parent}"
            )
        roots.setdefault(root.resolve(), root)
    shipped = shipped_folder("templates")
    roots.setdefault(shipped.resolve(), shipped)
    return list(roots.values())


def _searched() -> list[str]:
    return [root for root in os.environ.get(SEARCH_PATH, "").split(os.pathsep) if root]


@lru_cache(maxsize=4)
def _of_project(folder: Path) -> list[tuple[Path, Path]]:
    """Return the folders of families that the nearest pyproject.toml names, each with the path of that file."""
    found = project_table(folder)
    if found is None or "families" not in found[1]:
        return []
    path, table = found
    named = table["families"]
    listed = strings([named] if isinstance(named, str) else named, "families", path, '"templates"')
    return [(path, path.parent / root) for root in listed]
