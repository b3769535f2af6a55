"""What rewriting a retention policy found, for people and for programs: the change and its proof, or the refusal."""

from __future__ import annotations

import json
from collections.abc import Iterator

from chattmpl.laws.outcome import Counterexample
from chattmpl.printable import dumps, visible
from chattmpl.report.counterexample import counterexample_text
from chattmpl.report.lines import count
from chattmpl.rewrite.retain.proof import Proof
from chattmpl.rewrite.retain.refusal import CannotRetain
from chattmpl.template.template import Template


def proof_text(proof: Proof) -> str:
    """The change as a diff, what was tried and what held, with nothing that a terminal would obey."""
    return visible("\n".join(_lines(proof)))


def _lines(proof: Proof) -> Iterator[str]:
    if proof.diff:
        yield proof.diff.rstrip("\n")
    if proof.unchanged:
        yield f"its retention is {proof.policy} already: nothing was changed"
    if len(proof.modes) > 1:
        yield f"modes: none, {', '.join(_kwargs(kwargs) for kwargs in proof.modes[1:])}"
    if proof.texts:
        yield (
            f"tried: {count(proof.changes, 'change')} on {count(proof.searched, 'conversation')}; "
            f"the result on {proof.independent} others"
        )
        refused = f", {proof.refused} refused before as after" if proof.refused else ""
        yield (
            f"held: {count(proof.texts, 'text')}, with and without generation prompt: {proof.same} as before, "
            f"{proof.moved} as the policy wants them{refused}"
        )
    if proof.turns:
        yield f"held: {count(proof.turns, 'turn')} in history as it was sampled"
    if proof.held:
        laws = ", ".join(f"{law} {times} times" for law, times in sorted(proof.held.items()))
        yield f"held: {laws}"
    for note in proof.notes:
        yield f"note: {note}"


def _kwargs(kwargs: dict[str, object]) -> str:
    return " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in kwargs.items())


def refusal_text(refusal: CannotRetain, name: str) -> str:
    """Why nothing is written: the policy, both texts, the conversation and the way out."""
    found = counterexample(refusal)
    if found is not None:
        return counterexample_text(found, name)
    hint = f"\nhint: {refusal.hint}" if refusal.hint else ""
    return visible(f"{name}: retention {refusal.policy}: {refusal.message}{hint}")


def counterexample(refusal: CannotRetain) -> Counterexample | None:
    """What shows it, if anything was rendered."""
    if refusal.conversation is None:
        return None
    return Counterexample(
        f"retention {refusal.policy}",
        refusal.message,
        refusal.conversation,
        refusal.kwargs,
        refusal.expected or None,
        refusal.got or None,
        hint=refusal.hint,
    )


def retention_json(template: Template) -> str:
    """One object: ``retained`` (true), ``name``, ``template`` (its text) and ``proof``; see docs/retaining.md."""
    made = {
        "retained": True,
        "name": template.name,
        "template": written(template),
        "proof": template.proof.to_dict(),
    }
    return dumps(made, indent=2) + "\n"


def written(template: Template) -> str:
    """The text to write: the source as it was found, or plain Jinja for a template of the dialect."""
    return template.export("train") if template.program.has_reasoning else template.given.text


def refusal_json(refusal: CannotRetain, name: str) -> str:
    """One object: ``retained`` (false), ``policy``, ``message``, ``hint`` and ``counterexample``."""
    found = counterexample(refusal)
    made = {
        "retained": False,
        "name": name,
        "policy": refusal.policy,
        "message": refusal.message,
        "hint": refusal.hint,
        "counterexample": None if found is None else found.to_dict(),
    }
    return dumps(made, indent=2) + "\n"
