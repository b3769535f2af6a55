"""Generation tags of families, spoilt in a known way and then repaired: the mask is again what the family's own is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

import pytest

from chattmpl import Template
from chattmpl.errors import ChatTmplError
from chattmpl.rewrite.annotate.refusal import CannotAnnotate

_TURNS = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Yo"},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "So long"},
]
_CODE = re.compile(r"\{[{%#].*?[}%#]\}", re.DOTALL)
_OPENING = re.compile(r"\{%-?\s*generation\s*-?%\}")
_CLOSING = re.compile(r"\{%-?\s*endgeneration\s*-?%\}")

HEADER, STOP, NEWLINE = "header", "stop", "newline"
"""The header in the loss, the stop token outside, the newline behind it inside."""

# Some families write no newline behind the stop token, and the largest ones take longest.
CASES = [
    *((name, HEADER) for name in ("chatml", "deepseek_r1", "gemma3", "qwen3", "smollm3")),
    *((name, STOP) for name in ("chatml", "deepseek_r1", "gemma3", "llama3", "qwen3", "smollm3")),
    *((name, NEWLINE) for name in ("chatml", "qwen3", "smollm3")),
]


@lru_cache
def _source(name: str) -> str:
    """The family as one file of plain Jinja, with its tags."""
    template = Template.load(name)
    # What history drops no tags can make lawful.
    return (template if template.retention is None else template.with_retention("all")).export("train")


def _template(name: str, source: str) -> Template:
    return Template.from_source(source, name=f"{name}.jinja", tokens=dict(Template.load(name).tokens))


def _generated(template: Template) -> list[str]:
    rendering = template.render(_TURNS)
    return [rendering.text[start:end] for start, end in rendering.generated]


@lru_cache
def _planted(name: str, defect: str) -> str | None:
    """The family with one defect in the tags of its answers; None where its source leaves no place for it."""
    source, right = _source(name), _generated(_template(name, _source(name)))
    for candidate in _candidates(source, defect):
        try:
            made = _template(name, candidate)
            wrong = _generated(made)
        except ChatTmplError:  # a tag moved across another one
            continue
        if made.render(_TURNS).text != _template(name, source).render(_TURNS).text:
            continue
        if len(wrong) == len(right) and all(map(_is(defect), wrong, right)):
            return candidate
    return None


def _is(defect: str) -> Callable[[str, str], bool]:
    return {
        HEADER: lambda wrong, right: wrong.endswith(right) and wrong != right,
        STOP: lambda wrong, right: right.startswith(wrong) and wrong != right,
        NEWLINE: lambda wrong, right: wrong.startswith(right) and wrong != right and not wrong[len(right) :].strip(),
    }[defect]


def _candidates(source: str, defect: str) -> Iterator[str]:
    """Sources in which one tag has moved: an opening one to the left, a closing one to the right, or into the span."""
    for tag in (_OPENING if defect == HEADER else _CLOSING).finditer(source):
        rest = source[: tag.start()] + source[tag.end() :]
        inside = {at for match in _CODE.finditer(rest) for at in range(match.start() + 1, match.end())}
        step = 1 if defect == NEWLINE else -1
        near = range(tag.start() + step, tag.start() + 1_000 * step, step)
        free = [at for at in near if 0 <= at <= len(rest) and at not in inside]
        edges = {edge for match in _CODE.finditer(rest) for edge in match.span()}
        for at in dict.fromkeys([*free[:6], *[at for at in free if at in edges][:8]]):
            yield rest[:at] + tag[0] + rest[at:]
        yield from _moved_over_words(source, tag, defect)


def _moved_over_words(source: str, tag: re.Match[str], defect: str) -> list[str]:
    """Where all is joined in one output: the text is cut, and the tag put there."""
    if defect != STOP:
        return []
    joined = re.search(r"(\s*[+~]\s*)('<[^']*'|\"<[^\"]*\")\s*(-?\}\}\s*)$", source[: tag.start()])
    if joined is None:
        return []
    head = source[: joined.start()] + " }}"
    return [head + tag[0] + "{{ " + joined[2] + " " + joined[3] + source[tag.end() :]]


def test_each_defect_is_planted_in_several_families() -> None:
    assert len({name for name, _ in CASES}) >= 6
    assert all(_planted(name, defect) is not None for name, defect in CASES)


@pytest.mark.parametrize(("name", "defect"), CASES)
def test_tags_that_were_spoilt_are_refused_and_repaired(name: str, defect: str) -> None:
    source = _planted(name, defect)
    assert source is not None
    template = _template(name, source)
    with pytest.raises(CannotAnnotate, match="its generation tags are not lawful"):
        template.annotate(examples=2)
    mended = template.annotate(repair=True, examples=2)
    assert mended.render(_TURNS).text == template.render(_TURNS).text
    assert _generated(mended) == _generated(_template(name, _source(name)))
