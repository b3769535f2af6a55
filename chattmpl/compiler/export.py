"""From a source in the dialect to plain Jinja: one writer, two targets.

Tags are replaced one by one in the source text, so comments, layout and whitespace control survive.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from jinja2 import Environment

from chattmpl.compiler.dialect import OPENERS, Block, Outline, Tag, outline
from chattmpl.compiler.policies import Retention
from chattmpl.compiler.retention import lower_reasoning
from chattmpl.errors import TemplateError, UsageError
from chattmpl.source import Place, Source
from chattmpl.syntax.edits import Edit, Edited, apply_edits
from chattmpl.syntax.lexer import tokens

Target = Literal["train", "inference"]
TARGETS: tuple[Target, ...] = ("train", "inference")


def lower(parsed: Outline, retention: Retention) -> Edited:
    """The source with reasoning tags turned into conditions; generation tags stay."""
    return apply_edits(parsed.source.text, lower_reasoning(parsed, retention))


def export(parsed: Outline, retention: Retention, target: Target, environment: Environment) -> str:
    """Plain Jinja that renders the same text as the source.

    Args:
        parsed: the source, outlined.
        retention: the policy that it is lowered with.
        environment: a template environment, for its lexer.
        target: ``train`` keeps the generation tags, for transformers and trl; ``inference`` has none of them.

    Raises:
        TemplateError: for a template that has no such form, with the reason.
        UsageError: for a target that does not exist.
    """
    if target not in TARGETS:
        raise UsageError(f"there is no target {target!r}", hint=f"the targets are {' and '.join(TARGETS)}")
    text = lower(parsed, retention).text
    if target == "train":
        _refuse_jumps(parsed)
        return text
    return without_generation(Source(text, parsed.source.name), environment)


def without_generation(source: Source, environment: Environment) -> str:
    """The source without its generation tags, which renders the same text; reasoning tags stay."""
    text = source.text
    while (blocks := outline(Source(text, source.name), environment).generation) != ():
        text = _without(text, blocks[0], environment)
    return text


def _refuse_jumps(parsed: Outline) -> None:
    """Refuse ``break`` and ``continue`` out of a generation tag, which transformers compiles to a function."""
    for block in parsed.generation:
        for tag in _inside(parsed, block):
            loops = [t for t in _inside(parsed, block) if t.start < tag.start and t.name in ("for", "endfor")]
            depth = sum(1 if t.name == "for" else -1 for t in loops)
            if tag.name in ("break", "continue") and depth == 0:
                raise TemplateError(
                    f"transformers cannot compile {{% {tag.name} %}} inside a generation tag",
                    place=Place(parsed.source, tag.start, tag.end),
                    hint=f"close the tag before the {{% {tag.name} %}}, or export with target='inference'",
                )


def _inside(parsed: Outline, block: Block) -> list[Tag]:
    return [tag for tag in parsed.tags if block.tag.end <= tag.start and tag.end <= block.end.start]


def _without(text: str, block: Block, environment: Environment) -> str:
    """The text without the tags of one generation block."""
    if _leaks(text, block, environment):
        return apply_edits(
            text,
            [
                Edit(block.tag.start, block.tag.end, block.tag.rewritten("with")),
                Edit(block.end.start, block.end.end, block.end.rewritten("endwith")),
            ],
        ).text
    # The end first, so that the offsets of the opening tag stay true.
    for tag in (block.end, block.tag):
        wanted = _stream(text, environment, without=tag)
        text = next(new for new in _removals(text, tag) if _stream(new, environment) == wanted)
    return text


def _leaks(text: str, block: Block, environment: Environment) -> bool:
    """Whether an assignment inside the block would be seen outside of it, once the block is gone."""
    parsed = outline(Source(text), environment)
    start, end = _reach(parsed, block)
    apart = [(block.tag.start, block.end.end), *_other_branches(parsed, block)]
    outside = {
        value
        for offset, kind, value in tokens(text)
        if kind == "name" and start <= offset < end and not any(first <= offset < last for first, last in apart)
    }
    depth = 0
    for tag in _inside(parsed, block):
        # What is assigned in an inner scope, such as that of a loop, is lost at its end already.
        if depth == 0 and not outside.isdisjoint(_assigned(tag)):
            return True
        if tag.name in _SCOPES or (tag.name == "set" and "=" not in tag.body):
            depth += 1
        elif tag.name == "endset" or tag.name.removeprefix("end") in _SCOPES:
            depth -= 1
    return False


def _reach(parsed: Outline, block: Block) -> tuple[int, int]:
    """The range of the text in which an assignment inside the block could be seen, were it not for the block.

    In the body of a loop that is what follows, up to its end: each round begins without what the last one assigned.
    A macro in that body may be called after the block, wherever it stands.
    """
    scopes = [tag for tag in block.parents if tag.name in _SCOPES]
    if not scopes or scopes[-1].name != "for":
        return 0, len(parsed.source.text)
    scope, depth = scopes[-1], 0
    for tag in parsed.tags:
        if tag.start <= scope.start:
            continue
        if tag.name == "endfor" and depth == 0:
            return block.end.end, tag.start
        depth += {"for": 1, "endfor": -1}.get(tag.name, 0)
        if tag.name == "macro" and tag.start < block.tag.start:
            break
    return scope.start, len(parsed.source.text)


def _other_branches(parsed: Outline, block: Block) -> list[tuple[int, int]]:
    """What follows the block in a condition around it, up to the condition's end: it runs where the block does not."""
    found = []
    around = list(block.parents)
    other: dict[Tag, int] = {}
    depth = 0
    for tag in parsed.tags:
        if tag.start < block.end.end or not around:
            continue
        if tag.name in OPENERS or (tag.name == "set" and "=" not in tag.body):
            depth += 1
        elif tag.name.startswith("end") and depth:
            depth -= 1
        elif tag.name.startswith("end"):
            closed = around.pop()
            if closed in other:
                found.append((other[closed], tag.start))
        elif tag.name in ("elif", "else") and not depth and around[-1].name == "if":
            other.setdefault(around[-1], tag.start)
    return found


