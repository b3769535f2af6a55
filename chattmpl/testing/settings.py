"""The settings of a run: options of pytest's command line, and pytest's configuration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from chattmpl.errors import TemplateError, UsageError

if TYPE_CHECKING:
    from chattmpl.conversation.models import Conversation
    from chattmpl.laws import Law, NotEvaluated
    from chattmpl.template.resolver import TemplateSource
    from chattmpl.template.template import Template

SHIPPED = "shipped"
"""Stands for the conversations that ship with chattmpl."""


class NamedConversation(NamedTuple):
    """A conversation and its name in test ids: its file, with an index if the file holds several."""

    name: str
    conversation: Conversation


@dataclass(frozen=True, eq=False)
class TemplateEntry:
    """A template that is not compiled yet.

    Attributes:
        name: its path or family, as in messages.
        path: its file; None for a family.
        variant: its name among several in one file; None if it is the only one.
    """

    name: str
    path: Path | None
    variant: str | None
    found: TemplateSource


@dataclass(frozen=True, eq=False)
class Subject:
    """A compiled template under a retention policy.

    ``parts`` are variant and policy, as far as they distinguish it from other templates of the same file.
    """

    entry: TemplateEntry
    parts: tuple[str, ...]
    template: Template

    @property
    def label(self) -> str:
        """The name with the parts, as in test ids."""
        return "::".join((self.entry.name, *self.parts))


class PytestSettings:
    """The settings of one run of pytest, each read at its first use.

    Args:
        config: the configuration of the run.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self._compiled: dict[TemplateEntry, list[Subject]] = {}
        self.on_command_line = bool(config.getoption("chattmpl_templates"))
        self.other_conversations = bool(config.getoption("chattmpl_conversations"))
        self.update = bool(config.getoption("chattmpl_update"))
        self.snapshots = bool(config.getoption("chattmpl_snapshots") or config.getini("chattmpl_snapshots"))

    @property
    def wanted(self) -> bool:
        """True if any template is configured."""
        return bool(self._patterns)

    @cached_property
    def entries(self) -> list[TemplateEntry]:
        """The templates, in the order of the settings.

        Raises:
            UsageError: for a path that does not exist.
            TemplateError: for a file that holds no template.
        """
        return list(self._found())

    def subjects(self, entry: TemplateEntry) -> list[Subject]:
        """Compile a template under each policy, or once if it has no reasoning block.

        Raises:
            TemplateError: if it does not compile.
        """
        if entry not in self._compiled:
            self._compiled[entry] = list(_subjects(entry, self._values("retention"), self.tokenizer))
        return self._compiled[entry]

    @cached_property
    def paths(self) -> frozenset[Path]:
        """The files of the templates."""
        return frozenset(entry.path for entry in self.entries if entry.path is not None)

    @cached_property
    def conversations(self) -> list[NamedConversation]:
        """The conversations, in the order of the settings, or else those that ship with chattmpl.

        Raises:
            UsageError: for a path that does not exist, and for two conversations of the same name.
            ConversationError: for a file that cannot be read as conversations.
        """
        found: dict[str, NamedConversation] = {}
        for path in self._conversation_files():
            for item in _read(path):
                if item.name in found:
                    raise UsageError(f"two conversations have the name {item.name!r}", hint=f"rename the file {path}")
                found[item.name] = item
        return list(found.values())

    @cached_property
    def laws(self) -> list[Law]:
        """The laws to check; raise `UsageError` for a law that does not exist."""
        from chattmpl.laws import laws_named

        return laws_named(self._values("law") or self._ini("laws") or None)

    @cached_property
    def tokenizer(self) -> Any:
        """The loaded tokenizer, or None; raise `EncodeError` if it cannot be loaded."""
        given = self.config.getoption("chattmpl_tokenizer")
        name = given or self.config.getini("chattmpl_tokenizer")
        if not name:
            return None
        from chattmpl.encode import load_tokenizer

        beside = self.config.rootpath / name
        return load_tokenizer(str(beside) if not given and beside.exists() else name)

    @cached_property
    def unevaluated(self) -> dict[str, NotEvaluated]:
        """The laws that cannot be checked in this run, and what is missing: a tokenizer, an engine.

        Found by checking them on a template that obeys them all.
        """
        from chattmpl.laws import Case, NotEvaluated, evaluate
        from chattmpl.template.template import Template

        case = Case(Template.from_source(_VALID), [{"role": "user", "content": "Hi"}], tokenizer=self.tokenizer)
        outcomes = {law.name: evaluate(law, case) for law in self.laws}
        return {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, NotEvaluated)}

    def check(self) -> None:
        """Read all settings, so that errors are reported before any test runs.

        Raises:
            ChatTmplError: for the first error.
        """
        _ = self.entries, self.conversations, self.tokenizer
        chosen = {law.name for law in self.laws}
        for name in self._values("law"):
            if name in chosen & self.unevaluated.keys():
                missing = self.unevaluated[name]
                raise UsageError(f"the law {name!r} cannot be evaluated: {missing.why}", hint=remedy(missing))
        self._check_policies()

    def _check_policies(self) -> None:
        from chattmpl.compiler.policies import NAMES, check_policy

        policies = [check_policy(name, NAMES) for name in self._values("retention")]
        if not policies:
            return
        for entry in self.entries:
            try:
                if any(subject.template.retention for subject in self.subjects(entry)):
                    return
            except TemplateError:
                return  # reported when the template is collected
        raise UsageError(
            f"no template has a {{% reasoning %}} block for the retention policy {policies[0]!r}",
            hint="remove --chattmpl-retention (chattmpl_retention)",
        )

    @cached_property
    def _patterns(self) -> list[str]:
        given = self._values("templates")
        return given or [self._from_root(pattern) for pattern in self._ini("templates")]

    def _found(self) -> Iterator[TemplateEntry]:
        from chattmpl.template.resolver import find_templates

        found: dict[tuple[str, str], tuple[Path | None, TemplateSource]] = {}
        for pattern in self._patterns:
            for item in find_templates([pattern]):
                file = None if item.path is None else item.path.absolute()
                found.setdefault((item.source.name, item.source.text), (file, item))
        files = [file for file, _ in found.values()]
        for file, item in found.values():
            if file is None:
                yield TemplateEntry(item.family.name if item.family else item.source.name, None, None, item)
            else:
                yield TemplateEntry(self._shown(file), file, _variant(item) if files.count(file) > 1 else None, item)

    def _shown(self, path: Path) -> str:
        root = self.config.rootpath
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)

    def _from_root(self, pattern: str) -> str:
        """Resolve a path of the configuration, which is relative to the root folder."""
        from chattmpl.template.family import family_names

        if pattern in family_names() or Path(pattern).is_absolute():
            return pattern
        path, here = self.config.rootpath / pattern, Path.cwd()
        # Messages name templates by these paths, so they should be short.
        return str(path.relative_to(here) if path.is_relative_to(here) else path)

    def _conversation_files(self) -> Iterator[Path]:
        from chattmpl.conversation.files import find_conversation_files
        from chattmpl.template.family import shipped_folder

        given = self._values("conversations")
        patterns = given or [self._rooted(pattern) for pattern in self._ini("conversations")] or [SHIPPED]
        for pattern in patterns:
            yield from find_conversation_files(str(shipped_folder("fixtures")) if pattern == SHIPPED else pattern)

    def _rooted(self, pattern: str) -> str:
        return pattern if pattern == SHIPPED else str(self.config.rootpath / pattern)

    def _values(self, name: str) -> list[str]:
        """Return the values of an option that may be repeated."""
        given = self.config.getoption(f"chattmpl_{name}") or []
        if not given and name == "retention":
            given = self._ini(name)
        return list(given)

    def _ini(self, name: str) -> list[str]:
        return list(self.config.getini(f"chattmpl_{name}"))


