"""The two tags that chattmpl adds to Jinja: where they stand in a source, and whether they stand well.

``{% generation %}…{% endgeneration %}`` holds what the model samples; ``<% generation %>`` is the same tag in authoring
delimiters, for templates made by a tool that owns ``{% %}``. ``{% reasoning %}…{% else %}…{% endreasoning %}`` is
rendered when the retention policy keeps the trace of the message being rendered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from jinja2 import Environment
from jinja2.exceptions import TemplateSyntaxError

from chattmpl.compiler.errors import syntax_error
from chattmpl.errors import TemplateError
from chattmpl.source import Place, Source
from chattmpl.syntax.lexer import tokens

TAGS = ("generation", "reasoning")

_AUTHORING = re.compile(r"<%([-+]?)(\s*)((?:end)?generation)(\s*)([-+]?)%>")
OPENERS = frozenset({"for", "if", "macro", "call", "filter", "block", "autoescape", "with", "trans", *TAGS})
"""Tags that have an end tag; so has a ``set`` without ``=``."""


@dataclass(frozen=True)
class Tag:
    """One block tag of the source.

    Attributes:
        name: its first word (``for``, ``endgeneration``).
        start, end: its character range with delimiters; whitespace that it trims is not part of it.
        left, right: its whitespace signs, ``-``, ``+`` or nothing.
        body: what stands after the name.
    """

    name: str
    start: int
    end: int
    left: str
    right: str
    body: str

    def rewritten(self, name_and_body: str) -> str:
        """The tag with other words between the same delimiters."""
        return f"{{%{self.left} {name_and_body} {self.right}%}}"


@dataclass(frozen=True)
class Block:
    """A block tag with its end: ``{% for %}…{% endfor %}``.

    Attributes:
        parents: the blocks around it, the outermost first.
        otherwise: its ``else`` tag, if it has one.
    """

    tag: Tag
    end: Tag
    parents: tuple[Tag, ...]
    otherwise: Tag | None = None


@dataclass(frozen=True)
class Outline:
    """The block structure of a source: its tags in order, and the blocks of the dialect."""

    source: Source
    tags: tuple[Tag, ...]
    generation: tuple[Block, ...]
    reasoning: tuple[Block, ...]
    names: frozenset[str]
    """Every identifier that stands in a tag or an expression."""


def with_plain_delimiters(text: str, environment: Environment) -> str:
    """The source with authoring delimiters turned into Jinja's own.

    Only in text: what looks like such a tag inside a comment, a string or a raw block is left alone.
    """
    if "<%" not in text:
        return text
    pieces = []
    raw = False
    for _, kind, value in _all(text, environment):
        raw = kind == "raw_begin" or (raw and kind != "raw_end")
        pieces.append((value, kind == "data" and not raw))
    position = 0
    result = ""
    for value, is_text in pieces:
        start = text.index(value, position)
        result += text[position:start]
        result += _AUTHORING.sub(r"{%\1\2\3\4\5%}", value) if is_text else value
        position = start + len(value)
    return result + text[position:]


def outline(source: Source, environment: Environment) -> Outline:
    """Find the tags of a source and check how those of the dialect are nested.

    Raises:
        TemplateError: for a tag of the dialect that is unclosed, crossed, nested in its like or ends nothing.
    """
    raw = _all(source.text, environment, source)
    tags = list(_block_tags(source, raw))
    generation: list[Block] = []
    reasoning: list[Block] = []
    open_tags: list[Tag] = []
    otherwise: dict[Tag, Tag] = {}
    for tag in tags:
        if tag.name.removeprefix("end") in TAGS and tag.body:
            raise TemplateError(
                f"{{% {tag.name} %}} takes nothing but its name, not {tag.body!r}",
                place=Place(source, tag.start, tag.end),
                hint="remove what follows the name; a condition goes into an {% if %} of its own",
            )
        if tag.name == "else" and open_tags:
            otherwise[open_tags[-1]] = tag
        elif tag.name in OPENERS or (tag.name == "set" and "=" not in tag.body):
            if tag.name in TAGS:
                _check_nesting(source, tag, open_tags)
            open_tags.append(tag)
        elif tag.name.startswith("end"):
            opener = _close(source, tag, open_tags)
            if opener is not None and opener.name in TAGS:
                found = generation if opener.name == "generation" else reasoning
                found.append(Block(opener, tag, tuple(open_tags), otherwise.get(opener)))
    for tag in open_tags:
        if tag.name in TAGS:
            raise TemplateError(
                f"{{% {tag.name} %}} is never closed",
                place=Place(source, tag.start, tag.end),
                hint=f"close it with {{% end{tag.name} %}}",
            )
    names = frozenset(value for _, kind, value in raw if kind == "name")
    return Outline(source, tuple(tags), tuple(generation), tuple(reasoning), names)


def _all(text: str, environment: Environment, source: Source | None = None) -> list[tuple[int, str, str]]:
    try:
        return list(tokens(text))
    except TemplateSyntaxError as error:
        raise syntax_error(error, source or Source(text), environment) from None


def _block_tags(source: Source, raw: list[tuple[int, str, str]]) -> list[Tag]:
    tags = []
    start = 0
    words: list[str] = []
    inside = False
    left = ""
    for offset, kind, value in raw:
        if kind == "block_begin":
            start, words, inside, left = offset, [], True, value[2:3]
        elif kind == "block_end" and inside:
            inside = False
            sign = value[0] if value[0] in "-+" else ""
            end = offset + len(value.rstrip()) if sign != "-" else offset + 3
            # The name is the first token; what follows is kept as it was written.
            name = words[0] if words else ""
            body = source.text[start + 2 + len(left) : offset].strip()[len(name) :].strip()
            tags.append(Tag(name, start, end, left, sign, body))
        elif inside and kind != "whitespace":
            words.append(value)
    return tags


def _check_nesting(source: Source, tag: Tag, open_tags: list[Tag]) -> None:
    for outer in open_tags:
        if outer.name == tag.name:
            line, _ = source.position(outer.start)
            raise TemplateError(
                f"{{% {tag.name} %}} inside the {{% {tag.name} %}} of line {line}",
                place=Place(source, tag.start, tag.end),
                hint=f"end the outer one first with {{% end{tag.name} %}}, or remove this one",
            )


def _close(source: Source, tag: Tag, open_tags: list[Tag]) -> Tag | None:
    """The opener that an end tag closes; mistakes among Jinja's own tags are left for Jinja to report."""
    name = tag.name[3:]
    if open_tags and open_tags[-1].name == name:
        return open_tags.pop()
    place = Place(source, tag.start, tag.end)
    if name in TAGS:
        if any(outer.name == name for outer in open_tags):
            inner = open_tags[-1]
            line, _ = source.position(inner.start)
            raise TemplateError(
                f"{{% {tag.name} %}} where the {{% {inner.name} %}} of line {line} is still open",
                place=place,
                hint=f"move it after the {{% end{inner.name} %}}, or close that block first",
            )
        raise TemplateError(
            f"{{% {tag.name} %}} without a {{% {name} %}} before it",
            place=place,
            hint="remove it, or add the opening tag",
        )
    if open_tags and open_tags[-1].name in TAGS and any(outer.name == name for outer in open_tags):
        inner = open_tags[-1]
        raise TemplateError(
            f"{{% {tag.name} %}} where a {{% {inner.name} %}} is still open",
            place=Place(source, inner.start, inner.end),
            hint=f"close it with {{% end{inner.name} %}} before the {{% {tag.name} %}} of line "
            f"{source.position(tag.start)[0]}",
        )
    while open_tags and open_tags[-1].name not in TAGS:
        if open_tags.pop().name == name:
            break
    return None
