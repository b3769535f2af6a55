"""What a trained model does on held-out prompts, in numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from chattmpl.training.prove.dialogues import Talk, Turn
from chattmpl.training.prove.intervals import Share

if TYPE_CHECKING:
    from chattmpl.training.adapter import Completion

_ROWS = 32
_EXAMPLES = 6


class Answered(NamedTuple):
    """A turn with what the model sampled in its place."""

    turn: Turn
    completion: Completion

    @property
    def parsed(self) -> bool:
        """Whether the family's parser reads it."""
        return self.completion.conversation is not None

    @property
    def thought(self) -> bool | None:
        """Whether it has a trace; None where it cannot be read."""
        return bool(self.completion.message.reasoning_content) if self.parsed else None

    @property
    def right(self) -> bool:
        """Whether it answers, or calls, as it should."""
        if not self.parsed:
            return False
        said = self.completion.message.dump()
        calls = [call["function"] for call in said.get("tool_calls") or []]
        if self.turn.calls:
            wanted = {"name": "prices", "arguments": {"item": self.turn.task.item}}
            return len(calls) == 1 and {name: calls[0].get(name) for name in wanted} == wanted
        return not calls and self.turn.task.right(said.get("content") or "")


@dataclass(frozen=True)
class Loss:
    """The loss on supervised tokens of held-out rows, in nats a token, and the least that any model can have."""

    tokens: int
    nats: float
    floor: float


def summary(answered: Sequence[Answered], *, reasoning: bool, limit: int) -> dict[str, Any]:
    """All that is counted, as JSON."""
    others = [each.completion for each in answered if each.completion.stop is None]
    found: dict[str, Any] = {
        "turns": len(answered),
        "parsed": Share.counted(each.parsed for each in answered).to_dict(),
        "stopped": Share.counted(each.completion.stop is not None for each in answered).to_dict(),
        "stops": dict(Counter(each.completion.stop for each in answered if each.completion.stop)),
        "not_stopped": {"limit": limit, "endings": dict(Counter(each.text[-12:] for each in others).most_common(5))},
        "refusals": dict(Counter(each.completion.refusal for each in answered if not each.parsed).most_common(5)),
        "tasks": _tasks(answered, reasoning),
        "switching": None,
        "examples": [_example(each) for each in _chosen(answered)],
    }
    if reasoning:
        free = [each for each in answered if not each.turn.switched]
        numbers = sorted({each.turn.number for each in free})
        found["switching"] = {
            "all": _followed(free),
            "by_turn": {str(number): _followed([e for e in free if e.turn.number == number]) for number in numbers},
            "to_think": _followed([each for each in free if each.turn.thinks]),
            "not_to_think": _followed([each for each in free if not each.turn.thinks]),
            "forced": _followed([each for each in answered if each.turn.switched]),
        }
    return found


def _followed(some: Sequence[Answered]) -> dict[str, Any]:
    """How many have a trace where they should, and none where they should not."""
    return Share.counted(each.thought == each.turn.thinks for each in some).to_dict()


def _tasks(answered: Sequence[Answered], reasoning: bool) -> dict[str, Any]:
    kinds = sorted({_kind(each.turn) for each in answered})
    modes = {"with_reasoning": True, "without_reasoning": False} if reasoning else {"without_reasoning": False}
    return {
        kind: {
            name: Share.counted(
                each.right for each in answered if _kind(each.turn) == kind and each.turn.thinks is thinks
            ).to_dict()
            for name, thinks in modes.items()
        }
        for kind in kinds
    }


def _kind(turn: Turn) -> str:
    return "tool call" if turn.calls else turn.task.kind


def _chosen(answered: Sequence[Answered]) -> list[Answered]:
    """Some that went wrong, then some that did not, one of each kind first."""
    wrong = [each for each in answered if not each.right]
    kinds = list({(_kind(each.turn), each.turn.thinks): each for each in answered if each.right}.values())
    return [*wrong[: _EXAMPLES // 2], *kinds[:_EXAMPLES]]


def _example(each: Answered) -> dict[str, Any]:
    task = each.turn.task
    return {
        "task": _kind(each.turn),
        "asked": task.question,
        "expected": f"a call for {task.item}" if each.turn.calls else task.answer,
        "reasons": each.turn.thinks,
        "sampled": each.completion.text,
        "right": each.right,
        "refusal": each.completion.refusal,
    }


def held_out_loss(model: Any, tokenizer: Any, rows: Any, talks: Sequence[Talk]) -> Loss:
    """The loss on held-out rows, and the entropy of what the tasks leave to chance.

    Every trace and answer follows from the prompt, but for the word that opens an answer about a name: one of several,
    each as likely. The floor is the logarithm of their number for each such answer.
    """
    import torch

    from chattmpl.training.adapter import Collator

    collate = Collator(tokenizer.pad_token_id)
    nats, tokens = 0.0, 0
    model.eval()
    with torch.no_grad():
        for first in range(0, len(rows), _ROWS):
            batch = collate([rows[index] for index in range(first, min(first + _ROWS, len(rows)))])
            batch = {name: values.to(model.device) for name, values in batch.items()}
            logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
            labels = batch["labels"][:, 1:]
            losses = torch.nn.functional.cross_entropy(
                logits.float().flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="sum"
            )
            nats += float(losses)
            tokens += int((labels != -100).sum())
    chance = sum(math.log(1 + len(turn.task.also)) for talk in talks for turn in talk.turns)
    return Loss(tokens, nats / max(1, tokens), chance / max(1, tokens))