_SCOPES = frozenset({"for", "macro", "call", "filter", "with", "block"})
"""Tags whose content is a scope of its own: what is assigned inside is not seen outside."""


def _assigned(tag: Tag) -> list[str]:
    """The variables that a tag sets; attributes of a namespace are none, they are seen everywhere anyway."""
    if tag.name == "macro":
        return re.findall(r"^\w+", tag.body)
    if tag.name == "set":
        return re.findall(r"(?<![\w.])\w+(?![\w.])", re.split(r"[=|]", tag.body)[0])
    return []


def _removals(text: str, tag: Tag) -> Iterator[str]:
    """Ways to take a tag out of a text, the most readable first; the last one always works."""
    line_start = text.rfind("\n", 0, tag.start) + 1
    line_end = text.find("\n", tag.end)
    alone = not text[line_start : tag.start].strip() and line_end >= 0 and not text[tag.end : line_end].strip()
    if alone:
        yield text[:line_start] + text[line_end + 1 :]
    yield text[: tag.start] + text[tag.end :]
    before, after = text[: tag.start], text[tag.end :]
    if tag.left == "-":
        before = before.rstrip()
    elif not tag.left and not text[line_start : tag.start].strip():
        before = text[:line_start]
    if tag.right == "-":
        after = after.lstrip()
    elif not tag.right:
        after = after.removeprefix("\n")
    yield before + after
    # The space keeps the signs of both ends apart.
    yield f"{text[: tag.start]}{{#{tag.left} {tag.right}#}}{text[tag.end :]}"


def _stream(text: str, environment: Environment, without: Tag | None = None) -> list[tuple[str, str]]:
    """What a text means to Jinja: its tokens without the whitespace in tags, with neighbouring data joined."""
    stream: list[tuple[str, str]] = []
    for offset, kind, value in tokens(text):
        if kind == "whitespace" or kind.startswith("comment"):
            continue
        if without is not None and without.start <= offset < without.end:
            continue
        if kind in ("block_begin", "block_end", "variable_begin", "variable_end", "raw_begin", "raw_end"):
            value = kind
        if kind == "data" and stream and stream[-1][0] == "data":
            stream[-1] = ("data", stream[-1][1] + value)
        else:
            stream.append((kind, value))
    return stream
