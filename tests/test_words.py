"""Docstrings, messages, help and documents read as plain technical English."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from support import ROOT

PACKAGE = sorted((ROOT / "chattmpl").rglob("*.py"))
BENCHES = sorted((ROOT / "bench").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]

QUESTION = "What|How|Where|Why|Which|Who|Whom|When"
OPENERS = re.compile(rf"(?:{QUESTION})\b")
"""Words with which a docstring asks a question. ``Whether`` may open the docstring of a property."""

ROUNDABOUT = re.compile(
    rf"(?:Return|Yield|Find|Describe|Check|Write|Choose|Report) (?:{QUESTION.lower()})\b(?! it does\b)|"
    r"(?:Tell whether|Iterate over)\b"
)
"""Openings that name a question instead of a thing: "Return what a kwarg does" for "Return the effects of a kwarg"."""

BANNED = re.compile(
    r"\b(?:nobody|so many|lawful|unlawful|mend(?:s|ed)?|is told|are told|the way out|one of ours|stands in for|"
    r"as many \w+ as|such that it|of its own making|what stands|what there is|what becomes of|"
    r"what is told|all is well|as no prompt|be meant|lets speak|gone through|at hand|what it holds|what shows)\b",
    re.IGNORECASE,
)
"""Words that read as if translated."""

BANNED_IN_PACKAGE = re.compile(r"(?<![\w-])(?:beside|behind|of (?:its|their) own|exclude each other)(?![\w-])")
"""More of these, in docstrings and messages: "next to", "after", "separate", "mutually exclusive" are plainer."""

WITHOUT_MESSAGE = ("KeyboardInterrupt", "TemplateSyntaxError")
"""Exceptions that have no message, or any of Jinja's."""


@cache
def _nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def _documented(path: Path) -> Iterator[tuple[str, str, bool]]:
    """Yield the place, the text and the kind of each docstring, those of constants included; True for a property."""
    for node in _nodes(path):
        decorators = [ast.unparse(each) for each in getattr(node, "decorator_list", [])]
        body = getattr(node, "body", None)
        for index, item in enumerate(body if isinstance(body, list) else ()):
            if (
                isinstance(item, ast.Expr)
                and isinstance(item.value, ast.Constant)
                and isinstance(item.value.value, str)
            ):
                is_property = index == 0 and any("property" in each for each in decorators)
                yield f"{path.relative_to(ROOT)}:{item.lineno}", item.value.value.strip(), is_property


def _strings(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each string, docstrings included."""
    for node in _nodes(path):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value


def test_no_docstring_opens_with_a_question_word() -> None:
    found = [
        (place, text.splitlines()[0]) for path in PACKAGE + BENCHES for place, text, _ in _documented(path) if text
    ]
    assert [(place, text) for place, text in found if OPENERS.match(text)] == []


def test_no_docstring_names_a_question_instead_of_a_thing() -> None:
    found = [(place, text.splitlines()[0]) for path in PACKAGE for place, text, _ in _documented(path) if text]
    assert [(place, text) for place, text in found if ROUNDABOUT.match(text)] == []


def test_only_properties_open_with_whether() -> None:
    found = [item for path in PACKAGE + BENCHES for item in _documented(path)]
    assert [place for place, text, is_property in found if text.startswith("Whether") and not is_property] == []


@pytest.mark.parametrize(
    ("paths", "banned"),
    [(PACKAGE + BENCHES, BANNED), (PACKAGE, BANNED_IN_PACKAGE)],
    ids=["everywhere", "in the package"],
)
def test_no_string_has_a_banned_word(paths: list[Path], banned: re.Pattern[str]) -> None:
    found = [(place, match[0]) for path in paths for place, text in _strings(path) if (match := banned.search(text))]
    assert found == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_has_a_banned_word(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [(number, match[0]) for number, line in enumerate(lines, 1) if (match := BANNED.search(line))] == []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (BANNED, "Nobody reads it."),
        (BANNED, "It mends it."),
        (BANNED, "a lawful template"),
        (BANNED, "This is told on stderr."),
        (BANNED_IN_PACKAGE, "the file beside it"),
        (BANNED_IN_PACKAGE, "a token of its own"),
        (OPENERS, "What a template does."),
        (ROUNDABOUT, "Return what a template does."),
        (ROUNDABOUT, "Tell whether it is one."),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_banned_words_are_found(pattern: re.Pattern[str], text: str) -> None:
    assert pattern.search(text)


def test_each_expected_exception_has_an_expected_message() -> None:
    missing = []
    for path in TESTS:
        for node in _nodes(path):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.raises":
                named = any(keyword.arg == "match" for keyword in node.keywords)
                if not named and ast.unparse(node.args[0]) not in WITHOUT_MESSAGE:
                    missing.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert missing == []
