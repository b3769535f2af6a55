"""The items that pytest runs: a law or a rendering of a template on a conversation."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest._code.code import ExceptionChainRepr, ReprFileLocation, ReprTracebackNative, TerminalRepr

from chattmpl.errors import ChatTmplError
from chattmpl.laws import Law, NotEvaluated
from chattmpl.report.laws import counterexample_text, headline
from chattmpl.testing import snapshots
from chattmpl.testing.settings import NamedConversation, PytestSettings, Subject, TemplateEntry, remedy
from chattmpl.testing.verdict import Judge, Judgement

MARKER = "chattmpl"
RENDERING = "rendering"
NOTE = "chattmpl"
"""Name of the user properties in which items store notes for the summary."""


class Broken(Exception):
    """The failure of an item.

    Args:
        text: the full text.
        summary: one line.
        line: line of the template, or 1 if unknown.
    """

    def __init__(self, text: str, summary: str, line: int = 1) -> None:
        super().__init__(text)
        self.text = text
        self.summary = summary
        self.line = line


class _Templates(pytest.Collector):
    """The templates of one file, or of a family."""

    settings: PytestSettings
    entries: list[TemplateEntry]

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """Yield a collector for each variant and policy, or the laws directly if there is only one."""
        try:
            subjects = [subject for entry in self.entries for subject in self.settings.subjects(entry)]
        except ChatTmplError as error:
            raise self.CollectError(str(error)) from None
        for subject in subjects:
            judge = Judge(subject.template, self.settings.tokenizer)
            yield from _children(self, self.settings, subject, judge, subject.parts)


class TemplateFile(_Templates, pytest.File):
    """The templates of one file."""


class FamilyNode(_Templates):
    """The template of a family."""


class GroupCollector(pytest.Collector):
    """A variant, a policy or a law."""

    children: list[pytest.Item | pytest.Collector]

    def collect(self) -> list[pytest.Item | pytest.Collector]:
        """Return the children."""
        return self.children


def _children(
    parent: pytest.Collector, settings: PytestSettings, subject: Subject, judge: Judge, parts: tuple[str, ...]
) -> Iterator[pytest.Item | pytest.Collector]:
    if parts:
        group = GroupCollector.from_parent(parent, name=parts[0])
        group.children = list(_children(group, settings, subject, judge, parts[1:]))
        yield group
        return
    for law in settings.laws:
        outcome = settings.unevaluated.get(law.name)
        if outcome is not None:
            yield _item(UnevaluatedItem, parent, law.name, settings, subject, outcome=outcome)
            continue
        group = GroupCollector.from_parent(parent, name=law.name)
        group.children = [
            _item(LawItem, group, named.name, settings, subject, law=law, conversation=named, judge=judge)
            for named in settings.conversations
        ]
        yield group
    folder = snapshot_folder(settings, subject)
    if settings.snapshots or settings.update or folder.is_dir():
        group = GroupCollector.from_parent(parent, name=RENDERING)
        group.children = [
            _item(RenderingItem, group, named.name, settings, subject, conversation=named, folder=folder, judge=judge)
            for named in settings.conversations
        ]
        yield group


def _item(
    kind: type[SubjectItem],
    parent: pytest.Collector,
    name: str,
    settings: PytestSettings,
    subject: Subject,
    **given: Any,
) -> SubjectItem:
    item = kind.from_parent(parent, name=name)
    item.settings, item.subject = settings, subject
    for key, value in given.items():
        setattr(item, key, value)
    item.add_marker(MARKER)
    return item


def snapshot_folder(settings: PytestSettings, subject: Subject) -> Path:
    """Return the snapshot folder of a template, which is next to its file, or in the root folder for a family."""
    path = subject.entry.path
    root = settings.config.rootpath if path is None else path.parent
    name = ".".join((subject.entry.name if path is None else path.stem, *subject.parts))
    return root / snapshots.FOLDER / name


def test_folder(item: pytest.Item) -> Path:
    """Return the snapshot folder of a Python test, which is next to its file."""
    return item.path.parent / snapshots.FOLDER / item.path.stem


class SubjectItem(pytest.Item):
    """An item about a template."""

    settings: PytestSettings
    subject: Subject

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        """Return the template and the id in it, without a line, which failures report themselves."""
        return self.subject.entry.path or self.path, None, self.nodeid.partition("::")[2]

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str | TerminalRepr:
        """Return a failure without a traceback; unexpected errors keep theirs."""
        error = excinfo.value
        if isinstance(error, Broken):
            # The only representation that keeps its summary when it is sent from a worker process.
            location = ReprFileLocation(self.subject.entry.name, error.line, error.summary)
            return ExceptionChainRepr([(ReprTracebackNative([f"{error.text}\n"]), location, None)])
        if isinstance(error, (pytest.xfail.Exception, pytest.skip.Exception)):
            return str(error.msg)
        return super().repr_failure(excinfo)

    def expected(self, reason: str, broken: Broken) -> None:
        """End as an expected failure; with ``--runxfail``, raise `Broken`."""
        if not self.config.getoption("runxfail"):
            pytest.xfail(reason)
        raise broken


class UnevaluatedItem(SubjectItem):
    """A law that cannot be evaluated without a tokenizer or an engine. It never passes."""

    outcome: NotEvaluated

    def runtest(self) -> None:
        """Report the missing tokenizer or engine."""
        why, hint = self.outcome.why, remedy(self.outcome)
        self.user_properties.append((NOTE, f"{self.name} was not evaluated: {why}; {hint}"))
        text = f"{self.subject.label}: {self.name}: not evaluated: {why}\nhint: {hint}"
        self.expected(f"not evaluated: {why}", Broken(text, f"not evaluated: {why}"))


class LawItem(SubjectItem):
    """A law on a conversation, in every mode of the template."""

    law: Law
    conversation: NamedConversation
    judge: Judge

    def runtest(self) -> None:
        """Check the law on the conversation; raise `Broken` if there is an undeclared counterexample."""
        judgement = self.judge.judge(self.law, self.conversation.conversation)
        if judgement.word == "holds":
            return
        if judgement.word == "does not apply":
            self._renders()
            pytest.skip(f"does not apply: {judgement.why}")
        broken = self._broken(judgement)
        if judgement.word == "broken":
            raise broken
        self.expected(judgement.why if judgement.found else broken.summary, broken)

    def _broken(self, judgement: Judgement) -> Broken:
        """Return the failure, with each cause in full at its first occurrence and in short afterwards."""
        label = self.subject.label
        if not judgement.found:
            return Broken(
                f"{label}: {self.law.name}: not evaluated: {judgement.why}", f"not evaluated: {judgement.why}"
            )
        shown = []
        for here, smallest in judgement.found:
            first = self.judge.shown_by(smallest, self.nodeid)
            if first == self.nodeid:
                shown.append(counterexample_text(smallest, label))
            else:
                shown.append(f"{headline(here, label)}\nthe same cause as in {first}")
        here = judgement.found[0][0]
        more = f" (and {len(shown) - 1} more)" if len(shown) > 1 else ""
        return Broken("\n\n".join(shown), f"{here.message}{more}", here.place.line if here.place else 1)

    def _renders(self) -> None:
        """Fail if the template renders no conversation at all, because then no law applies."""
        conversations = [named.conversation for named in self.settings.conversations]
        why = self.judge.refusal(self.conversation.conversation)
        if why is not None and not self.judge.renders_any(conversations):
            text = f"{self.subject.label}: the template renders none of the {len(conversations)} conversations: {why}"
            hint = "hint: name suitable conversations with --chattmpl-conversations"
            raise Broken(f"{text}\n{hint}", f"renders no conversation: {why}")


class RenderingItem(SubjectItem):
    """The comparison of a rendering and its generated spans with a snapshot."""

    conversation: NamedConversation
    folder: Path
    judge: Judge

    @property
    def snapshot(self) -> Path:
        """The file."""
        return self.folder / snapshots.file_name(self.conversation.name)

    def runtest(self) -> None:
        """Compare the rendering, or write the snapshot with ``--chattmpl-update``.

        Raises:
            Broken: if the snapshot is missing or differs.
        """
        try:
            text = snapshots.picture(self.judge.rendering(self.conversation.conversation))
        except ChatTmplError as error:
            text = snapshots.refusal(error)
        compare(self, self.snapshot, text, self.settings.update)


def compare(item: pytest.Item, path: Path, text: str, update: bool) -> None:
    """Compare a text with its snapshot, or write the snapshot; raise `Broken` if the snapshot is missing or differs."""
    shown = os.path.relpath(path, item.config.invocation_params.dir)
    if update:
        if snapshots.write(path, text):
            item.user_properties.append((NOTE, f"snapshot written: {shown}"))
        return
    if not path.is_file():
        raise Broken(f"missing snapshot {shown}\nhint: write it with --chattmpl-update", f"no snapshot {shown}")
    difference = snapshots.compare(path, text)
    if difference is not None:
        hint = "hint: if the change is intended, update the snapshot with --chattmpl-update"
        raise Broken(f"the rendering differs from {shown}\n{difference}\n{hint}", f"differs from {shown}")
