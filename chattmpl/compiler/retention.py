"""Lowering of reasoning tags to plain Jinja conditions."""

from chattmpl.compiler.policies import POLICIES, RUNTIME, VARIABLE, Retention
from chattmpl.errors import TemplateError
from chattmpl.source import Place, Source
from chattmpl.syntax.edits import Edit
from chattmpl.syntax.items import Block, Tag
from chattmpl.syntax.messages import message_loops
from chattmpl.syntax.nodes import Filter, Name, Slice
from chattmpl.syntax.tree import Tree, parse


def lower_reasoning(source: Source, retention: Retention) -> list[Edit]:
    """Return the edits that turn every reasoning tag into a condition, with the code that they need at the start.

    Raises:
        TemplateError: for a reasoning tag outside a loop over messages.
    """
    tree = parse(source.text)
    namespace = namespace_for(tree)
    condition = retention.condition(namespace)
    edits: list[Edit] = []
    loops = message_loops(tree)
    hoisted: set[Tag] = set()
    checked: set[Tag] = set()
    for block in tree.blocks("reasoning"):
        loop = _message_loop(source, loops, block)
        if loop not in checked:
            checked.add(loop)
            _check_loop(source, tree, loop)
        own = next((outer.opening for outer in block.blocks if outer.name == "for"), None)
        uses_loop = "loop." in condition
        test = condition
        if uses_loop and own is not loop:
            test = "keep_reasoning"
            if loop not in hoisted:
                hoisted.add(loop)
                edits.append(loop.insert_after(f"{{% set keep_reasoning = {condition} {loop.right}%}}"))
        edits.append(block.opening.replace(block.opening.rewritten(f"if {test}")))
        edits.append(block.closing.replace(block.closing.rewritten("endif")))
    prelude = _prelude(tree, retention, namespace)
    return [Edit(0, 0, prelude), *edits] if prelude else edits


def namespace_for(tree: Tree) -> str:
    """Return a name for the namespace of the counters that the template does not use."""
    return "retention" if "retention" not in tree.names else "chattmpl_retention"


def _prelude(tree: Tree, retention: Retention, namespace: str) -> str:
    lines = []
    if retention.policy == RUNTIME:
        named = list(POLICIES)
        lines.append(f"{{% set {VARIABLE} = {VARIABLE} | default('{retention.default}') %}}")
        lines.append(
            f"{{% if {VARIABLE} not in {named!r} %}}"
            f"{{{{ raise_exception('{VARIABLE} must be one of {', '.join(named)}') }}}}{{% endif %}}"
        )
    elif VARIABLE in tree.names and tree.blocks("reasoning"):
        lines.append(f"{{% set {VARIABLE} = '{retention.policy}' %}}")
    if tree.blocks("reasoning"):
        lines += retention.counting(namespace)
    return on_lines(lines, tree.source)


def on_lines(lines: list[str], source: str) -> str:
    """Join the tags of the prelude, one a line, so that no engine renders a newline, even without trim_blocks."""
    if not lines:
        return ""
    tags = "\n".join([lines[0], *(f"{{%-{line[2:]}" for line in lines[1:])])
    # A dash would also take white space that the source begins with.
    return f"{tags[:-2]}{'' if source[:1].isspace() else '-'}%}}\n"


def _message_loop(source: Source, loops: list[Block], block: Block) -> Tag:
    """Return the loop over messages that contains a reasoning block."""
    place = Place(source, block.opening.start, block.opening.end)
    for outer in block.blocks:
        if outer.name == "macro":
            raise TemplateError(
                "{% reasoning %} inside a macro, where the message being rendered is unknown",
                place=place,
                hint="move the reasoning block out of the macro, or pass what it decides as an argument",
            )
        if outer in loops:
            return outer.opening
    raise TemplateError(
        "{% reasoning %} outside a loop over messages",
        place=place,
        hint="put it inside {% for message in messages %}, where the message's reasoning is rendered",
    )


def _check_loop(source: Source, tree: Tree, loop: Tag) -> None:
    """Check that the distance from the end means the same in the loop as in the list of messages."""
    assert loop.value is not None
    # The loop may go over a variable that was set to some of the messages before.
    names = {name.name for name in loop.value.find(Name)}
    values = [tag.value for tag in tree.tags if tag.name == "set" and not names.isdisjoint(tag.targets)]
    reason = "this loop leaves messages out" if loop.condition is not None else None
    for expression in filter(None, (loop.value, *values)):
        for node in expression.walk():
            turned = isinstance(node, Filter) and node.name == "reverse"
            if turned or (isinstance(node, Slice) and node.step is not None):
                reason = "this loop visits the messages in another order"
            elif isinstance(node, Filter) and node.name != "list":
                reason = reason or "this loop leaves messages out"
            elif isinstance(node, Slice) and node.upper is not None:
                reason = reason or "this loop does not reach the last message"
    if reason:
        raise TemplateError(
            f"{reason}, so a retention policy cannot tell which message is being rendered",
            place=Place(source, loop.start, loop.end),
            hint="loop over all messages and put the condition in an {% if %} inside the loop",
        )
