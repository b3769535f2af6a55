"""Families: the templates that ship, each one folder with a template and what is known of it.

A family is read from its ``family.toml``; adding one is adding a folder. Besides those that ship, families are found
in the folders that the environment variable ``CHATTMPL_TEMPLATES`` names.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from chattmpl import cache
from chattmpl.compiler.policies import POLICIES
from chattmpl.errors import FamilyError, did_you_mean
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


class Upstream(_Facts):
    """The template that the family reproduces: its hub id, and what is known of the revision."""

    name: str
    revision: str = "unknown"


class Generation(_Facts):
    """How a turn that the model samples ends, and the control tokens that the template writes."""

    stop_tokens: tuple[str, ...] = Field(min_length=1)
    control_tokens: tuple[str, ...] = ()


class Supports(_Facts):
    """What the template does with each part of a conversation."""

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
    """What upstream does with earlier reasoning; see `chattmpl.compiler.retention.Retention`."""

    default: Annotated[str, AfterValidator(_policy)]
    query: str = "message.role == 'user'"
    without_query: Literal["all", "none"] = "all"


class Mode(_Facts):
    """A template kwarg that switches behaviour, with the values worth trying."""

    values: tuple[Any, ...]
    default: Any = None
    description: str


class Kwarg(_Facts):
    """Another template kwarg."""

    description: str
    example: Any = None


class Parsers(_Facts):
    """Names of the parsers of serving engines that read what the model writes."""

    reasoning: str | None = None
    tool: str | None = None


class SequenceFacts(_Facts):
    """Things in a row: what stands before them, the patterns that each of them may have, between two, and after them.

    A pattern is text with placeholders such as ``${name}`` and ``${tool:json}``; see `chattmpl.parse.grammar`.
    """

    each: tuple[str, ...] = Field(min_length=1)
    opens: str = ""
    also_opens: tuple[str, ...] = ()
    separator: str = ""
    closes: str = ""


class TurnFacts(_Facts):
    """How a turn of a role is framed; without a role the turn is the template's own, and no message.

    Where ``each`` is given, the turn holds such things in a row, one message each; else its text is the content. Where
    ``begins`` is given, it stands behind what opens the turn, as part of the content.
    """

    role: Literal["system", "developer", "user", "assistant", "tool"] | None = None
    opens: str
    begins: str = ""
    closes: tuple[str, ...] = ("",)
    each: str | None = None
    separator: str = ""


class ReplyFacts(_Facts):
    """What the model samples: its trace, its answer, its calls, in this order, up to the stop token.

    Attributes:
        reasoning: patterns of the trace.
        empty_reasoning: whether an empty trace is something else than none.
        content: patterns of the answer, where it has a frame.
        before_calls: what stands between an answer that is not empty and the first call.
        calls: the calls; patterns have the placeholders name, arguments, id, type, content_type, or python for code.
        calls_alone: whether a call takes the place of the answer.
        verbatim_arguments: whether arguments that are a string are written as they are.
    """

    reasoning: tuple[str, ...] = ()
    empty_reasoning: bool = False
    content: tuple[str, ...] = ()
    before_calls: str = ""
    calls: SequenceFacts | None = None
    calls_alone: bool = False
    verbatim_arguments: bool = False


class ParseFacts(_Facts):
    """How a rendered text is read; turns are tried in order.

    ``system_forms`` are what a first system message may look like, with ``${system}`` for the part of it that is
    rendered as it is, where other parts are commands to the template. ``modes`` are those that a text can show to be
    switched, and ``kwargs`` patterns with the placeholder ``${value}`` for other kwargs that it shows.
    """

    system_forms: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    kwargs: dict[str, str] = {}
    turns: tuple[TurnFacts, ...] = Field(min_length=1)
    reply: ReplyFacts = ReplyFacts()
    tools: tuple[SequenceFacts, ...] = ()
    documents: tuple[SequenceFacts, ...] = ()


class Limit(_Facts):
    """Fields that the family cannot render: a declared loss."""

    fields: tuple[str, ...]
    why: str


class Divergence(_Facts):
    """Where the template differs from upstream on purpose."""

    upstream: str
    ours: str
    why: str = ""


class Defect(_Facts):
    """Something that upstream gets wrong and that is reproduced.

    Attributes:
        what: the defect.
        law: the law that it breaks, if it breaks one.
        kinds: the kinds of counterexamples of the law, if not all.
        fields: parts of the paths of fields, if only those are concerned.
        data: for fields of a counterexample's data, the texts that they begin with.
        when: a regular expression to find in the JSON of the kwargs, followed by that of the conversation.
        rules: codes of the lint rules that find it.
    """

    what: str
    law: str | None = None
    kinds: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    data: dict[str, str] = {}
    when: str = ""
    rules: tuple[str, ...] = ()

    @property
    def unconditional(self) -> bool:
        """Whether every counterexample of the law is meant."""
        return not (self.kinds or self.data or self.when)

    @field_validator("when")
    @classmethod
    def _compiles(cls, when: str) -> str:
        return _regular_expression(when)


class EngineBug(_Facts):
    """Where another engine renders the inference export differently.

    Attributes:
        engine: its name, as `chattmpl.engines.drivers` has it.
        what: the difference.
        when: a regular expression, found in the JSON of the inputs that are concerned: of an object of all variables
            that the template is given, as `json.dumps` writes it, in ASCII.
        example: variables of a render that differs, where the fixtures have none.
    """

    engine: str
    what: str
    when: str
    example: dict[str, Any] | None = None

    @field_validator("when")
    @classmethod
    def _compiles(cls, when: str) -> str:
        return _regular_expression(when)

    def concerns(self, variables: Mapping[str, object]) -> bool:
        """Whether a render with these variables may differ."""
        return re.search(self.when, json.dumps(variables)) is not None


class Family(_Facts):
    """A shipped template with what is known of it.

    ``tokens`` are kwargs that the template gets without being asked, such as ``eos_token``.
    """

    name: str
    title: str
    description: str
    upstream: Upstream | None = None
    tokens: dict[str, str] = {}
    generation: Generation
    supports: Supports
    retention: RetentionFacts | None = None
    modes: dict[str, Mode] = {}
    kwargs: dict[str, Kwarg] = {}
    parsers: dict[str, Parsers] = {}
    parse: ParseFacts | None = None
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
    """The folder of shipped data (``templates``, ``fixtures``): in the wheel, or beside the package in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / kind
    return installed if installed.is_dir() else package.parent / kind


