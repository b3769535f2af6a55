"""Edits of the source that make changes of terms, as small as possible."""

import re
from collections.abc import Collection, Iterable
from itertools import chain

from chattmpl.compiler.policies import Retention
from chattmpl.compiler.retention import namespace_for, on_lines
from chattmpl.rewrite.retain.overridable_template import Change
from chattmpl.rewrite.retain.terms import Term
from chattmpl.rewrite.retain.turn_text import CLOSE
from chattmpl.syntax.edits import Edit, apply_edits
from chattmpl.syntax.items import Block, Tag
from chattmpl.syntax.layout import cut_out, unwrap
from chattmpl.syntax.messages import read_in_style
from chattmpl.syntax.nodes import Constant, Node
from chattmpl.syntax.tree import Tree, parse

_HOISTED = "keep_reasoning"
_MOST_SIMPLIFIED = 8


def rewritten(
    tree: Tree, terms: list[Term], changes: Iterable[Change], policy: str, shared: Collection[int] = ()
) -> str:
    """Return the source with changes of terms, and with the code that they need at its start.

    Terms that are ``shared`` are evaluated for messages of other roles than the assistant too.
    """
    retention = Retention(policy)
    text = tree.source
    namespace = namespace_for(tree)
    here, prelude = retention.condition(namespace), on_lines(retention.counting(namespace), text)
    edits: list[Edit] = []
    hoisted: set[Tag] = set()
    uses = False
    for number, way in changes:
        term = terms[number]
        test = here
        if way not in ("true", "false"):
            uses = True
            if term.inner and term.loop is not None and "loop." in here:
                test = _HOISTED
                if term.loop not in hoisted:
                    hoisted.add(term.loop)
                    mark = f"{{% set {_HOISTED} = {here} {term.loop.right}%}}"
                    edits.append(term.loop.insert_after(mark))
        if term.kind == "content":
            edits.append(_content_cut(tree, term, "" if way == "false" else test, shared=number in shared))
            continue
        edit = _edit(term, way, test)
        glued = text[edit.start - 1].isalnum() and edit.text[:1].isalnum()  # not(…)
        edits.append(Edit(edit.start, edit.end, f" {edit.text}" if glued else edit.text))
    made = apply_edits(text, edits).text
    return (prelude if uses else "") + _simplified(tree, made)


def _simplified(before: Tree, source: str) -> str:
    """Return a source without conditions and assignments that a change left without effect."""
    has_decided, has_idle = bool(_decided(before)), bool(_idle(before))
    for _ in range(_MOST_SIMPLIFIED):
        tree = parse(source)
        unwrapped = (
            unwrap(block, kept) if kept < len(block.branches) else cut_out(block)
            for block, kept in ([] if has_decided else _decided(tree))
        )
        cut = (cut_out(node) for node in ([] if has_idle else _idle(tree)))
        edits = next(filter(None, chain(unwrapped, cut)), None)
        if edits is None:
            break
        source = apply_edits(source, edits).text
    return source


def _idle(tree: Tree) -> list[Node]:
    """Return the assignments of variables to themselves, each with the condition around it if that has no other use."""
    found: list[Node] = []
    for tag in tree.tags:
        if tag.name == "set" and tag.value is not None and tag.target is not None and tag.value.text == tag.target.text:
            block = next((node for node in tag.parents if isinstance(node, Block)), None)
            alone = block is not None and block.name == "if" and len(block.branches) == 1
            others = [item for item in block.bodies[0] if item is not tag and item.text.strip()] if block else []
            found.append(block if block is not None and alone and not others else tag)
    return found


def _decided(tree: Tree) -> list[tuple[Block, int]]:
    """Return the ``if`` blocks whose condition is a constant, each with the index of the branch that is taken."""
    found = []
    for block in tree.blocks("if"):
        value = block.opening.value
        if not isinstance(value, Constant) or not isinstance(value.value, bool):
            continue
        if value.value or [branch.tag.name for branch in block.branches] in (["if"], ["if", "else"]):
            found.append((block, int(not value.value)))
    return found


