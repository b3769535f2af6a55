"""Measures of a trained model on held-out dialogues: shares with confidence intervals, and the loss."""

from __future__ import annotations

import contextlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from chattmpl.training.prove.dialogues import AssistantTurn, Dialogue

if TYPE_CHECKING:
    from chattmpl.training.adapter.completions import Completion

_Z = 1.959963984540054
"""Quantile of the normal distribution for intervals at 95 %."""

_ROWS = 32
_EXAMPLES = 6


@dataclass(frozen=True)
class Proportion:
    """A count out of a total."""

    count: int
    of: int

    @classmethod
    def of_outcomes(cls, outcomes: Iterable[bool]) -> Proportion:
        """Return the proportion of outcomes that are true."""
        each = list(outcomes)
        return cls(sum(each), len(each))

    @property
    def value(self) -> float | None:
        """The share, from 0 to 1; None if the total is 0."""
        return self.count / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's score interval at 95 %."""
        if not self.of:
            return 0.0, 1.0
        share, weight = self.count / self.of, _Z * _Z / self.of
        middle = share + weight / 2
        spread = _Z * math.sqrt(share * (1 - share) / self.of + weight / (4 * self.of))
        return max(0.0, (middle - spread) / (1 + weight)), min(1.0, (middle + spread) / (1 + weight))

    def to_dict(self) -> dict[str, Any]:
        """Return the proportion as JSON."""
        low, high = self.interval
        return {"count": self.count, "of": self.of, "share": self.value, "low": low, "high": high}


class SampledTurn(NamedTuple):
    """An assistant turn with the completion that the model sampled for it."""

    turn: AssistantTurn
    completion: Completion

    @property
    def parsed(self) -> bool:
        """True if the completion can be parsed."""
        return self.completion.conversation is not None

    @property
    def reasoned(self) -> bool | None:
        """True if the completion has reasoning; None if it is not parsed."""
        message = self.completion.message
        return None if message is None else bool(message.reasoning_content)

    @property
    def correct(self) -> bool:
        """True if the completion has the right answer, or the right tool call."""
        message = self.completion.message
        if message is None:
            return False
        fields = message.dump()
        calls = [call["function"] for call in fields.get("tool_calls") or []]
        if self.turn.calls:
            made = [(call.get("name"), _texts(call.get("arguments"))) for call in calls]
            return made == [("prices", {"item": self.turn.task.item})]
        return not calls and self.turn.task.accepts(fields.get("content") or "")

    @property
    def follows_mode(self) -> bool:
        """True if the completion reasons exactly if it should."""
        return self.reasoned == self.turn.thinks

    @property
    def kind(self) -> str:
        """The kind of task, for reports."""
        return "tool call" if self.turn.calls else self.turn.task.kind


def _texts(arguments: Any) -> Any:
    """Return the arguments of a call as texts: without a schema, a bare digit is a number."""
    if isinstance(arguments, str):
        with contextlib.suppress(ValueError):
            arguments = json.loads(arguments)
    return {name: str(value) for name, value in arguments.items()} if isinstance(arguments, dict) else arguments


@dataclass(frozen=True)
class HeldOutLoss:
    """The loss on supervised tokens of held-out rows.

    ``nats`` is the mean loss in nats per token, and ``floor`` the lowest mean loss that any model can have.
    """

    tokens: int
    nats: float
    floor: float


def summarize(turns: Sequence[SampledTurn], *, reasoning: bool, limit: int) -> dict[str, Any]:
    """Return all counts as JSON.

    ``reasoning`` says that the template renders reasoning; ``limit`` is the largest number of tokens of a completion.
    """
    unstopped = [each.completion for each in turns if each.completion.stop is None]
    return {
        "turns": len(turns),
        "parsed": Proportion.of_outcomes(each.parsed for each in turns).to_dict(),
        "stopped": Proportion.of_outcomes(each.completion.stop is not None for each in turns).to_dict(),
        "stops": dict(Counter(each.completion.stop for each in turns if each.completion.stop)),
        "not_stopped": {"limit": limit, "endings": dict(Counter(each.text[-12:] for each in unstopped).most_common(5))},
        "refusals": dict(Counter(each.completion.refusal for each in turns if not each.parsed).most_common(5)),
        "tasks": _by_task(turns, reasoning),
        "switching": _switching(turns) if reasoning else None,
        "examples": [_example(each) for each in _select_examples(turns)],
    }


def _switching(turns: Sequence[SampledTurn]) -> dict[str, Any]:
    free = [each for each in turns if not each.turn.switched]
    numbers = sorted({each.turn.number for each in free})
    return {
        "all": _following(free),
        "by_turn": {str(number): _following([e for e in free if e.turn.number == number]) for number in numbers},
        "to_think": _following([each for each in free if each.turn.thinks]),
        "not_to_think": _following([each for each in free if not each.turn.thinks]),
        "forced": _following([each for each in turns if each.turn.switched]),
    }


def _following(turns: Sequence[SampledTurn]) -> dict[str, Any]:
    return Proportion.of_outcomes(each.follows_mode for each in turns).to_dict()


def _by_task(turns: Sequence[SampledTurn], reasoning: bool) -> dict[str, Any]:
    modes = {"with_reasoning": True, "without_reasoning": False} if reasoning else {"without_reasoning": False}
    return {
        kind: {
            name: Proportion.of_outcomes(
                each.correct for each in turns if each.kind == kind and each.turn.thinks is thinks
            ).to_dict()
            for name, thinks in modes.items()
        }
        for kind in sorted({each.kind for each in turns})
    }


def _select_examples(turns: Sequence[SampledTurn]) -> list[SampledTurn]:
    """Return some wrong answers, then one right answer of each kind and mode."""
    wrong = [each for each in turns if not each.correct]
    right = list({(each.kind, each.turn.thinks): each for each in turns if each.correct}.values())
    return [*wrong[: _EXAMPLES // 2], *right[:_EXAMPLES]]


def _example(each: SampledTurn) -> dict[str, Any]:
    task = each.turn.task
    return {
        "task": each.kind,
        "asked": task.question,
        "expected": f"a call for {task.item}" if each.turn.calls else task.answer,
        "reasons": each.turn.thinks,
        "sampled": each.completion.text,
        "right": each.correct,
        "refusal": each.completion.refusal,
    }


def held_out_loss(model: Any, tokenizer: Any, rows: Any, dialogues: Sequence[Dialogue]) -> HeldOutLoss:
    """Return the loss on held-out rows, and the entropy of what the tasks leave to chance.

    All reasoning and all answers follow from the prompt, except the word that opens an answer to a persona task: one of
    several, each as likely. The floor sums the logarithm of their number over these answers.
    """
    import torch

    from chattmpl.encode.encoding import IGNORE_INDEX
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
                logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORE_INDEX, reduction="sum"
            )
            nats += float(losses)
            tokens += int((labels != IGNORE_INDEX).sum())
    entropy = sum(math.log(1 + len(turn.task.also)) for dialogue in dialogues for turn in dialogue.turns)
    return HeldOutLoss(tokens, nats / max(1, tokens), entropy / max(1, tokens))
