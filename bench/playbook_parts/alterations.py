"""What arms do to talks before they are rendered, and to labels before they are trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from chattmpl.training.prove.dialogues import Dialogue

IGNORED = -100


def system_lost(talks: Sequence[Dialogue]) -> list[Dialogue]:
    """The planted bug: what a preprocessing step leaves of system messages is None."""
    return [
        replace(
            talk,
            messages=[{**each, "content": None} if each["role"] == "system" else each for each in talk.messages],
        )
        for talk in talks
    ]


def in_both_modes(talks: Sequence[Dialogue]) -> list[Dialogue]:
    """Half of the talks, each twice: with reasoning as it is, and without."""
    return [made for talk in talks[: len(talks) // 2] for made in (talk, _silenced(talk))]


def _silenced(talk: Dialogue) -> Dialogue:
    messages = [{name: value for name, value in each.items() if name != "reasoning_content"} for each in talk.messages]
    return replace(talk, messages=messages, kwargs={**talk.kwargs, "enable_thinking": False})


def traces_in_content(talks: Sequence[Dialogue]) -> list[Dialogue]:
    """Traces at the beginning of answers, for a template that has no place for them."""
    return [replace(talk, messages=[_spoken(each) for each in talk.messages], kwargs={}) for talk in talks]


def _spoken(message: dict[str, Any]) -> dict[str, Any]:
    said = {name: value for name, value in message.items() if name != "reasoning_content"}
    trace = message.get("reasoning_content")
    return {**said, "content": f"{trace}\n{said['content']}"} if trace else said


TALKS: dict[str, Callable[[Sequence[Dialogue]], list[Dialogue]]] = {
    "": list,
    "system lost": system_lost,
    "in both modes": in_both_modes,
    "traces in content": traces_in_content,
}


def labels_as_they_are(ids: Sequence[int], labels: Sequence[int], stops: frozenset[int]) -> list[int]:
    """What the template says."""
    return list(labels)


def all_tokens(ids: Sequence[int], labels: Sequence[int], stops: frozenset[int]) -> list[int]:
    """Every token is trained."""
    return list(ids)


def without_stop(ids: Sequence[int], labels: Sequence[int], stops: frozenset[int]) -> list[int]:
    """No stop token is trained."""
    return [IGNORED if label in stops else label for label in labels]


LABELS: dict[str, Callable[[Sequence[int], Sequence[int], frozenset[int]], list[int]]] = {
    "": labels_as_they_are,
    "all tokens": all_tokens,
    "without stop": without_stop,
}