def cost(terms: list[Term], change: Change) -> float:
    """Return the cost of a change; the least expensive is tried first."""
    term, way = terms[change[0]], change[1]
    own = term.text
    positional = _POSITION.search(own) is not None
    if term.kind == "content":
        made = 2.0 + 0.1 * (way != "false")
    elif term.kind == "literal":
        made = 0.5 if term.loop is None else 3.0
    elif way in ("true", "false"):
        # Leaving out a part reads better than a constant in its place.
        made = 3.0 if term.joined else 2.0
        if _leaves_out(term, way):
            made = 1.0 if term.depth == 1 else 2.2
        if term.kind == "cut":
            made = 1.0
    elif way in ("here", "not here"):
        made = 2.0 - 0.05 * term.depth if positional or term.kind == "cut" else 3.0
    else:
        made = 2.2 + 0.1 * term.depth
    # A test of the role, or a loop that only collects values, decides about other things too.
    made += 1.0 * ("role" in own) + 1.5 * (not term.writes) + 0.5 * way.endswith("not here")
    return made - 0.1 * positional


_POSITION = re.compile(r"loop\.|index|idx|last|preserve|history|after|keep")


def _leaves_out(term: Term, way: str) -> bool:
    return term.kind == "condition" and (term.joined, way) in (("and", "true"), ("or", "false"))


def _edit(term: Term, way: str, test: str) -> Edit:
    own = term.text
    if term.kind == "cut":
        base = own[: (term.base or term.end) - term.start]
        chosen = f"{base} if {test} else {own}"
        return term.node.replace(base if way == "true" else f"({chosen})" if term.joined else chosen)
    if term.kind == "literal" and way in ("true", "false"):
        return term.node.replace(way.capitalize() if own[0].isupper() else way)
    if _leaves_out(term, way):
        if term.after is not None:
            return Edit(term.start, term.after, "")
        if term.before is not None:
            return Edit(term.before, term.end, "")
    if way in ("true", "false"):
        return term.node.replace(way)
    joint, _, _ = way.rpartition("not here" if way.endswith("not here") else "here")
    wanted = f"not ({test})" if way.endswith("not here") and " " in test else f"not {test}"
    wanted = wanted if way.endswith("not here") else test
    joint = joint.strip()
    if not joint:
        inside = next((word for word in (" or ", " and ") if word in wanted), "")
        bare = not term.negated and (not inside or not term.joined or (inside, term.joined) == (" and ", "and"))
        return term.node.replace(wanted if bare or wanted.startswith("not (") else f"({wanted})")
    if joint == "and":
        made = f"{_grouped(own, ' or ')} and {_grouped(wanted, ' or ')}"
        return term.node.replace(made)
    wanted = f"({wanted})" if " and " in wanted and not wanted.startswith("not") else wanted
    made = f"{own} or {wanted}"
    return term.node.replace(f"({made})" if term.joined == "and" or term.negated else made)


def _content_cut(tree: Tree, term: Term, test: str, *, shared: bool) -> Edit:
    """Return the edit that cuts the trace out of a content unless the policy keeps it."""
    own = term.text
    role = ""
    if shared:
        variable = term.node.variable
        assert variable is not None
        role = f"{read_in_style(tree, variable.name, 'role')} == 'assistant' and "
    kept = f" and not ({test})" if " " in test else f" and not {test}" if test else ""
    found = f"{role}{own} is string and '{CLOSE}' in {own}{kept}"
    return term.node.replace(f"({own}.split('{CLOSE}')[-1].lstrip('\\n') if {found} else {own})")


def _grouped(own: str, word: str) -> str:
    return f"({own})" if word in own and not (own.startswith("(") and own.endswith(")")) else own
