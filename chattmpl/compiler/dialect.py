"""Checks of the two tags that chattmpl adds to Jinja.

``{% generation %}…{% endgeneration %}`` holds what the model samples; ``<% generation %>`` is the same tag in authoring
delimiters, for templates made by a tool that owns ``{% %}``. ``{% reasoning %}…{% else %}…{% endreasoning %}`` is
rendered when the retention policy keeps the trace of the message being rendered.
"""

from collections import Counter
from collections.abc import Callable
from typing import NoReturn, TypeVar

from jinja2.exceptions import TemplateSyntaxError

from chattmpl.compiler.errors import syntax_error
from chattmpl.errors import TemplateError
from chattmpl.source import Place, Source
from chattmpl.syntax.items import DIALECT_TAGS, Tag
from chattmpl.syntax.lexer import normalize_newlines, plain_delimiters
from chattmpl.syntax.tree import Tree, parse

_Read = TypeVar("_Read")


def plain_source(source: Source) -> Source:
    """Return the source with LF newlines and Jinja's own delimiters around each tag.

    Raises:
        TemplateError: for what Jinja's lexer does not accept.
    """
    text = normalize_newlines(source.text)
    return source.with_text(_read(plain_delimiters, text, source.with_text(text)))


def checked_tree(source: Source) -> Tree:
    """Parse a source and check how the tags of the dialect are nested.

    Raises:
        TemplateError: for a tag of the dialect that is unclosed, crossed, nested in a tag of its name or closes
            nothing, and for what Jinja's lexer does not accept.
    """
    tree = _read(parse, source.text, source)
    open_tags: list[Tag] = []
    open_names: Counter[str] = Counter()
    for tag in tree.tags:
        own = tag.name.removeprefix("end") in DIALECT_TAGS
        if own and tag.body:
            raise TemplateError(
                f"{{% {tag.name} %}} takes no arguments, but has {tag.body!r}",
                place=_place(source, tag),
                hint="remove what follows the name; put a condition into an {% if %} around the block",
            )
        if tag.opens:
            if own and open_names[tag.name]:
                _refuse_nesting(source, tag, open_tags)
            open_tags.append(tag)
            open_names[tag.name] += 1
        elif tag.closes:
            _close(source, tag, open_tags, open_names)
    for tag in open_tags:
        if tag.name in DIALECT_TAGS:
            raise TemplateError(
                f"{{% {tag.name} %}} is never closed",
                place=_place(source, tag),
                hint=f"close it with {{% end{tag.name} %}}",
            )
    return tree


def _read(read: Callable[[str], _Read], text: str, source: Source) -> _Read:
    try:
        return read(text)
    except TemplateSyntaxError as error:
        raise syntax_error(error, source) from None


def _place(source: Source, tag: Tag) -> Place:
    return Place(source, tag.start, tag.end)


def _refuse_nesting(source: Source, tag: Tag, open_tags: list[Tag]) -> NoReturn:
    outer = next(outer for outer in open_tags if outer.name == tag.name)
    line, _ = source.position(outer.start)
    raise TemplateError(
        f"{{% {tag.name} %}} inside the {{% {tag.name} %}} of line {line}",
        place=_place(source, tag),
        hint=f"end the outer one first with {{% end{tag.name} %}}, or remove this one",
    )


def _close(source: Source, tag: Tag, open_tags: list[Tag], open_names: Counter[str]) -> None:
    """Close the tag that an end tag belongs to; mistakes among Jinja's own tags are left for Jinja to report."""
    name = tag.name[3:]
    if open_tags and open_tags[-1].name == name:
        open_names[open_tags.pop().name] -= 1
        return
    closes = open_names[name] > 0
    inner = open_tags[-1] if open_tags else None
    if name in DIALECT_TAGS:
        if closes and inner is not None:
            line, _ = source.position(inner.start)
            raise TemplateError(
                f"{{% {tag.name} %}} where the {{% {inner.name} %}} of line {line} is still open",
                place=_place(source, tag),
                hint=f"move it after the {{% end{inner.name} %}}, or close that block first",
            )
        raise TemplateError(
            f"{{% {tag.name} %}} without a {{% {name} %}} before it",
            place=_place(source, tag),
            hint="remove it, or add the opening tag",
        )
    if closes and inner is not None and inner.name in DIALECT_TAGS:
        raise TemplateError(
            f"{{% {tag.name} %}} where a {{% {inner.name} %}} is still open",
            place=_place(source, inner),
            hint=f"close it with {{% end{inner.name} %}} before the {{% {tag.name} %}} of line "
            f"{source.position(tag.start)[0]}",
        )
    while open_tags and open_tags[-1].name not in DIALECT_TAGS:
        closed = open_tags.pop().name
        open_names[closed] -= 1
        if closed == name:
            break
