"""How rewritten sources, and refusals, are kept between runs."""

from __future__ import annotations

from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.rewrite.result_cache import Kind
from chattmpl.rewrite.retain.proof import Proof
from chattmpl.rewrite.retain.refusal import CannotRetain

_TEXTS = ("policy", "hint", "kwargs", "expected", "got")


def _dump(found: tuple[str, Proof]) -> dict[str, Any]:
    return {"source": found[0], "proof": found[1].to_dict()}


def _load(stored: dict[str, Any]) -> tuple[str, Proof]:
    return stored["source"], Proof.from_dict(stored["proof"])


def _dump_refusal(error: CannotRetain) -> dict[str, Any]:
    conversation = None if error.conversation is None else error.conversation.dump()
    return {
        "message": error.message,
        "conversation": conversation,
        **{name: getattr(error, name) for name in _TEXTS},
    }


def _load_refusal(stored: dict[str, Any]) -> CannotRetain:
    data = stored["conversation"]
    conversation = None if data is None else Conversation.coerce(data)
    return CannotRetain(stored["message"], conversation=conversation, **{name: stored[name] for name in _TEXTS})


RESULTS = Kind("retain", CannotRetain, _dump, _load, _dump_refusal, _load_refusal)
