"""The dialect written as plain Jinja, for two targets.

Tags are replaced one by one in the source text, so comments, layout and white space control survive.
"""

from typing import Literal

from chattmpl.compiler.dialect import checked_tree
from chattmpl.compiler.policies import Retention
from chattmpl.compiler.retention import lower_reasoning
from chattmpl.errors import TemplateError, UsageError
from chattmpl.source import Place, Source
from chattmpl.syntax.edits import Edited, apply_edits
from chattmpl.syntax.items import SCOPES, Block, Branch, assignments, items
from chattmpl.syntax.layout import remove
from chattmpl.syntax.tree import parse

Target = Literal["train", "inference"]
TARGETS: tuple[Target, ...] = ("train", "inference")


def lower(source: Source, retention: Retention) -> Edited:
    """Turn the reasoning tags of a source into conditions; generation tags stay."""
    return apply_edits(source.text, lower_reasoning(source, retention))


def export(source: Source, retention: Retention, target: Target) -> str:
    """Return plain Jinja that renders the same text as a source.

    Args:
        source: a source that compiles.
        retention: the policy that it is lowered with.
        target: ``train`` keeps the generation tags, for transformers and trl; ``inference`` has none of them.

    Raises:
        TemplateError: for a template that has no such form, with the reason.
        UsageError: for a target that does not exist.
    """
    if target not in TARGETS:
        raise UsageError(f"there is no target {target!r}", hint=f"the targets are {' and '.join(TARGETS)}")
    text = lower(source, retention).text
    if target == "train":
        _refuse_jumps(source)
        return text
    return without_generation(source.with_text(text))


def without_generation(source: Source) -> str:
    """Return the source without its generation tags; it renders the same text, and reasoning tags stay."""
    text = source.text
    while (blocks := checked_tree(source.with_text(text)).blocks("generation")) != ():
        text = _without(text, blocks[0])
    return text


def _refuse_jumps(source: Source) -> None:
    """Refuse ``break`` and ``continue`` out of a generation tag, which transformers compiles to a function."""
    for block in parse(source.text).blocks("generation"):
        for tag in block.jumps:
            raise TemplateError(
                f"transformers cannot compile {{% {tag.name} %}} inside a generation tag",
                place=Place(source, tag.start, tag.end),
                hint=f"close the tag before the {{% {tag.name} %}}, or export with target='inference'",
            )


def _without(text: str, block: Block) -> str:
    """Return the text without the tags of one generation block."""
    opening, closing = block.opening, block.closing
    if _leaks(block):
        edits = [opening.replace(opening.rewritten("with")), closing.replace(closing.rewritten("endwith"))]
        return apply_edits(text, edits).text
    # The closing tag first, so that the offsets of the opening tag stay true.
    text = apply_edits(text, [remove(closing)]).text
    opening = next(tag for tag in parse(text).tags if tag.start == opening.start)
    return apply_edits(text, [remove(opening)]).text


def _leaks(block: Block) -> bool:
    """Return whether an assignment inside the block would be seen outside of it, once the block is gone."""
    start, end = _reach(block)
    apart = [(block.start, block.closing.start), *_other_branches(block)]
    outside = {
        word
        for offset, word in block.tree.words
        if start <= offset < end and not any(first <= offset < last for first, last in apart)
    }
    return any(name.name in outside for name in assignments(block.branches[0].body))


def _reach(block: Block) -> tuple[int, int]:
    """Return the range of the text in which an assignment inside the block could be seen, were it not for the block.

    In the body of a loop, that is the rest of the body: an iteration does not see the assignments of the previous one.
    A macro in that body may be called after the block, wherever it is defined.
    """
    scope = next((outer for outer in block.blocks if outer.name in SCOPES), None)
    if scope is None or scope.name != "for":
        return 0, len(block.source)
    before = items([item for body in scope.bodies for item in body])
    if any(isinstance(item, Block) and item.name == "macro" and item.start < block.start for item in before):
        return scope.start, len(block.source)
    return block.end, scope.closing.start


def _other_branches(block: Block) -> list[tuple[int, int]]:
    """Return the ranges of the other branches after the block in each condition around it: only one branch runs."""
    found = []
    for node in block.parents:
        if isinstance(node, Branch) and isinstance(node.parent, Block) and node.parent.name == "if":
            condition = node.parent
            following = [branch for branch in condition.branches if branch.start > node.start]
            if following:
                found.append((following[0].start, condition.closing.start))
    return found
