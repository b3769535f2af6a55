"""Encode conversations with the stock templates of the hub, and judge the rows with transformers alone.

    python bench/hub.py [--first N] [--names TEXT…] [--show] [--json FILE]

Each template is given to ``Encoder`` as it comes from the hub, without any option, with a tokenizer of bytes and the
control tokens in the template's text. A row is right if the ids before each trained run are those of the prompt that
transformers renders for an answer, if the run holds the content, the reasoning and the calls of that answer and ends
with a control token, and if the rows together train each answer once. What transformers does not render is left out:
templates that refuse the conversation, and those that drop its reasoning or its calls.

Conversations with reasoning are also encoded with each value of the first kwarg that switches reasoning, since the
prompt of another mode cannot be followed by it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from chattmpl import Encoder, Template
from chattmpl.data.rows import Rejection, Row
from chattmpl.errors import ChatTmplError
from chattmpl.probing.facts import with_placeholders
from chattmpl.template.special_tokens import CONTROL
from support.fetched import hub_downloads, hub_templates

Message = dict[str, Any]

_TOOL = {
    "type": "function",
    "function": {
        "name": "find",
        "description": "Finds.",
        "parameters": {"type": "object", "properties": {"q": {"type": "string", "description": "Query."}}},
    },
}
_SWITCHES = ("enable_thinking", "thinking", "reasoning")
"""Kwargs that switch reasoning on."""


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _answer(text: str, **more: Any) -> Message:
    return {"role": "assistant", "content": text, **more}


def _calls(*queries: str) -> Message:
    made = [
        {"id": f"call0000{number}", "type": "function", "function": {"name": "find", "arguments": {"q": query}}}
        for number, query in enumerate(queries)
    ]
    return _answer("", tool_calls=made)


def _result(number: int, text: str) -> Message:
    return {"role": "tool", "name": "find", "content": text, "tool_call_id": f"call0000{number}"}


_TURNS = [_user("one fish"), _answer("red fish"), _user("two fish"), _answer("blue fish")]

CONVERSATIONS: dict[str, dict[str, Any]] = {
    "plain": {"messages": _TURNS},
    "system": {"messages": [{"role": "system", "content": "Be brief."}, *_TURNS]},
    "reasoning": {
        "messages": [
            *(_user("one fish"), _answer("red fish", reasoning_content="hmm one")),
            *(_user("two fish"), _answer("blue fish", reasoning_content="hmm two")),
        ]
    },
    "tool loop": {
        "messages": [
            *(_user("look"), _calls("herring"), _result(0, "a cod"), _answer("A cod.")),
            *(_user("bye"), _answer("Bye.")),
        ],
        "tools": [_TOOL],
    },
    "parallel calls": {
        "messages": [
            *(_user("look"), _calls("herring", "finch"), _result(0, "a cod"), _result(1, "a jay")),
            _answer("Both."),
        ],
        "tools": [_TOOL],
    },
}


class Verdict(NamedTuple):
    """``trained`` as sampled, ``refused``, ``wrong``, or ``left out``, and why."""

    kind: str
    why: str = ""


@dataclass
class Judge:
    """The judge of one template: renders with transformers, and encodes with a tokenizer of bytes."""

    source: str
    tokens: dict[str, str]
    tokenizer: Tokenizer = field(init=False)
    theirs: PreTrainedTokenizerFast = field(init=False)

    def __post_init__(self) -> None:
        alphabet = {char: number for number, char in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
        self.tokenizer = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
        self.tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        self.tokenizer.decoder = decoders.ByteLevel()
        control = sorted({*CONTROL.findall(self.source), *self.tokens.values()})
        self.tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in control])
        self.theirs = PreTrainedTokenizerFast(tokenizer_object=self.tokenizer, **self.tokens)
        self.theirs.chat_template = self.source

    def render(self, conversation: dict[str, Any], count: int, prompt: bool) -> str:
        """Render the first messages with transformers."""
        text: str = self.theirs.apply_chat_template(
            conversation["messages"][:count],
            tools=conversation.get("tools"),
            tokenize=False,
            add_generation_prompt=prompt,
            **conversation.get("chat_template_kwargs", {}),
        )
        return text

    def is_rendered(self, conversation: dict[str, Any]) -> bool:
        """Return whether transformers renders the conversation with the reasoning and the calls of its last turns."""
        try:
            whole = self.render(conversation, len(conversation["messages"]), False)
        except Exception:
            return False
        last = [m.get("reasoning_content", "") for m in conversation["messages"]][-1]
        named = [query for m in conversation["messages"] for query in _queries(m)]
        return last in whole and all(query in whole for query in named)

    def judge(self, conversation: dict[str, Any], rows: list[Row] | Rejection) -> Verdict:
        """Compare the rows of a conversation with its prompts."""
        if isinstance(rows, Rejection):
            return Verdict("refused", rows.message)
        messages = conversation["messages"]
        prompts = {
            tuple(self.tokenizer.encode(self.render(conversation, index, True)).ids): index
            for index, message in enumerate(messages)
            if message["role"] == "assistant"
        }
        seen: Counter[int] = Counter()
        for row in rows:
            ids = row.input_ids.tolist()
            for start, end in _runs(row.mask.tolist()):
                text = self.tokenizer.decode(ids[start:end], skip_special_tokens=False)
                index = prompts.get(tuple(ids[:start]))
                if index is None:
                    return Verdict("wrong", f"no prompt is before {text!r}")
                if lost := [part for part in _parts(messages[index]) if part not in text]:
                    return Verdict("wrong", f"{lost[0]!r} is not in {text!r}")
                if not any(match.end() == len(text) for match in CONTROL.finditer(text)):
                    return Verdict("wrong", f"{text!r} ends without a control token")
                seen[index] += 1
        if sorted(seen.elements()) != sorted(prompts.values()):
            return Verdict("wrong", f"answers {sorted(seen.elements())} of {sorted(prompts.values())} are trained")
        return Verdict("trained")


def _queries(message: Message) -> list[str]:
    return [call["function"]["arguments"]["q"] for call in message.get("tool_calls", ())]


def _parts(message: Message) -> list[str]:
    return [message["content"], message.get("reasoning_content", ""), *_queries(message)]


def _runs(mask: Sequence[int]) -> Iterator[tuple[int, int]]:
    start = None
    for index, trained in enumerate([*mask, 0]):
        if trained and start is None:
            start = index
        elif not trained and start is not None:
            yield start, index
            start = None


def verdicts(source: str) -> Iterator[tuple[str, Verdict]]:
    """Yield the verdict on each kind of conversation."""
    template = with_placeholders(Template.from_source(source))
    judge = Judge(source, dict(template.tokens))
    encoder = Encoder(template, judge.tokenizer, fast="off")
    for name, conversation in CONVERSATIONS.items():
        tried = [conversation]
        if name == "reasoning":
            switches = [switch for switch in _SWITCHES if switch in template.program.variables]
            tried += [{**conversation, "chat_template_kwargs": {switch: True}} for switch in switches]
        found = [judge.judge(each, encoder.encode_rows([each])[0]) for each in tried if judge.is_rendered(each)] or [
            Verdict("left out")
        ]
        yield name, min(found, key=lambda verdict: ("wrong", "trained", "refused", "left out").index(verdict.kind))


def main() -> None:
    """Judge the templates, and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, help="Number of templates, the most downloaded first. Default: all.")
    parser.add_argument("--names", nargs="*", default=[], help="Parts of the names of templates.")
    parser.add_argument("--show", action="store_true", help="Print what is refused or wrong.")
    parser.add_argument("--json", metavar="FILE", help="File for the verdicts.")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    downloads: dict[str, Counter[str]] = defaultdict(Counter)
    record: list[dict[str, Any]] = []
    start = time.perf_counter()
    times_of = hub_downloads()
    ordered = sorted(hub_templates().items(), key=lambda item: -times_of[item[0]])
    for name, source in ordered[: chosen.first]:
        times = times_of[name]
        if chosen.names and not any(part in name for part in chosen.names):
            continue
        try:
            found = dict(verdicts(source))
        except ChatTmplError as error:
            found = {kind: Verdict("refused", error.message) for kind in CONVERSATIONS}
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
    print(f"{len(record)} templates in {time.perf_counter() - start:.0f} s")
    if chosen.json:
        Path(chosen.json).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