_VALID = (
    "{% for m in messages %}{{ '<' ~ m.role ~ '>' }}{% generation %}{{ m.content }}{% endgeneration %}{{ '\\n' }}"
    "{% endfor %}"
)


def remedy(outcome: NotEvaluated) -> str:
    """Return a hint that says how to provide the tokenizer or engine that a law needs."""
    if outcome.missing == "tokenizer":
        return "--chattmpl-tokenizer names one"
    return "pip install 'chattmpl[engines]'"


def _variant(found: TemplateSource) -> str:
    """Return the name of a template among several in one file."""
    inside = found.source.name[len(str(found.path)) + 1 :]
    return inside.partition("[")[2].rstrip("]") or inside


def _subjects(entry: TemplateEntry, policies: list[str], tokenizer: Any) -> Iterator[Subject]:
    from chattmpl.laws.checker import to_check

    template = to_check(entry.found, tokenizer=tokenizer)
    parts = (entry.variant,) if entry.variant else ()
    if template.retention is None or not policies:
        yield Subject(entry, parts, template)
        return
    for policy in policies:
        shown = (policy,) if len(policies) > 1 else ()
        yield Subject(entry, (*parts, *shown), template.with_retention(policy))


def _read(path: Path) -> Iterator[NamedConversation]:
    from chattmpl.conversation.files import load_conversations

    read = list(load_conversations(path))
    for index, conversation in enumerate(read):
        yield NamedConversation(f"{path.stem}[{index}]" if len(read) > 1 else path.stem, conversation)
