"""Writer of generation tags, which reads well and changes nothing but the mask.

The effect of a tag on the white space around it depends on its signs and its place. So several ways of writing it are
tried, the most readable first, until the source has the same meaning to Jinja as before.
"""

from collections.abc import Iterator
from itertools import accumulate, pairwise, product
from typing import NamedTuple

from jinja2.exceptions import TemplateSyntaxError

from chattmpl.errors import TemplateError
from chattmpl.rewrite.annotate.placement import TaggedRange
from chattmpl.syntax.layout import meaning
from chattmpl.syntax.tree import parse

_LONGEST_COPY = 160
"""Largest number of characters of one line that are written twice, with and without tags, instead of captured."""


def write_tags(source: str, runs: list[TaggedRange]) -> str:
    """Return the source with tags around each range; raise `TemplateError` if there is no way to write them."""
    for run in sorted(runs, key=lambda run: run.start, reverse=True):
        source = _write_one(source, run)
    return source


class _Way(NamedTuple):
    """A new source.

    Attributes:
        holes: the ranges that were inserted.
        tagged: the range of the text with the tags around it.
        copy: the range of a copy of the text, without tags.
    """

    text: str
    holes: list[tuple[int, int]]
    tagged: tuple[int, int]
    copy: tuple[int, int] | None


def _write_one(source: str, run: TaggedRange) -> str:
    wanted = meaning(source)
    copied = meaning(source, only=(run.start, run.end))
    for way in _ways(source, run):
        try:
            if meaning(way.text, without=way.holes, copy=way.copy) != wanted:
                continue
            # A newline of the text must not move into the tag on the same line.
            if meaning(way.text, only=way.tagged, without=way.holes) != copied:
                continue
            if way.copy is not None and meaning(way.text, only=way.copy) != copied:
                continue
            # Nor may white space between the branches of a condition become text of one of them.
            inner = way.holes[1:-1] if run.guard is not None else []
            if not any(kind == "data" for each in inner for kind, _ in meaning(way.text, only=each)):
                return way.text
        except TemplateSyntaxError:
            continue
    raise TemplateError("every way of writing a generation tag here changes white space")


def _ways(source: str, run: TaggedRange) -> Iterator[_Way]:
    """Yield new sources, the most readable first."""
    inside = source[run.start : run.end]
    dashed = source[run.start : run.start + 3] in ("{{-", "{%-") or inside.endswith(("-}}", "-%}"))
    name = _free_name(source) if run.guard is not None and ("\n" in inside or len(inside) > _LONGEST_COPY) else None
    for (before, opening), (closing, after) in _placed(source, run, dashed):
        if run.guard is None:
            pieces = [before, opening, inside, closing, after]
        elif name is not None:
            pieces = [before, *_captured(run, name, inside, opening, closing), after]
        else:
            pieces = [before, *_copied(run, inside, opening, closing), after]
        ends = accumulate(map(len, pieces), initial=run.start)
        ranges = list(pairwise(ends))
        own = [index for index, piece in enumerate(pieces) if piece is inside]
        text = own[-1] if run.negated and name is None else own[0]
        copy = next((ranges[index] for index in own if index != text), None)
        holes = [each for index, each in enumerate(ranges) if index not in own]
        tagged = (ranges[text - 1][0], ranges[text + 1][1])
        yield _Way(f"{source[: run.start]}{''.join(pieces)}{source[run.end :]}", holes, tagged, copy)


def _copied(run: TaggedRange, inside: str, opening: str, closing: str) -> list[str]:
    """Return the text twice, in the two branches of a condition, one of them with tags."""
    indent, more = _indents(opening)
    start, end = opening.strip(), closing.strip()
    condition = f"{start.replace('generation', f'if {run.guard}')}{more}"
    otherwise, last = (indent + end.replace("endgeneration", word) for word in ("else", "endif"))
    if run.negated:
        return [condition, inside, otherwise + more, start, inside, end, last]
    return [condition, start, inside, end, otherwise + more, inside, last]


def _captured(run: TaggedRange, name: str, inside: str, opening: str, closing: str) -> list[str]:
    """Return the text captured in a variable, which is written with or without tags."""
    indent, more = _indents(opening)
    sign = "-" if more else ""
    tagged = f"{more}{{%{sign} generation %}}{{{{ {name} }}}}{{% endgeneration %}}"
    bare = f"{more}{{{{{sign} {name} }}}}"
    first, second = (bare, tagged) if run.negated else (tagged, bare)
    tail = f"{indent}{{%{sign} if {run.guard} %}}{first}{indent}{{%{sign} else %}}{second}"
    start = opening.replace("generation", f"set {name}")
    ends = [closing.replace("endgeneration", word) for word in ("endset", "endif")]
    return [start, inside, ends[0], tail, ends[1]]


def _indents(opening: str) -> tuple[str, str]:
    """Return a newline with the indent of a tag, and with that of what is inside; empty for tags within a line."""
    indent = opening[opening.index("\n") :] if "\n" in opening else ""
    return indent, indent and f"{indent}    "


def _free_name(source: str) -> str:
    """Return a name for a variable that the template does not use."""
    names = parse(source).names
    return next(name for name in ("answer", "answer_text", "generated_answer_text") if name not in names)


def _placed(source: str, run: TaggedRange, dashed: bool) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """Yield ways to write the pair of tags: text before the opening, the opening, the closing, and text after it."""
    line = source.rfind("\n", 0, run.start) + 1
    indent = source[line : run.start]
    end_of_line = source.find("\n", run.end)
    rest = source[run.end :] if end_of_line < 0 else source[run.end : end_of_line]
    first = not indent.strip() and line > 0
    alone = first and not rest.strip()
    signs = [("-", ""), ("-", "-"), ("", ""), ("", "-")] if dashed else [("", ""), ("-", ""), ("-", "-"), ("", "-")]
    pairs = sorted(product(signs, signs), key=lambda pair: (pair[0] != pair[1], signs.index(pair[0])))
    several = "\n" in source[run.start : run.end] and run.guard is None
    # The texts before and after the opening, and before and after the closing.
    layouts = [("", f"\n{indent}", f"\n{indent}", "")] if alone else []
    if first and several:
        layouts.append(("", f"\n{indent}", "", ""))
    elif several and not rest.strip():
        last = source[source.rfind("\n", 0, run.end) + 1 : run.end]
        layouts.append(("", "", f"\n{last[: len(last) - len(last.lstrip())]}", ""))
    # An empty output protects white space at the start of a line, which Jinja would strip as indentation.
    layouts += [("", "", "", ""), ("", "", "", "\n"), ('{{ "" }}', "\n", "", "\n")]
    for before, opened, closing, after in layouts:
        for (a, b), (c, d) in pairs:
            opening = f"{{%{a} generation {b}%}}{opened}"
            yield (before, opening), (f"{closing}{{%{c} endgeneration {d}%}}", after)
