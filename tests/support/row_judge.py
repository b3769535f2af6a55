"""A judge of rows that uses transformers and a tokenizer of bytes alone, and conversations to judge with.

A row is right if the ids before each trained run are those of the prompt that transformers renders for an answer, if
the run holds the content, the reasoning and the calls of that answer and ends with a control token, and if the rows
together train each answer once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from chattmpl.data.rows import Rejection, Row
from chattmpl.template.special_tokens import CONTROL

Message = dict[str, Any]

TOOL = {
    "type": "function",
    "function": {
        "name": "find",
        "description": "Finds.",
        "parameters": {"type": "object", "properties": {"q": {"type": "string", "description": "Query."}}},
    },
}


def user(text: str) -> Message:
    """Return a message of the user."""
    return {"role": "user", "content": text}


def answer(text: str, **more: Any) -> Message:
    """Return a message of the assistant."""
    return {"role": "assistant", "content": text, **more}


def calls(*queries: str) -> Message:
    """Return a message of the assistant that calls the tool with each query."""
    made = [
        {"id": f"call0000{number}", "type": "function", "function": {"name": "find", "arguments": {"q": query}}}
        for number, query in enumerate(queries)
    ]
    return answer("", tool_calls=made)


def result(number: int, text: str) -> Message:
    """Return the result of a call."""
    return {"role": "tool", "name": "find", "content": text, "tool_call_id": f"call0000{number}"}


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

    def render(self, conversation: dict[str, Any], size: int, prompt: bool) -> str:
        """Render the first messages with transformers."""
        text: str = self.theirs.apply_chat_template(
            conversation["messages"][:size],
            tools=conversation.get("tools"),
            tokenize=False,
            add_generation_prompt=prompt,
            **conversation.get("chat_template_kwargs", {}),
        )
        return text

    def is_rendered(self, conversation: dict[str, Any]) -> bool:
        """Return whether transformers renders each answer where the conversation ends with it, and its prompt."""
        try:
            for index, message in enumerate(conversation["messages"]):
                if message["role"] == "assistant":
                    self.render(conversation, index, True)
                    text = self.render(conversation, index + 1, False)
                    if any(part not in text for part in _parts(message)):
                        return False
            self.render(conversation, len(conversation["messages"]), False)
        except Exception:
            return False
        return True

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


def _parts(message: Message) -> list[str]:
    content = message["content"]
    texts = [content] if isinstance(content, str) else [part["text"] for part in content]
    queries = [call["function"]["arguments"]["q"] for call in message.get("tool_calls", ())]
    return [*texts, message.get("reasoning_content", ""), *queries]


def _runs(mask: Sequence[int]) -> Iterator[tuple[int, int]]:
    start = None
    for index, trained in enumerate([*mask, 0]):
        if trained and start is None:
            start = index
        elif not trained and start is not None:
            yield start, index
            start = None


# -- conversations by hypothesis

_SIMPLE = st.sampled_from(["red fish", "herring", "12 cod", "a jay"])
"""Text that every notation of arguments leaves as it is."""

_WORDS = (
    "red fish",
    "12.50",
    "é 日本語",
    "is it 4?",
    "😀",
    'a "quoted" word',
    "it's",
    "x < y & z",
    "one\n\ntwo",
    "{a: 1}",
)

_TEXTS = st.lists(st.sampled_from(_WORDS), min_size=1, max_size=3).map(" ".join)
"""Text that templates render as it is: no control tokens, and no white space at its ends."""


@st.composite
def conversations(draw: st.DrawFn, *, reasoning: bool, tools: bool) -> dict[str, Any]:
    """Generate a conversation of one to three rounds, with traces and tool loops if the template renders them.

    A number makes each text a different one.
    """
    numbers = count(100)

    def text() -> str:
        return f"{draw(_TEXTS)} {next(numbers)}"

    def said(message: Message) -> Message:
        return {**message, "reasoning_content": text()} if reasoning and draw(st.booleans()) else message

    messages: list[Message] = [{"role": "system", "content": text()}] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        messages.append(user(text()))
        for _ in range(draw(st.integers(0, 2)) if tools else 0):
            queries = [f"{draw(_SIMPLE)} {next(numbers)}" for _ in range(draw(st.integers(1, 2)))]
            messages.append(said(calls(*queries)))
            messages += [result(number, text()) for number, _ in enumerate(queries)]
        messages.append(said(answer(text())))
    looped = any("tool_calls" in message for message in messages)
    return {"messages": messages, "tools": [TOOL]} if looped else {"messages": messages}
