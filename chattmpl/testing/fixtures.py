"""The implementation of the plugin's fixtures."""

from pathlib import Path
from typing import Any

import pytest

from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.template.template import Rendering, Template
from chattmpl.testing import snapshots
from chattmpl.testing.nodes import Broken, compare, test_folder
from chattmpl.testing.settings import PytestSettings, Subject

MARKER = "chat_template"
_SETTINGS = pytest.StashKey[PytestSettings]()


def settings_of(config: pytest.Config) -> PytestSettings:
    """Return the settings of a run, which are read once."""
    if _SETTINGS not in config.stash:
        config.stash[_SETTINGS] = PytestSettings(config)
    return config.stash[_SETTINGS]


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Run a test once for each configured template, unless the test names its template."""
    marked = metafunc.definition.get_closest_marker(MARKER) is not None
    settings = settings_of(metafunc.config)
    if marked or not settings.wanted or _is_parametrized(metafunc):
        return
    given: list[Subject | ChatTmplError] = []
    names: list[str] = []
    try:
        for entry in settings.entries:
            names.append(entry.name)
            subjects = settings.subjects(entry)
            names[-1:] = [subject.label for subject in subjects]
            given += subjects
    except ChatTmplError as error:
        # The fixture reports it, as one message without a traceback.
        given.append(error)
    metafunc.parametrize(MARKER, given, indirect=True, ids=names[: len(given)])


def template_for(request: pytest.FixtureRequest) -> Template:
    """Return the template of a test: the one of its marker, or else of its parameter."""
    try:
        return _template(request)
    except ChatTmplError as error:
        message = str(error)
    pytest.fail(message, pytrace=False)


def _template(request: pytest.FixtureRequest) -> Template:
    marker = request.node.get_closest_marker(MARKER)
    given = getattr(request, "param", None)
    if marker is not None:
        return _load(request.path.parent, *marker.args, **marker.kwargs)
    if isinstance(given, Subject):
        return given.template
    if isinstance(given, ChatTmplError):
        raise given
    if given is not None:
        return _load(request.path.parent, given)
    hint = '--chattmpl-templates PATH, or @pytest.mark.chat_template("PATH")'
    raise UsageError("chat_template: no template is configured", hint=hint)


class RenderingSnapshot:
    """The comparison of renderings with the snapshots of a test, in the folder ``__chattmpl__`` next to its file.

    Args:
        request: the request of the test.
    """

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._item: pytest.Item = request.node
        self._update = settings_of(request.config).update

    def __call__(self, rendering: Rendering, name: str | None = None) -> None:
        """Fail the test if the text or the generated spans differ from the snapshot; a name distinguishes several of
        one test.
        """
        test = self._item.name if name is None else f"{self._item.name}.{name}"
        path = test_folder(self._item) / snapshots.file_name(test)
        text = None
        try:
            compare(self._item, path, snapshots.picture(rendering), self._update)
        except Broken as broken:
            text = broken.text
        if text is not None:
            pytest.fail(text, pytrace=False)


def _load(folder: Path, which: Any, **options: Any) -> Template:
    """Load a template by name or path, which may be relative to the folder of the test."""
    beside = folder / which if isinstance(which, (str, Path)) else None
    return Template.load(beside if beside is not None and beside.is_file() else which, **options)


def _is_parametrized(metafunc: pytest.Metafunc) -> bool:
    for mark in metafunc.definition.iter_markers("parametrize"):
        names = mark.args[0] if mark.args else mark.kwargs.get("argnames", ())
        if MARKER in ([name.strip() for name in names.split(",")] if isinstance(names, str) else names):
            return True
    return False
