"""Encode conversations with the stock templates of the hub, and judge the rows with transformers alone.

    python bench/hub.py [--first N] [--names TEXT…] [--made N] [--show] [--json FILE]

Each template is given to ``Encoder`` as it comes from the hub, without any option, with a tokenizer of bytes and the
control tokens in the template's text. `support.row_judge` judges the rows. Left out is what transformers does not
render: conversations that a template refuses, and answers of which it drops the reasoning or the calls. `OTHER_TASKS`
are set aside, since what they generate is no answer of a chat.

Content is given as text, and as a list of parts to templates that take only these. Conversations with reasoning are
also encoded with each value of a kwarg that changes the prompt, since the prompt of another mode cannot be followed by
it. ``modes`` is the plain conversation with each of these values, all of which must be right. ``--made`` adds
conversations that hypothesis generates.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from hypothesis import HealthCheck, Phase, given, settings

from chattmpl import Encoder, Template
from chattmpl.errors import ChatTmplError
from chattmpl.probing.corpus import as_parts
from chattmpl.probing.facts import facts_of, with_placeholders
from support.fetched import hub_downloads, hub_templates
from support.row_judge import TOOL, Judge, Verdict, answer, calls, conversations, result, user

_TURNS = [user("one fish"), answer("red fish"), user("two fish"), answer("blue fish")]

CONVERSATIONS: dict[str, dict[str, Any]] = {
    "plain": {"messages": _TURNS},
    "system": {"messages": [{"role": "system", "content": "Be brief."}, *_TURNS]},
    "reasoning": {
        "messages": [
            *(user("one fish"), answer("red fish", reasoning_content="hmm one")),
            *(user("two fish"), answer("blue fish", reasoning_content="hmm two")),
        ]
    },
    "tool loop": {
        "messages": [
            *(user("look"), calls("herring"), result(0, "a cod"), answer("A cod.")),
            *(user("bye"), answer("Bye.")),
        ],
        "tools": [TOOL],
    },
    "parallel calls": {
        "messages": [
            *(user("look"), calls("herring", "finch"), result(0, "a cod"), result(1, "a jay")),
            answer("Both."),
        ],
        "tools": [TOOL],
    },
}

OTHER_TASKS = {
    "reranker": ("Qwen-Qwen3-Reranker-0.6B",),
    "reward or preference model": (
        "internlm-internlm2-1_8b-reward",
        "Qwen-Qwen2.5-Math-PRM-7B",
        "Qwen-WorldPM-72B-UltraFeedback",
        "nvidia-NVIDIA-Nemotron-3-Ultra-550B-A55B-GenRM",
        "nvidia-Qwen3-Nemotron-235B-A22B-GenRM-2603",
    ),
    "classifier of conversations": (
        "alpindale-Llama-Guard-3-1B",
        "ServiceNow-AI-AprielGuard",
        "kakaocorp-kanana-safeguard-8b",
        "kakaocorp-kanana-safeguard-prompt-2.1b",
        "kakaocorp-kanana-safeguard-siren-8b",
        "nvidia-Nemotron-3-Content-Safety",
        "nvidia-Nemotron-3.5-Content-Safety",
        "ibm-granite-granite-guardian-3.0-2b",
        "ibm-granite-granite-guardian-3.1-2b",
        "ibm-granite-granite-guardian-3.2-5b",
        "ibm-granite-granite-guardian-3.2-8b-factuality-detection",
        "ibm-granite-granite-guardian-3.3-8b",
        "inclusionAI-SingGuard-2b",
        "openguardrails-OpenGuardrails-Text-2510",
    ),
    "simulator of users": ("microsoft-UserLM-8b",),
    "embedding": ("BAAI-BGE-VL-Screenshot",),
    "speech recognition, alignment or synthesis": (
        "Qwen-Qwen3-ASR-1.7B",
        "Qwen-Qwen3-ForcedAligner-0.6B-hf",
        "bezzam-VibeVoice-7B-hf",
        "microsoft-VibeVoice-ASR-HF",
    ),
    "document parser": ("nvidia-NVIDIA-Nemotron-Parse-v1.1-TC",),
}
"""Templates of models that do not chat, by their task."""

TASK_OF = {name: task for task, names in OTHER_TASKS.items() for name in names}

_WORST_FIRST = ("wrong", "refused", "trained", "left out")
_BEST_FIRST = ("wrong", "trained", "refused", "left out")


class Subject:
    """A template of the hub, encoded by ``Encoder`` and judged with transformers."""

    def __init__(self, source: str) -> None:
        self.template = with_placeholders(Template.from_source(source))
        self.judge = Judge(source, dict(self.template.tokens))
        self.encoder = Encoder(self.template, self.judge.tokenizer)
        facts = facts_of(self.template)
        self.thinks: dict[str, Any] = {}
        """The kwargs with which its prompts are followed by reasoning."""
        self.settings = [given for given in facts.settings if "continue_final_message" not in given]

    def verdict(self, conversation: dict[str, Any]) -> Verdict:
        """Judge one conversation, with content as text or else as parts."""
        given = self._rendered(conversation)
        if given is None:
            return Verdict("left out")
        return self.judge.judge(given, self.encoder.encode_rows([given])[0])

    def count_rows(self, conversation: dict[str, Any], kind: str) -> int:
        """Return the number of rows of a conversation that is trained."""
        thinks = {"chat_template_kwargs": self.thinks} if kind == "reasoning" and self.thinks else {}
        given = self._rendered({**conversation, **thinks})
        return 0 if given is None else len(self.encoder.encode_rows([given])[0])

    def _rendered(self, conversation: dict[str, Any]) -> dict[str, Any] | None:
        """Return a conversation with content as text or else as parts, whichever transformers renders."""
        return next(filter(self.judge.is_rendered, (conversation, as_parts(conversation))), None)

    def verdicts(self) -> Iterator[tuple[str, Verdict]]:
        """Yield the verdict on each kind of conversation."""
        for name, conversation in CONVERSATIONS.items():
            verdict = self.verdict(conversation)
            if name == "reasoning" and verdict.kind == "refused":
                found = [(self.verdict({**conversation, "chat_template_kwargs": each}), each) for each in self.settings]
                verdict, self.thinks = min([(verdict, {}), *found], key=lambda each: _BEST_FIRST.index(each[0].kind))
            yield name, verdict
        plain = CONVERSATIONS["plain"]
        found = [self.verdict({**plain, "chat_template_kwargs": each}) for each in self.settings]
        yield "modes", min(found, key=lambda verdict: _WORST_FIRST.index(verdict.kind), default=Verdict("left out"))

    def made(self, count: int, reasoning: bool, tools: bool) -> Verdict:
        """Return the worst verdict on conversations that hypothesis generates, which are always the same."""
        found: list[Verdict] = []

        @settings(
            max_examples=count,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(conversations(reasoning=reasoning, tools=tools))
        def judge_one(conversation: dict[str, Any]) -> None:
            found.append(self.verdict({**conversation, "chat_template_kwargs": self.thinks}))

        judge_one()
        return min(found, key=lambda verdict: _WORST_FIRST.index(verdict.kind))


def verdicts(source: str, made: int) -> dict[str, Verdict]:
    """Return the verdict on each kind of conversation; all are refused if the template is."""
    try:
        subject = Subject(source)
        found = dict(subject.verdicts())
    except ChatTmplError as error:
        return {kind: Verdict("refused", error.message) for kind in CONVERSATIONS}
    if made:
        trained = {kind for kind, verdict in found.items() if verdict.kind == "trained"}
        if "plain" in trained:
            found["made"] = subject.made(made, "reasoning" in trained, "parallel calls" in trained)
    return found


def main() -> None:
    """Judge the templates, and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, help="Number of templates, the most downloaded first. Default: all.")
    parser.add_argument("--names", nargs="*", default=[], help="Parts of the names of templates.")
    parser.add_argument("--made", type=int, default=0, help="Conversations by hypothesis, per template. Default: none.")
    parser.add_argument("--show", action="store_true", help="Print what is refused or wrong.")
    parser.add_argument("--json", metavar="FILE", help="File for the verdicts.")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    downloads: dict[str, Counter[str]] = defaultdict(Counter)
    record: list[dict[str, Any]] = []
    start = time.perf_counter()
    times_of = hub_downloads()
    for name, source in islice(hub_templates().items(), chosen.first):
        times = times_of[name]
        if chosen.names and not any(part in name for part in chosen.names):
            continue
        if name in TASK_OF:
            record.append({"template": name, "downloads": times, "task": TASK_OF[name]})
            continue
        found = verdicts(source, chosen.made)
        record.append({"template": name, "downloads": times, **{kind: list(each) for kind, each in found.items()}})
        for kind, verdict in found.items():
            counts[kind][verdict.kind] += 1
            downloads[kind][verdict.kind] += times
            if chosen.show and verdict.why:
                print(f"{name} ({times:,}), {kind}, {verdict.kind}: {verdict.why[:160]}")
    for kind, each in counts.items():
        judged, loads = each.total() - each["left out"], downloads[kind].total() - downloads[kind]["left out"]
        print(
            f"{kind:<15} trained {each['trained']:>4} of {judged:>4} ({each['trained'] / judged:.1%}, "
            f"{downloads[kind]['trained'] / loads:.1%} of downloads), refused {each['refused']}, wrong {each['wrong']}"
        )
    aside = [each for each in record if "task" in each]
    print(
        f"{len(record)} templates in {time.perf_counter() - start:.0f} s; {len(aside)} set aside, as they do not chat"
    )
    if chosen.json:
        Path(chosen.json).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
