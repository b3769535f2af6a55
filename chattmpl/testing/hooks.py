"""The hooks of a run in which templates are configured."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any, cast

import pytest

from chattmpl.errors import ChatTmplError
from chattmpl.testing import snapshots
from chattmpl.testing.nodes import NOTE, FamilyNode, RenderingItem, SubjectItem, TemplateFile, test_folder
from chattmpl.testing.settings import Settings

_SUFFIXES = (".jinja", ".jinja2", ".j2", ".json", ".gguf")
_TEST = re.compile(r"[\[.]")
"""What ends the name of a test in that of its snapshot: parameters, or a name that tells it from others."""

_MOST_NOTES = 20
"""Lines of the summary of a kind; a run that writes all snapshots should not list them all."""


class Hooks:
    """What pytest calls, in each process of a run.

    Args:
        settings: of the run.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._added: set[Path] = set()
        self._stale: set[str] = set()

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Say what is wrong with the settings before anything is collected.

        Raises:
            pytest.UsageError: for the first thing that is wrong.
        """
        if not self._wants_all(session.config) and all(_is_python(argument) for argument in session.config.args):
            return
        try:
            self.settings.check()
        except ChatTmplError as error:
            raise pytest.UsageError(f"chattmpl: {error}") from None

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> TemplateFile | None:
        """A file that pytest came by and that is one of the templates."""
        if file_path.suffix not in _SUFFIXES or file_path in self._added or file_path not in self.settings.paths:
            return None
        return self._file(parent, file_path)

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Add the templates to what the session collects, wherever they stand."""
        report = yield
        if isinstance(collector, pytest.Session) and report.passed and self._wants_all(collector.config):
            report.result.extend(self._nodes(collector))
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """A skip is one of the template's, not of a line of this package; so equal ones are told once."""
        report = yield
        if isinstance(item, SubjectItem) and report.skipped and isinstance(report.longrepr, tuple):
            reason = report.longrepr[2].removeprefix("Skipped: ")
            # Without a line: a template as a whole is meant, and pytest prints none then.
            report.longrepr = (item.subject.entry.name, cast(int, None), reason)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Before anything is deselected: which snapshots belong to no conversation and no test any more."""
        if any("::" in argument for argument in self.settings.config.args):
            return
        if self.settings.other_conversations:
            items = [item for item in items if not isinstance(item, RenderingItem)]
        self._stale |= {str(path) for path in stale_snapshots(items)}

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A worker hands on what it saw."""
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["chattmpl_stale"] = sorted(self._stale)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """What a worker saw."""
        self._stale.update(getattr(node, "workeroutput", {}).get("chattmpl_stale", ()))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """What no single item tells: laws that were not evaluated, snapshots written, stale, or removed."""
        stale = [os.path.relpath(path, self.settings.config.invocation_params.dir) for path in sorted(self._stale)]
        lines = list(dict.fromkeys(_notes(terminalreporter)))
        if self.settings.update:
            for path in self._stale:
                Path(path).unlink(missing_ok=True)
            lines += [f"stale snapshot removed: {path}" for path in stale]
        else:
            lines += [f"stale snapshot: {path}: nothing has that name any more (--chattmpl-update removes it)"
                      for path in stale]  # fmt: skip
        if not lines:
            return
        terminalreporter.section("chattmpl", sep="-")
        for line in lines[:_MOST_NOTES]:
            terminalreporter.line(line)
        if len(lines) > _MOST_NOTES:
            terminalreporter.line(f"… and {len(lines) - _MOST_NOTES} more")

    def _wants_all(self, config: pytest.Config) -> bool:
        """Whether templates are collected that pytest does not come by itself.

        Not where somebody asked for certain tests; unless the templates were asked for in the same breath.
        """
        if config.args_source is not pytest.Config.ArgsSource.ARGS:
            return True
        paths = {Path(config.invocation_params.dir, argument.partition("::")[0]) for argument in config.args}
        return self.settings.on_command_line and not paths & self.settings.paths

    def _nodes(self, session: pytest.Session) -> Iterable[pytest.Collector]:
        for entry in self.settings.entries:
            if entry.path is None:
                node = FamilyNode.from_parent(session, name=entry.name, nodeid=entry.name)
                node.settings, node.entries = self.settings, [entry]
                yield node
            elif entry.path not in self._added:
                self._added.add(entry.path)
                yield self._file(session, entry.path)

    def _file(self, parent: pytest.Collector, path: Path) -> TemplateFile:
        node = TemplateFile.from_parent(parent, path=path)
        node.settings = self.settings
        node.entries = [entry for entry in self.settings.entries if entry.path == path]
        return node


def stale_snapshots(items: Iterable[pytest.Item]) -> Iterable[Path]:
    """The snapshots beside those of the items that belong to none of them, in folders that any of them uses.

    Those of a test in Python are known by its name alone: its parameters may be templates of another run.
    """
    kept: dict[Path, set[str]] = {}
    for item in items:
        if isinstance(item, RenderingItem):
            kept.setdefault(item.folder, set()).add(item.snapshot.stem)
        elif isinstance(item, pytest.Function) and "rendering_snapshot" in item.fixturenames:
            kept.setdefault(test_folder(item), set()).add(item.originalname)
    for folder, names in kept.items():
        for path in sorted(folder.glob(f"*{snapshots.SUFFIX}")):
            if not {path.stem, _TEST.split(path.stem)[0]} & names:
                yield path


def _is_python(argument: str) -> bool:
    """Whether it names tests in Python, which need no template to be looked at."""
    return argument.partition("::")[0].endswith(".py")


def _notes(reporter: pytest.TerminalReporter) -> Iterable[str]:
    """What items told by their user properties."""
    for reports in reporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                yield from (str(value) for name, value in report.user_properties if name == NOTE)
