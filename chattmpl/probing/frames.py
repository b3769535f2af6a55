"""The template's own text around messages: turn frames, generation prompts, stop tokens, BOS."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from chattmpl.probing.corpus import (
    ASK,
    ASK_MORE,
    SAY,
    SAY_MORE,
    TRACES,
    TUSKS,
    Message,
    call_message,
    result_message,
    with_trace,
)
from chattmpl.probing.prober import Prober, Turn, before_split_token, content_range
from chattmpl.source import common_length
from chattmpl.template.special_tokens import CONTROL, Endings, TurnEnding
from chattmpl.template.template import Rendering, Template

ASSISTANT_NAME = re.compile(r"(?i)assistant|chatbot|model|\b(?:ai|bot|gpt)\b")
"""Names of the assistant in headers."""

_TRACE_TAG = re.compile(r"<(/?)\|?(?:\w*think\w*|reasoning)\|?>|\[(/?)THINK\]", re.IGNORECASE)
"""The tags around a reasoning trace."""

_ASSISTANT_HEADER = re.compile(r"<[^<>\s]+>\W*(?i:assistant|model|ai|bot)\W|(?i:assistant|chatbot|model)")

_BOS = re.compile(
    r"<s>|<bos>|<BOS_TOKEN>|<\|begin_of_text\|>|<｜begin▁of▁sentence｜>|<\|startoftext\|>|<\|endoftext\|>"
    r"|<\|begin▁of▁sentence\|>|<seed:bos>(?!\w)|<\|bos\|>|\[BOS\]"
)
"""Spellings of BOS, for templates that write it themselves."""

_MESSAGES = 4
"""Messages of the conversation that turn frames are read from."""


# -- answers in history


def sampled_up_to(rendering: Rendering, turn: int) -> str | None:
    """Return the text up to the last generated character of a turn; None if nothing of it is generated."""
    ends = [span.end for span in rendering.spans if span.generated and span.turn == turn]
    return rendering.text[: ends[-1]] if ends else None


def rewritten_answers(prober: Prober) -> Iterator[str]:
    """Yield the kinds of answers that are written differently, or the text before them, when other messages follow.

    The generated spans decide; without them, the text up to the answer's end as the last message.
    """
    for name, kind in (("turns", "answers"), ("calls", "calls"), ("reasoning_turns", "reasoning")):
        alone, followed = prober.render(name, 2), prober.render(name)
        if alone is None or followed is None:
            continue
        expected = sampled_up_to(alone, 1)
        if expected is None and followed.text.startswith(alone.text):
            continue
        if expected is None or sampled_up_to(followed, 1) != expected:
            yield kind


# -- turn frames


@dataclass(frozen=True)
class TurnFrames:
    """The texts between the messages of two turns.

    Attributes:
        rendering: the two turns.
        between: the text from the content of one message to that of the next: question to answer, answer to question,
            question to answer.
        starts: the offset of each.
    """

    rendering: Rendering
    between: tuple[str, str, str]
    starts: tuple[int, int, int]

    @property
    def tokens(self) -> list[list[str]]:
        """The control tokens of each text."""
        return [CONTROL.findall(text) for text in self.between]


def find_frames(prober: Prober) -> TurnFrames | None:
    """Return the frames of a template; None if it does not write the contents of two turns in their order."""
    rendering = prober.render("turns")
    if rendering is None:
        return None
    ranges = [content_range(rendering, index) for index in range(_MESSAGES)]
    contents = [given for given in ranges if given is not None]
    pairs = list(pairwise(contents))
    if len(contents) < _MESSAGES or any(one[1] > other[0] for one, other in pairs):
        return None
    first, second, third = (rendering.text[one[1] : other[0]] for one, other in pairs)
    return TurnFrames(rendering, (first, second, third), (contents[0][1], contents[1][1], contents[2][1]))


class Delimiter(NamedTuple):
    """The control tokens that close a turn.

    Attributes:
        tokens: the tokens between its content and the next header.
        rendering: the conversation that shows it.
        end: the offset of the end of its content.
    """

    tokens: list[str]
    rendering: Rendering
    end: int


def turn_delimiters(prober: Prober) -> dict[str, Delimiter]:
    """Return the closings of ``a question``, ``an answer`` and ``a system message``, where a header follows."""
    made = _prompted_question(prober)
    if made is None:
        return {}
    question, common, opener = made
    content = content_range(question, 0)
    found: dict[str, Delimiter] = {}
    if opener is not None and content is not None:
        found["a question"] = Delimiter(CONTROL.findall(question.text[content[1] : common]), question, content[1])
    for what, name, index in (("an answer", "turns", 1), ("a system message", "system", 0)):
        rendering = prober.render(name)
        if rendering is None:
            continue
        content, following = content_range(rendering, index), content_range(rendering, index + 1)
        if content is None or following is None or content[1] > following[0]:
            continue
        tokens = CONTROL.findall(rendering.text[content[1] : following[0]])
        if tokens:
            # Turns of all roles may open with one token; else the last one is the header.
            header = len(tokens) - 1 - tokens[::-1].index(opener) if opener is not None and opener in tokens else None
            closing = tokens[:header] if header is not None else tokens[:1] if len(tokens) > 1 else []
            if index or _has_header(prober.template, rendering):
                found[what] = Delimiter(closing, rendering, content[1])
    return found


def _has_header(template: Template, rendering: Rendering) -> bool:
    """Return whether a control token other than BOS precedes the first message."""
    content = content_range(rendering, 0)
    before = rendering.text[: content[0] if content else 0]
    return bool(CONTROL.findall(before.removeprefix(template.tokens.get("bos_token", ""))))


def text_before_questions(prober: Prober) -> str:
    """Return the text that precedes every question: the common end of what precedes two of them."""
    made = prober.text([ASK, SAY, ASK_MORE])
    if made is None or ASK["content"] not in made or ASK_MORE["content"] not in made:
        return ""
    first = made[: made.index(ASK["content"])]
    second = made[: made.index(ASK_MORE["content"])]
    length = common_length(first[::-1], second[::-1])
    return first[len(first) - length :].strip()


def question_token(prober: Prober) -> str | None:
    """Return the first of the control tokens that open every question; None if there is none.

    Candidates are in the common text before two questions, and in the text written while the second is rendered.
    Either may also contain the end of the previous turn, if that is the same for both, or is written late.
    """
    made = prober.outcome([ASK, SAY, ASK_MORE])
    words = [ASK["content"], SAY["content"], ASK_MORE["content"]]
    if not isinstance(made, Rendering) or not all(word in made.text for word in words):
        return None
    at, said, more = (made.text.index(word) for word in words)
    alike = []
    pairs = zip(
        reversed(CONTROL.findall(made.text[:at])), reversed(CONTROL.findall(made.text[said:more])), strict=False
    )
    for one, other in pairs:
        if one != other:
            break
        alike.append(one)
    starts = [span.start for span in made.spans if span.turn == 2]
    written = CONTROL.findall(made.text[starts[0] : more]) if starts else alike
    opener = min(alike[::-1], written, key=len)
    return opener[0] if opener else None


# -- the generation prompt


def generation_prompt(prober: Prober, kwargs: Mapping[str, Any] | None = None) -> str | None:
    """Return the text that ``add_generation_prompt`` appends to a question; None if the template raises."""
    without, prompted = (prober.text([ASK], prompt=prompt, kwargs=kwargs) for prompt in (False, True))
    if without is None or prompted is None:
        return None
    start = common_length(without, prompted)
    if not prompted.startswith(without):
        # Two control tokens that begin alike have nothing in common.
        start = next((m.start() for m in CONTROL.finditer(prompted) if m.start() < start < m.end()), start)
    return prompted[start:]


def prompts_trace(prober: Prober, kwargs: Mapping[str, Any]) -> bool | None:
    """Return True if the generation prompt opens a reasoning trace, False if it closes one, None if it does neither."""
    tags = list(_TRACE_TAG.finditer(generation_prompt(prober, kwargs) or ""))
    return None if not tags else not (tags[-1][1] or tags[-1][2])


def prompt_token(prober: Prober) -> str | None:
    """Return the first control token of the generation prompt."""
    made = _prompted_question(prober)
    return None if made is None else made[2]


def _prompted_question(prober: Prober) -> tuple[Rendering, int, str | None] | None:
    """Return a question, the offset at which its prompted form differs, and the first control token there."""
    question, prompted = prober.render("turn", 1), prober.render("turn", 1, prompt=True)
    if question is None or prompted is None:
        return None
    # Some templates close a text that does not prompt an answer.
    common = before_split_token(question.text, common_length(question.text, prompted.text))
    return question, common, next(iter(CONTROL.findall(prompted.text[common:])), None)


def unrequested_prompt(prober: Prober) -> int | None:
    """Return the offset in a question with its answer at which an answer is prompted although none was requested."""
    for turn in prober.turns("turn"):
        if turn.before.text != turn.prompt.text or turn.content is None:
            continue
        question = content_range(turn.whole, 0)
        between = turn.whole.text[question[1] : turn.content[0]] if question else ""
        named = list(_ASSISTANT_HEADER.finditer(between))
        opener = between[named[-1].start() :].rstrip() if named else ""
        tail = turn.tail.rstrip()
        # A header may continue with text that the model samples, such as the name of a channel.
        for length in range(len(opener), 0, -1):
            if tail.endswith(opener[:length]) and ASSISTANT_NAME.search(opener[:length]):
                return len(turn.whole.text.rstrip()) - length
    return None


def find_bos(prober: Prober) -> str | None:
    """Return the BOS token that the template writes; None if it writes none."""
    text = prober.text([ASK], prompt=True)
    if text is None:
        return None
    token = prober.template.tokens.get("bos_token")
    if token and text.startswith(token):
        return token
    match = _BOS.match(text)
    return match[0] if match else None


# -- stop tokens


def find_stop_tokens(prober: Prober, settings: Iterable[Mapping[str, Any]] = ()) -> tuple[str, ...] | None:
    """Return the tokens that end an assistant turn; None if no such turn is rendered.

    They are the last control token after the content, whatever follows. Where the last turn and an earlier one end
    differently, both ends count. Settings are kwargs that change how history is rendered, each tried as well.
    """
    call = call_message(**prober.call_options)
    answers = ((SAY, False), (with_trace(SAY, TRACES[0]), False), (call, True))
    found: dict[str, None] = {}
    seen, opener = False, question_token(prober)
    for kwargs in ({}, *settings):
        for turn, tools in answers:
            following = [result_message(), SAY_MORE] if tools else [ASK_MORE]
            alone = _tail(prober, [ASK, turn], turn, tools, kwargs)
            if alone is not None:
                seen = True
                followed = _tail(prober, [ASK, turn, *following], turn, tools, kwargs)
                found.update(dict.fromkeys(_ends(alone, followed, following[0]["content"], opener)))
    return tuple(found) if seen else None


def _tail(prober: Prober, messages: list[Message], turn: Message, tools: bool, kwargs: Mapping[str, Any]) -> str | None:
    """Return the text after the content of a turn; None if that is not rendered."""
    text = prober.text(messages, tools=tools, kwargs=kwargs)
    word = TUSKS[0] if turn.get("tool_calls") else SAY["content"]
    return None if text is None or word not in text else text[text.rindex(word) + len(word) :]


def _ends(alone: str, followed: str | None, next_word: str, opener: str | None) -> list[str]:
    """Return the tokens that end a turn, from the text after it as the last one and with a message following (None if
    refused).

    ``next_word`` is the content of that message, and ``opener`` the control token that opens a question.
    """
    last = _controls(alone, opener)
    if followed is None or next_word not in followed:
        return [match[0] for match in last[-1:]]
    followed = followed[: followed.index(next_word)]
    common = common_length(alone, followed)
    both = [match for match in last if match.end() <= common]
    if both or (last and opener is None):
        return [match[0] for match in (both or last)[-1:]]
    closing = _controls(followed, opener) if opener is not None and opener in followed else []
    return [match[0] for match in (*last[-1:], *closing[-1:])]


def _controls(text: str, opener: str | None) -> list[re.Match[str]]:
    """Return the control tokens before the one that opens the next turn."""
    end = text.find(opener) if opener else -1
    return list(CONTROL.finditer(text, 0, len(text) if end < 0 else end))


def answer_stops(prober: Prober, kwargs: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """Return the tokens that end a plain answer: those of the family, or the one that follows the content."""
    family = prober.template.family
    if family is not None:
        return tuple(family.generation.stop_tokens)
    made = prober.outcome([ASK, SAY], kwargs=kwargs)
    content = content_range(made, 1) if isinstance(made, Rendering) else None
    if not isinstance(made, Rendering) or content is None:
        return ()
    stop = _first_stop(made.text[content[1] :], prober.template.tokens.get("eos_token") or "")
    return () if stop is None else (stop,)


def _first_stop(tail: str, eos: str) -> str | None:
    """Return the token that ends the turn that a text follows."""
    first = CONTROL.search(tail)
    if first is None:
        return eos if eos and eos in tail else None
    end = first.end()
    while (match := CONTROL.match(tail, end)) is not None:
        end = match.end()
    # Of several tokens in a row, an engine stops at the one that it knows as the end.
    for token in (eos, "</s>"):
        at = tail.find(token) if token else -1
        if 0 <= at < end:
            return token
    return first[0]


def turn_endings(prober: Prober) -> Endings:
    """Return the ends of answers and of turns with tool calls.

    Where the template ends the last turn without a stop token, the model stops by sampling the control token with which
    the next turn begins; where that has none either, the EOS token.
    """
    options = prober.call_options
    one, two = call_message(**options), call_message(TUSKS, **options)
    loop = [ASK, one, result_message(), SAY_MORE]
    answers = ([ASK, SAY], [ASK, with_trace(SAY, TRACES[0])], loop)
    kinds = {False: [(each, ASK_MORE, False) for each in answers[:2]] + [(loop, ASK_MORE, True)]}
    kinds[True] = [([ASK, each], result_message(), True) for each in (one, two)] if options else []
    found = {
        calls: dict.fromkeys(
            end for messages, following, tools in some if (end := _ending(prober, messages, following, tools))
        )
        for calls, some in kinds.items()
    }
    return {calls: tuple(found[calls] or found[not calls]) for calls in found}


def _ending(prober: Prober, messages: list[Message], following: Message, tools: bool) -> TurnEnding | None:
    """Return the end of the last of some messages; None if it is not rendered."""
    alone = prober.outcome(messages, tools=tools)
    tail = _text_after(alone, len(messages) - 1)
    if tail is None:
        return None
    eos = prober.template.tokens.get("eos_token") or ""
    stop = _last_stop(tail, eos, question_token(prober))
    if stop is not None:
        return TurnEnding(stop.stop, tail[stop.end :], "")
    followed = _text_after(prober.outcome([*messages, following], tools=tools), len(messages) - 1) or ""
    followed = followed.partition(following["content"])[0]
    marker = CONTROL.search(followed)
    if marker is None or marker[0] == find_bos(prober):
        return TurnEnding(eos, "", eos) if eos else None
    gap = followed[: marker.end()]
    return TurnEnding(marker[0], "", gap[len(tail) :] if gap.startswith(tail) else marker[0])


class _FoundStop(NamedTuple):
    stop: str
    end: int


def _last_stop(tail: str, eos: str, opener: str | None) -> _FoundStop | None:
    """Return the stop token in the text after the last field of the last turn."""
    if eos and eos in tail:
        return _FoundStop(eos, tail.index(eos) + len(eos))
    found = _controls(tail, opener)
    return _FoundStop(found[-1][0], found[-1].end()) if found else None


def _text_after(made: object, index: int) -> str | None:
    """Return the text after the last rendered character of a message; None if there is none."""
    if not isinstance(made, Rendering):
        return None
    content = content_range(made, index)
    return None if content is None else made.text[content[1] :]


def possible_stops(rendering: Rendering, index: int, kwargs: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """Return the tokens that may end one rendered turn; see `PossibleStops`."""
    return PossibleStops(rendering, kwargs).of_turn(index)


class PossibleStops:
    """The tokens that may end each rendered turn, in linear time for all turns of a conversation.

    They are those of the family; without one ``eos_token``, and each control token between the content and the end of
    the turn.

    Args:
        rendering: the rendered conversation.
        kwargs: its template kwargs, which may set ``eos_token``.
    """

    def __init__(self, rendering: Rendering, kwargs: Mapping[str, Any] | None = None) -> None:
        self._rendering = rendering
        family = rendering.template.family
        self._of_family = None if family is None else tuple(family.generation.stop_tokens)
        eos = {**rendering.template.tokens, **(kwargs or {})}.get("eos_token")
        self._eos = [eos] if isinstance(eos, str) and eos else []
        self._content_end: dict[int, int] = {}
        self._generated: dict[int, int] = {}
        for span in rendering.spans:
            if span.message is not None and span.field != "role":
                self._content_end[span.message] = span.end
            if span.turn is not None and span.generated:
                self._generated.setdefault(span.turn, span.start)

    def of_turn(self, index: int) -> tuple[str, ...]:
        """Return the tokens that may end the turn of the message with this index."""
        if self._of_family is not None:
            return self._of_family
        text, spans = self._rendering.text, self._rendering.spans
        # A message without content has no text to search after.
        start = self._content_end.get(index, self._generated.get(index, len(text)))
        first = bisect_left(spans, start, key=lambda span: span.start)
        later = (spans[at].start for at in range(first, len(spans)) if (spans[at].turn or 0) > index)
        after = CONTROL.findall(text, start, next(later, len(text)))
        return tuple(dict.fromkeys([*self._eos, *after]))


def ends_in_next_turn(rendering: Rendering, end: int, stops: Sequence[str]) -> bool:
    """Return whether the generated text goes on at the end of a turn, up to a stop token of the next one."""
    following = next((stop for start, stop in rendering.generated if start <= end < stop), None)
    return following is not None and rendering.text[end:following].strip() in stops


def stop_ranges(turn: Turn) -> list[tuple[int, int]]:
    """Return the ranges of the tokens that may end a turn which is the last of its conversation."""
    if turn.content is None:
        return []
    family = turn.whole.template.family
    return [
        match.span()
        for match in CONTROL.finditer(turn.whole.text, turn.content[1])
        # A token that opens a tool's result belongs to the tool, whoever writes it.
        if not match[0].lstrip("<|").startswith("tool_response")
        and (family is None or match[0] in family.generation.stop_tokens)
    ]
