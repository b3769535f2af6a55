"""Docstrings, messages, help and documents read as plain technical English."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import ROOT

MODULES = [*sorted((ROOT / "chattmpl").rglob("*.py")), *sorted((ROOT / "bench").rglob("*.py"))]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]

OPENERS = re.compile(r"(What|How|Where|Why|Which|Who|Whom|When)\b")
"""Words with which a docstring asks a question. ``Whether`` may open the docstring of a property."""

BANNED = re.compile(
    r"\b(nobody|so many|lawful|unlawful|mend(s|ed)?|is told|are told|the way out|one of ours|stands in for|"
    r"as many \w+ as|such that it|of its own making|what stands|what there is|"
    r"what is told|all is well|as no prompt|be meant|lets speak|gone through|at hand|what it holds|what shows)\b",
    re.IGNORECASE,
)
"""Words that read as if translated."""


def _documented(path: Path) -> Iterator[tuple[str, str, bool]]:
    """Yield the place, the text and the kind of each docstring; True for a property."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                decorators = [ast.unparse(each) for each in getattr(node, "decorator_list", [])]
                place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"
                yield place, text, any("property" in each for each in decorators)


def _strings(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each string, docstrings included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value


def test_no_docstring_opens_with_a_question_word() -> None:
    found = [(place, text.splitlines()[0]) for path in MODULES for place, text, _ in _documented(path)]
    assert [place for place, text in found if OPENERS.match(text)] == []


def test_only_properties_open_with_whether() -> None:
    found = [item for path in MODULES for item in _documented(path)]
    assert [place for place, text, is_property in found if text.startswith("Whether") and not is_property] == []


def test_no_string_of_the_package_has_a_banned_word() -> None:
    found = [(place, match[0]) for path in MODULES for place, text in _strings(path) if (match := BANNED.search(text))]
    assert found == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_has_a_banned_word(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [(number, match[0]) for number, line in enumerate(lines, 1) if (match := BANNED.search(line))] == []


@pytest.mark.parametrize("text", ["Nobody reads it.", "It mends it.", "a lawful template", "This is told on stderr."])
def test_banned_words_are_found(text: str) -> None:
    assert BANNED.search(text)
    assert OPENERS.match("What a template does.")
