"""Changes of terms, written into the source as small as they can be."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from jinja2 import Environment

from chattmpl.compiler.policies import Retention
from chattmpl.compiler.retention import namespace_for, on_lines
from chattmpl.rewrite.retain.overridable_template import Change
from chattmpl.rewrite.retain.terms import Term
from chattmpl.rewrite.retain.turn_text import CLOSE
from chattmpl.syntax.edits import Edit, apply_edits
from chattmpl.syntax.tree import Tag, parse

_HOISTED = "keep_reasoning"


def rewritten(
    text: str,
    terms: list[Term],
    changes: Iterable[Change],
    policy: str,
    environment: Environment,
    shared: Collection[int] = (),
) -> str:
    """The source with the changes, and with what they need at its head.

    Args:
        text: the source.
        terms: its terms.
        changes: to be made.
        policy: which is asked for.
        environment: for its lexer.
        shared: the numbers of terms that see messages of others than the assistant.
    """
    retention = Retention(policy)
    namespace = namespace_for(parse(text))
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
                    edits.append(Edit(term.loop.end, term.loop.end, mark))
        if term.kind == "content":
            edits.append(_content_cut(text, term, "" if way == "false" else test, shared=number in shared))
            continue
        edit = _edit(text, term, way, test)
        glued = text[edit.start - 1].isalnum() and edit.text[:1].isalnum()  # not(…)
        edits.append(Edit(edit.start, edit.end, f" {edit.text}" if glued else edit.text))
    made = apply_edits(text, edits).text
    return prelude + made if uses else made


def cost(text: str, terms: list[Term], change: Change) -> float:
    """How much a change changes; the smallest is tried first."""
    term, way = terms[change[0]], change[1]
    own = text[term.start : term.end]
    positional = _POSITION.search(own) is not None
    if term.kind == "content":
        made = 2.0 + 0.1 * (way != "false")
    elif term.kind == "literal":
        made = 0.5 if term.loop is None else 3.0
    elif way in ("true", "false"):
        # A part that is left out reads better than a constant in its place.
        made = 3.0 if term.joined else 2.0
        if _leaves_out(term, way):
            made = 1.0 if term.depth == 1 else 2.2
        if term.kind == "cut":
            made = 1.0
    elif way in ("here", "not here"):
        made = 2.0 - 0.05 * term.depth if positional or term.kind == "cut" else 3.0
    else:
        made = 2.2 + 0.1 * term.depth
    # What tells roles apart, or collects something in a loop of its own, decides about other things as well.
    made += 1.0 * ("role" in own) + 1.5 * (not term.writes) + 0.5 * way.endswith("not here")
    return made - 0.1 * positional


_POSITION = re.compile(r"loop\.|index|idx|last|preserve|history|after|keep")


def _leaves_out(term: Term, way: str) -> bool:
    return term.kind == "condition" and (term.joined, way) in (("and", "true"), ("or", "false"))


def _edit(text: str, term: Term, way: str, test: str) -> Edit:
    own = text[term.start : term.end]
    if term.kind == "cut":
        base = text[term.start : term.base]
        chosen = f"{base} if {test} else {own}"
        return Edit(term.start, term.end, base if way == "true" else f"({chosen})" if term.joined else chosen)
    if term.kind == "literal" and way in ("true", "false"):
        return Edit(term.start, term.end, way.capitalize() if own[0].isupper() else way)
    if _leaves_out(term, way):
        if term.after is not None:
            return Edit(term.start, term.after, "")
        if term.before is not None:
            return Edit(term.before, term.end, "")
    if way in ("true", "false"):
        return Edit(term.start, term.end, way)
    joint, _, _ = way.rpartition("not here" if way.endswith("not here") else "here")
    wanted = f"not ({test})" if way.endswith("not here") and " " in test else f"not {test}"
    wanted = wanted if way.endswith("not here") else test
    joint = joint.strip()
    if not joint:
        simple = " and " not in wanted and " or " not in wanted
        bare = not term.negated(text) and (simple or term.joined in ("", "and"))
        return Edit(term.start, term.end, wanted if bare or wanted.startswith("not (") else f"({wanted})")
    if joint == "and":
        made = f"{_grouped(own, ' or ')} and {wanted}"
        return Edit(term.start, term.end, made)
    wanted = f"({wanted})" if " and " in wanted and not wanted.startswith("not") else wanted
    made = f"{own} or {wanted}"
    return Edit(term.start, term.end, f"({made})" if term.joined == "and" or term.negated(text) else made)


def _content_cut(text: str, term: Term, test: str, *, shared: bool) -> Edit:
    """A content of which the trace is cut out, but where the policy keeps it."""
    own = text[term.start : term.end]
    role = ""
    if shared:
        name = re.match(r"\w+", own)
        assert name is not None
        spelled = re.search(rf"\b{name[0]}(?:\.role\b|\[\s*(['\"])role\1\s*\])", text)
        role = f"{spelled[0] if spelled else f'{name[0]}.role'} == 'assistant' and "
    kept = f" and not ({test})" if " " in test else f" and not {test}" if test else ""
    found = f"{role}{own} is string and '{CLOSE}' in {own}{kept}"
    return Edit(term.start, term.end, f"({own}.split('{CLOSE}')[-1].lstrip('\\n') if {found} else {own})")


def _grouped(own: str, word: str) -> str:
    return f"({own})" if word in own and not (own.startswith("(") and own.endswith(")")) else own


__all__ = ["cost", "rewritten"]
