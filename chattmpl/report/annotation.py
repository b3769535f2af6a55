"""What annotating found, for people and for programs: the change and its proof, or why there is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from chattmpl.printable import dumps, visible
from chattmpl.report.counterexample import counterexample_text
from chattmpl.report.lines import count
from chattmpl.rewrite.annotate.proof import Exemption, Proof
from chattmpl.rewrite.annotate.refusal import CannotAnnotate
from chattmpl.template.template import Template

_LONGEST = 1_000
"""Characters of a conversation that are shown."""


def proof_text(proof: Proof) -> str:
    """The change as a diff, what was tried, what held, what cannot, and nothing that a terminal would obey."""
    return visible("\n".join(_lines(proof)))


def _lines(proof: Proof) -> Iterator[str]:
    if proof.diff:
        yield proof.diff.rstrip("\n")
    if len(proof.modes) > 1:
        given = ", ".join(_kwargs(kwargs) for kwargs in proof.modes[1:])
        yield f"modes: none, {given}"
    yield f"stop: {' or '.join(map(repr, proof.stops))} ends what is generated"
    others = f"{proof.independent} that they were only checked on"
    yield f"tried: {count(proof.searched, 'conversation')} that tags were placed by, and {others}"
    yield f"held: {count(proof.texts, 'text')} as before, with and without generation prompt{_refused(proof.refused)}"
    laws = ", ".join(f"{law} {times} times" for law, times in sorted(proof.held.items()))
    yield f"held: {laws}; in no case did a law fail that could hold" if laws else "held: no law applied"
    for exemption in proof.exceptions:
        yield from _exception(exemption)
    for note in proof.notes:
        yield f"note: {note}"


def _refused(times: int) -> str:
    return f" ({times} of them refused, before as after)" if times else ""


def _exception(exemption: Exemption) -> Iterator[str]:
    mode = f" with {_kwargs(exemption.kwargs)}" if exemption.kwargs else ""
    yield f"exception: {exemption.law} cannot hold{mode} where {exemption.why}, whatever the tags"
    shown = json.dumps(exemption.conversation.dump()["messages"], ensure_ascii=False)
    yield f"  as in {shown if len(shown) <= _LONGEST else f'{shown[:_LONGEST]}…'}"
    yield f"  way out: {exemption.way_out}"


def _kwargs(kwargs: dict[str, Any]) -> str:
    return " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in kwargs.items())


def refusal_text(refusal: CannotAnnotate, name: str) -> str:
    """Why nothing is written: the law that cannot hold, the line, both texts, the conversation, the way out."""
    if refusal.counterexample is None:
        return visible(f"{name}: {refusal}" if refusal.place is None else str(refusal))
    return counterexample_text(refusal.counterexample, name)


def annotation_json(template: Template) -> str:
    """One object: ``annotated``, ``template`` (its text) and ``proof``; see docs/annotating.md."""
    assert template.proof is not None
    made = {
        "annotated": True,
        "name": template.name,
        "template": template.given.text,
        "proof": template.proof.to_dict(),
    }
    return dumps(made, indent=2) + "\n"


def refusal_json(refusal: CannotAnnotate, name: str) -> str:
    """One object: ``annotated`` (false), ``law``, ``message``, ``hint``, ``line`` and ``counterexample``."""
    found = refusal.counterexample
    made = {
        "annotated": False,
        "name": name,
        "law": refusal.law,
        "message": refusal.message,
        "hint": refusal.hint,
        "line": None if refusal.place is None else refusal.place.line,
        "counterexample": None if found is None else found.to_dict(),
    }
    return dumps(made, indent=2) + "\n"
