"""Alterations that an arm applies to dialogues before rendering, or to labels before training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from chattmpl.training.prove.dialogues import Dialogue

IGNORE_INDEX = -100


def drop_system(dialogues: Sequence[Dialogue]) -> list[Dialogue]:
    """Set the content of system messages to None, as a faulty preprocessing step does."""
    return [
        replace(
            dialogue,
            messages=[{**each, "content": None} if each["role"] == "system" else each for each in dialogue.messages],
        )
        for dialogue in dialogues
    ]


def pair_modes(dialogues: Sequence[Dialogue]) -> list[Dialogue]:
    """Return half of the dialogues, each with its reasoning and without."""
    return [made for dialogue in dialogues[: len(dialogues) // 2] for made in (dialogue, _without_reasoning(dialogue))]


def _without_reasoning(dialogue: Dialogue) -> Dialogue:
    messages = [
        {name: value for name, value in each.items() if name != "reasoning_content"} for each in dialogue.messages
    ]
    return replace(dialogue, messages=messages, kwargs={**dialogue.kwargs, "enable_thinking": False})


def inline_reasoning(dialogues: Sequence[Dialogue]) -> list[Dialogue]:
    """Put reasoning at the beginning of answers, for a template without reasoning."""
    return [
        replace(dialogue, messages=[_inlined(each) for each in dialogue.messages], kwargs={}) for dialogue in dialogues
    ]


def _inlined(message: dict[str, Any]) -> dict[str, Any]:
    inlined = {name: value for name, value in message.items() if name != "reasoning_content"}
    trace = message.get("reasoning_content")
    return {**inlined, "content": f"{trace}\n{inlined['content']}"} if trace else inlined


DIALOGUES: dict[str, Callable[[Sequence[Dialogue]], list[Dialogue]]] = {
    "": list,
    "system lost": drop_system,
    "in both modes": pair_modes,
    "traces in content": inline_reasoning,
}


def keep_labels(ids: Sequence[int], labels: Sequence[int], stops: frozenset[int]) -> list[int]:
    """Return the labels of the template."""
    return list(labels)


def all_tokens(ids: Sequence[int], labels: Sequence[int], stops: frozenset[int]) -> list[int]:
    """Return labels that train every token."""
    return list(ids)


def without_stop(ids: Sequence[int], labels: Sequence[int], stops: frozenset[int]) -> list[int]:
    """Return labels that train no stop token."""
    return [IGNORE_INDEX if label in stops else label for label in labels]


LABELS: dict[str, Callable[[Sequence[int], Sequence[int], frozenset[int]], list[int]]] = {
    "": keep_labels,
    "all tokens": all_tokens,
    "without stop": without_stop,
}
