"""Results of annotate and retain as text and JSON."""

import json
from collections.abc import Iterator
from typing import Any

from chattmpl.printable import count, dumps, shortened, visible
from chattmpl.report.laws import counterexample_text
from chattmpl.rewrite.annotate.verifier import AnnotationProof, Exemption
from chattmpl.rewrite.proof import Proof
from chattmpl.rewrite.refusal import CannotAnnotate, CannotRetain, CannotRewrite
from chattmpl.rewrite.result import Rewrite
from chattmpl.rewrite.retain.verifier import RetentionProof

_MAX_CONVERSATION = 1_000
"""Largest number of characters of a conversation that are shown."""


def proof_text(proof: Proof) -> str:
    """Return the diff, the checks and their results, without control characters."""
    return visible("\n".join(_lines(proof)))


def _lines(proof: Proof) -> Iterator[str]:
    if proof.diff:
        yield proof.diff.rstrip("\n")
    if len(proof.modes) > 1:
        yield f"modes: none, {', '.join(_kwargs(kwargs) for kwargs in proof.modes[1:])}"
    if isinstance(proof, AnnotationProof):
        yield from _annotation(proof)
    elif isinstance(proof, RetentionProof):
        yield from _retention(proof)
    for note in proof.notes:
        yield f"note: {note.text}"


def _annotation(proof: AnnotationProof) -> Iterator[str]:
    yield f"stop tokens: {' or '.join(map(repr, proof.stops))}"
    yield f"tried: {count(proof.searched, 'conversation')} to place the tags, {proof.independent} others to check them"
    refused = f" ({proof.refused} of them refused, before and after)" if proof.refused else ""
    yield f"held: {count(proof.texts, 'text')} unchanged, with and without generation prompt{refused}"
    laws = _laws(proof)
    yield f"held: {laws}; no law failed that could hold" if laws else "held: no law applied"
    for exemption in proof.exceptions:
        yield from _exemption(exemption)


def _exemption(exemption: Exemption) -> Iterator[str]:
    mode = f" with {_kwargs(exemption.kwargs)}" if exemption.kwargs else ""
    yield f"exception: {exemption.law} cannot hold{mode}: {exemption.why}"
    shown = json.dumps(exemption.conversation.dump()["messages"], ensure_ascii=False)
    yield f"  example: {shortened(shown, _MAX_CONVERSATION)}"
    yield f"  hint: {exemption.hint}"


def _retention(proof: RetentionProof) -> Iterator[str]:
    if proof.unchanged:
        yield f"the retention of the template is {proof.policy}: nothing was changed"
    if proof.texts:
        yield (
            f"tried: {count(proof.changes, 'change')} on {count(proof.searched, 'conversation')}, "
            f"and the result on {proof.independent} others"
        )
        refused = f", {proof.refused} refused before and after" if proof.refused else ""
        yield (
            f"held: {count(proof.texts, 'text')}, with and without generation prompt: {proof.same} unchanged, "
            f"{proof.moved} changed as the policy asks{refused}"
        )
    if proof.turns:
        yield f"held: {count(proof.turns, 'turn')} in history as sampled"
    if laws := _laws(proof):
        yield f"held: {laws}"


def _laws(proof: Proof) -> str:
    return ", ".join(f"{law} {times} times" for law, times in sorted(proof.held.items()))


def _kwargs(kwargs: dict[str, Any]) -> str:
    return " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in kwargs.items())


def refusal_text(refusal: CannotRewrite, name: str) -> str:
    """Return the reason for a refusal: the law or policy, the line, both texts, the conversation and the hint.

    The name of the template stands for a line that is not known.
    """
    if refusal.counterexample is not None:
        return counterexample_text(refusal.counterexample, name)
    prefix = f"{name}: " if refusal.place is None else ""
    policy = f"retention {refusal.policy}: " if isinstance(refusal, CannotRetain) else ""
    return visible(f"{prefix}{policy}{refusal}")


def rewrite_json(rewrite: Rewrite[Any, Any]) -> str:
    """Return one object: ``annotated`` or ``retained`` (true), ``name``, ``template`` (its text) and ``proof``."""
    done = "annotated" if isinstance(rewrite.proof, AnnotationProof) else "retained"
    made = {done: True, "name": rewrite.template.name, "template": rewrite.text, "proof": rewrite.proof.to_dict()}
    return dumps(made, indent=2) + "\n"


def refusal_json(refusal: CannotRewrite, name: str) -> str:
    """Return one object: ``annotated`` or ``retained`` (false), the cause, and the counterexample."""
    made: dict[str, Any] = {}
    if isinstance(refusal, CannotAnnotate):
        made = {"annotated": False, "law": refusal.law, "line": None if refusal.place is None else refusal.place.line}
    elif isinstance(refusal, CannotRetain):
        made = {"retained": False, "policy": refusal.policy}
    found = refusal.counterexample
    made |= {
        "name": name,
        "refusal": refusal.refusal.name.lower().replace("_", "-"),
        "message": refusal.message,
        "hint": refusal.hint,
        "counterexample": None if found is None else found.to_dict(),
    }
    return dumps(made, indent=2) + "\n"
