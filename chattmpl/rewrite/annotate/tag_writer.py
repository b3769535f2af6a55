"""Writer of generation tags, which reads well and changes nothing but the mask.

The effect of a tag on the white space around it depends on its signs and its place. So several ways of writing it are
tried, the most readable first, until the source has the same meaning to Jinja as before.
"""

from collections.abc import Iterator
from itertools import product

from jinja2.exceptions import TemplateSyntaxError

from chattmpl.errors import TemplateError
from chattmpl.rewrite.annotate.placement import TaggedRange
from chattmpl.syntax.layout import meaning


def write_tags(source: str, runs: list[TaggedRange]) -> str:
    """Return the source with tags around each range; raise `TemplateError` if there is no way to write them."""
    for run in sorted(runs, key=lambda run: run.start, reverse=True):
        source = _write_one(source, run)
    return source


def _write_one(source: str, run: TaggedRange) -> str:
    wanted = meaning(source)
    copied = meaning(source, only=(run.start, run.end))
    for new, holes, tagged, copy in _ways(source, run):
        try:
            if meaning(new, without=holes, copy=copy) != wanted:
                continue
            # A newline of the text must not move into the tag on the same line.
            if meaning(new, only=tagged, without=holes) != copied:
                continue
            if copy is None or meaning(new, only=copy) == copied:
                return new
        except TemplateSyntaxError:
            continue
    raise TemplateError("every way of writing a generation tag here changes white space")


def _ways(
    source: str, run: TaggedRange
) -> Iterator[tuple[str, list[tuple[int, int]], tuple[int, int], tuple[int, int] | None]]:
    """Yield new sources, each with the inserted ranges, the range of the tag, and that of the copy for other roles."""
    inside = source[run.start : run.end]
    dashed = source[run.start : run.start + 3] in ("{{-", "{%-") or inside.endswith(("-}}", "-%}"))
    for (before, opening), (closing, after) in _placed(source, run, dashed):
        head = f"{before}{opening}"
        tail = f"{closing}"
        copy = None
        if run.guard is not None:
            head, tail, copy_at = _guarded(run.guard, inside, before, opening, closing)
            copy = copy_at
        new = f"{source[: run.start]}{head}{inside}{tail}{after}{source[run.end :]}"
        opened = (run.start, run.start + len(head))
        closed_at = opened[1] + len(inside)
        holes = [opened, (closed_at, closed_at + len(tail) + len(after))]
        shifted = None if copy is None else (closed_at + copy[0], closed_at + copy[1])
        yield new, holes, (opened[0], closed_at + len(closing)), shifted


def _guarded(guard: str, inside: str, before: str, opening: str, closing: str) -> tuple[str, str, tuple[int, int]]:
    """Return the opening, the closing with the copy for other roles, and the range of the copy in the closing."""
    condition = opening.replace("generation", f"if {guard}")
    otherwise = closing.replace("endgeneration", "else")
    end = closing.replace("endgeneration", "endif")
    indent = opening[opening.index("\n") :] if "\n" in opening else ""
    tail = f"{closing}{otherwise}{indent}"
    return f"{before}{condition}{opening}", f"{tail}{inside}{end}", (len(tail), len(tail) + len(inside))


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
