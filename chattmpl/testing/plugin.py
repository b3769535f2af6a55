"""The entry point of the pytest plugin: laws and renderings of templates as test items, and fixtures.

Only pytest is imported until a run asks for templates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from chattmpl.template.template import Template
    from chattmpl.testing.fixtures import RenderingSnapshot
    from chattmpl.testing.settings import NamedConversation

_LISTS = {
    "templates": "templates to check: families, .jinja files, folders, glob patterns, model directories, configs",
    "conversations": "conversations to check on: files, folders, glob patterns or 'shipped' (default: shipped)",
    "law": "laws to check (default: all)",
    "retention": "retention policies for templates with a reasoning block (default: the template's own)",
}
_METAVARS = {"templates": "PATH", "conversations": "FILE", "law": "LAW", "retention": "POLICY"}
_INI = {"law": "laws"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, each with its key in the configuration."""
    group = parser.getgroup("chattmpl", "chat templates")
    for name, what in _LISTS.items():
        help_text = f"{what} (may be repeated)"
        group.addoption(f"--chattmpl-{name}", action="append", default=[], metavar=_METAVARS[name], help=help_text)
        parser.addini(f"chattmpl_{_INI.get(name, name)}", what, type="linelist", default=[])
    what = "tokenizer for the laws about tokens: demo, a tokenizer.json, a model directory or a hub id (default: none)"
    group.addoption("--chattmpl-tokenizer", metavar="T", help=what)
    parser.addini("chattmpl_tokenizer", what, default="")
    what = "compare every rendering with its snapshot, and fail if it is missing"
    group.addoption("--chattmpl-snapshots", action="store_true", help=what)
    parser.addini("chattmpl_snapshots", what, type="bool", default=False)
    group.addoption("--chattmpl-update", action="store_true", help="write snapshots and remove stale ones")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers, and register the hooks if templates are configured."""
    config.addinivalue_line("markers", "chattmpl: an item that checks a chat template")
    config.addinivalue_line(
        "markers", "chat_template(which, retention=None, variant=None): the template of the fixture chat_template"
    )
    used = ("chattmpl_templates", "chattmpl_update", "chattmpl_snapshots")
    if not (any(config.getoption(name) for name in used) or config.getini("chattmpl_templates")):
        return
    from chattmpl.testing.fixtures import settings_of
    from chattmpl.testing.hooks import Hooks

    config.pluginmanager.register(Hooks(settings_of(config)), "chattmpl-hooks")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize a test over the configured templates if it uses ``chat_template`` without naming one."""
    if "chat_template" in metafunc.fixturenames:
        from chattmpl.testing.fixtures import parametrize

        parametrize(metafunc)


@pytest.fixture
def chat_template(request: pytest.FixtureRequest) -> Template:
    """Return the template of the marker ``chat_template``, or else each configured one in turn."""
    from chattmpl.testing.fixtures import template_for

    return template_for(request)


@pytest.fixture(scope="session")
def conversations(pytestconfig: pytest.Config) -> list[NamedConversation]:
    """Return the configured conversations with their names, or else those that ship with chattmpl."""
    from chattmpl.testing.fixtures import settings_of

    return settings_of(pytestconfig).conversations


@pytest.fixture
def rendering_snapshot(request: pytest.FixtureRequest) -> RenderingSnapshot:
    """Return a function that compares a rendering with its snapshot, which ``--chattmpl-update`` writes."""
    from chattmpl.testing.fixtures import RenderingSnapshot

    return RenderingSnapshot(request)