def family_names() -> list[str]:
    """The names of all families that can be loaded, sorted."""
    found = {folder.name for root in _roots() for folder in root.iterdir() if (folder / FILE).is_file()}
    return sorted(found)


def load_family(name: str) -> Family:
    """The family of this name.

    Raises:
        FamilyError: if there is none, or its folder is not in order.
    """
    for root in _roots():
        if (root / name / FILE).is_file():
            return read_family(root / name)
    known = family_names()
    raise FamilyError(
        f"there is no family {name!r}", hint=did_you_mean(name, known) or f"the families are {', '.join(known)}"
    )


@lru_cache
def read_family(folder: Path) -> Family:
    """The family of this folder.

    Raises:
        FamilyError: if ``family.toml`` or ``template.jinja`` is missing or wrong, with the place.
    """
    path = folder / FILE
    for needed in (path, folder / TEMPLATE_FILE):
        if not needed.is_file():
            raise FamilyError(f"a family needs the file {needed}", hint="see docs/families.md for what goes into it")
    source = Source(_text(path), str(path))
    try:
        return Family.model_validate({**_parsed(source), "folder": folder})
    except ValidationError as error:
        first = error.errors()[0]
        keys = [str(key) for key in first["loc"]]
        raise FamilyError(f"{'.'.join(keys)}: {first['msg'].lower()}", place=_place(source, keys)) from None


def _parsed(source: Source) -> dict[str, Any]:
    stored: dict[str, Any] | None = cache.load("facts", source.text)
    if stored is not None:
        return stored
    import tomllib

    try:
        facts = tomllib.loads(source.text)
    except tomllib.TOMLDecodeError as error:
        raise FamilyError(f"{source.name} is not TOML: {error}") from None
    cache.store(facts, "facts", source.text)
    return facts


def _place(source: Source, keys: list[str]) -> Place | None:
    """Where the last key stands that can be found: after the keys around it, as a key or in the head of a table."""
    found = None
    position = 0
    for key in keys:
        match = re.compile(rf"(?m)^\s*(?:\[+[^\]\n]*)?\b{re.escape(key)}\b").search(source.text, position)
        if match is not None:
            position = match.end()
            found = Place(source, match.end() - len(key), match.end())
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FamilyError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from None


def _roots() -> list[Path]:
    named = [Path(root) for root in os.environ.get(SEARCH_PATH, "").split(os.pathsep) if root]
    return [root for root in (*named, shipped_folder("templates")) if root.is_dir()]
