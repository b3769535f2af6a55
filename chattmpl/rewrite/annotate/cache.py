"""How sources with tags, and refusals, are kept between runs."""

from __future__ import annotations

from typing import Any

from chattmpl.rewrite.annotate.proof import Proof
from chattmpl.rewrite.annotate.refusal import CannotAnnotate
from chattmpl.rewrite.result_cache import Kind, counterexample, place, placed, shown


def _dump(found: tuple[str, Proof]) -> dict[str, Any]:
    return {"source": found[0], "proof": found[1].to_dict()}


def _load(stored: dict[str, Any]) -> tuple[str, Proof]:
    return stored["source"], Proof.from_dict(stored["proof"])


def _dump_refusal(error: CannotAnnotate) -> dict[str, Any]:
    return {
        "message": error.message,
        "law": error.law,
        "hint": error.hint,
        "place": placed(error.place),
        "counterexample": shown(error.counterexample),
    }


def _load_refusal(stored: dict[str, Any]) -> CannotAnnotate:
    read = {"place": place(stored["place"]), "counterexample": counterexample(stored["counterexample"])}
    return CannotAnnotate(stored["message"], law=stored["law"], hint=stored["hint"], **read)  # type: ignore[arg-type]


RESULTS = Kind("annotate", CannotAnnotate, _dump, _load, _dump_refusal, _load_refusal)
