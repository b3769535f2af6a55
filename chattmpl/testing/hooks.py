"""The pytest hooks of a run in which templates are configured."""

from __future__ import annotations  # pytest before 8.4 does not export all names of its types

import os
import re
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any, cast

import pytest

from chattmpl import bounds
from chattmpl.errors import ChatTmplError
from chattmpl.testing import snapshots
from chattmpl.testing.nodes import NOTE, FamilyNode, RenderingItem, SubjectItem, TemplateFile, test_folder
from chattmpl.testing.settings import PytestSettings

_SUFFIXES = (".jinja", ".jinja2", ".j2", ".json", ".gguf")
_TEST = re.compile(r"[\[.]")
"""The end of a test's name within the name of its snapshot; parameters or the snapshot's own name follow."""

_MOST_NOTES = 20
"""Limit of the lines in the summary, for runs that write many snapshots."""


class Hooks:
    """The hooks that pytest calls in each process of a run.

    Args:
        settings: the settings of the run.
    """

    def __init__(self, settings: PytestSettings) -> None:
        self.settings = settings
        self._added: set[Path] = set()
        self._stale: set[str] = set()

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Check the settings before anything is collected, and bound the templates that are rendered in this process.

        Raises:
            pytest.UsageError: for the first error.
        """
        bounds.enforce()
        # Python tests need no templates.
        only_python = all(argument.partition("::")[0].endswith(".py") for argument in session.config.args)
        if only_python and not self._wants_all(session.config):
            return
        try:
            self.settings.check()
        except ChatTmplError as error:
            raise pytest.UsageError(f"chattmpl: {error}") from None

    def pytest_unconfigure(self) -> None:
        """Leave the process as it was, since pytest may run in a program."""
        bounds.release()

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> TemplateFile | None:
        """Collect a file that pytest encounters if it is one of the templates."""
        if file_path.suffix not in _SUFFIXES or file_path in self._added or file_path not in self.settings.paths:
            return None
        return self._file(parent, file_path)

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Add the templates to the collection of the session, wherever they are."""
        report = yield
        if isinstance(collector, pytest.Session) and report.passed and self._wants_all(collector.config):
            report.result.extend(self._nodes(collector))
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attribute a skip to the template and not to a line of this package, so that pytest folds equal skips."""
        report = yield
        if isinstance(item, SubjectItem) and report.skipped and isinstance(report.longrepr, tuple):
            reason = report.longrepr[2].removeprefix("Skipped: ")
            # None, because the skip concerns the whole template; pytest then prints no line.
            report.longrepr = (item.subject.entry.name, cast(int, None), reason)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Find stale snapshots before tests are deselected."""
        if any("::" in argument for argument in self.settings.config.args):
            return
        if self.settings.other_conversations:
            items = [item for item in items if not isinstance(item, RenderingItem)]
        self._stale |= {str(path) for path in stale_snapshots(items)}

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Send the findings of a worker process to the main process."""
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["chattmpl_stale"] = sorted(self._stale)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Receive the findings of a worker process."""
        self._stale.update(getattr(node, "workeroutput", {}).get("chattmpl_stale", ()))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print laws that were not evaluated, and snapshots that were written, are stale or were removed."""
        stale = [os.path.relpath(path, self.settings.config.invocation_params.dir) for path in sorted(self._stale)]
        lines = list(dict.fromkeys(_notes(terminalreporter)))
        if self.settings.update:
            for path in self._stale:
                Path(path).unlink(missing_ok=True)
            lines += [f"stale snapshot removed: {path}" for path in stale]
        else:
            hint = "no test or conversation uses it (--chattmpl-update removes it)"
            lines += [f"stale snapshot: {path}: {hint}" for path in stale]
        if not lines:
            return
        terminalreporter.section("chattmpl", sep="-")
        for line in lines[:_MOST_NOTES]:
            terminalreporter.line(line)
        if len(lines) > _MOST_NOTES:
            terminalreporter.line(f"… and {len(lines) - _MOST_NOTES} more")

    def _wants_all(self, config: pytest.Config) -> bool:
        """Return whether to collect templates that pytest does not encounter by itself.

        They are not collected if the command line names certain tests, unless it also names templates.
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
    """Yield the snapshots that belong to none of the items, in the folders that the items use.

    Snapshots of a Python test are matched by its name alone, because its parameters may be templates of another run.
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


def _notes(reporter: pytest.TerminalReporter) -> Iterable[str]:
    """Yield the notes that items stored in their user properties."""
    for reports in reporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                yield from (str(value) for name, value in report.user_properties if name == NOTE)
