"""The control tokens that a template writes."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from chattmpl.encode.tokenizer import TextTokenizer
from chattmpl.probing.frames import find_bos, find_frames, stop_ranges
from chattmpl.probing.prober import Prober
from chattmpl.probing.reasoning import reasoning_start
from chattmpl.template.blame import span_at
from chattmpl.template.special_tokens import CONTROL, HTML_TAG, NAMES, PIPED_CONTROL, PLACEHOLDER
from chattmpl.template.template import Rendering, Template


def known_control_tokens(template: Template) -> tuple[str, ...]:
    """Return the control tokens that a template's family and special tokens name, the longest first."""
    known = {token for token in template.tokens.values() if token}
    if template.family is not None:
        known.update(template.family.generation.control_tokens, template.family.generation.stop_tokens)
    return tuple(sorted(known, key=lambda token: (-len(token), token)))


def control_pattern(template: Template) -> re.Pattern[str]:
    """Return a pattern of the control tokens in a template's renderings.

    It matches what `known_control_tokens` names, and without a family also anything that resembles a control token:
    the template may put one together, such as ``<|user|>`` from a role.
    """
    names = [re.escape(token) for token in known_control_tokens(template)]
    return re.compile("|".join(names if template.family else [*names, CONTROL.pattern]) or r"(?!)")


def find_control_tokens(template: Template, tokenizer: Any = None) -> tuple[str, ...]:
    """Return the control tokens that a template writes in its own text, in the order of their first use.

    With a tokenizer from `chattmpl.encode.load_tokenizer`, they are its added tokens; without one, anything that
    resembles a control token.
    """
    if template.family is not None:
        generation = template.family.generation
        return tuple(dict.fromkeys((*generation.control_tokens, *generation.stop_tokens)))
    variables = template.program.variables
    texts = [*template.program.literals, *(value for name, value in template.tokens.items() if name in variables)]
    if tokenizer is None:
        return tuple(dict.fromkeys(match[0] for text in texts for match in CONTROL.finditer(text)))
    added = [token.content for token in tokenizer.added.values() if token.control]
    return tuple(dict.fromkeys(content for text in texts for content in added if content in text))


class WrittenToken(NamedTuple):
    """A control token that a template writes.

    Attributes:
        content: the token.
        stop: whether it ends an answer.
        rendering: a conversation that shows it.
        start: its offset there.
    """

    content: str
    stop: bool
    rendering: Rendering
    start: int


def stop_token(prober: Prober) -> WrittenToken | None:
    """Return the token that ends an answer, as the smallest conversation shows it."""
    for turn in prober.turns("turn"):
        for start, end in stop_ranges(turn):
            return WrittenToken(turn.whole.text[start:end], True, turn.whole, start)
    return None


def missing_tokens(prober: Prober, tokenizer: TextTokenizer) -> list[WrittenToken]:
    """Return the control tokens that a template writes and a tokenizer lacks, each once.

    They are the stop token, and in the template's own text: those of the form ``<|name|>`` in small conversations,
    those that the family declares, BOS, and whatever resembles a control token around the messages. Tags around a
    section, as of reasoning, and placeholders for special tokens are none of them.
    """
    template = prober.template
    placeholders = {token for name, token in template.tokens.items() if token == PLACEHOLDER.format(name)}
    stop = stop_token(prober)
    written = {} if stop is None else {stop.content: stop}
    for rendering, start, end, pattern in _own_text(prober):
        for match in pattern.finditer(rendering.text, start, end):
            if match[0] not in written and span_at(rendering, match.start()).literal:
                written[match[0]] = WrittenToken(match[0], False, rendering, match.start())
    return [
        token
        for token in sorted(written.values(), key=lambda token: token.start)
        if token.content not in placeholders and not tokenizer.has_token(token.content) and _counts(token, tokenizer)
    ]


def _own_text(prober: Prober) -> Iterator[tuple[Rendering, int, int, re.Pattern[str]]]:
    """Yield parts of renderings, with the pattern of the control tokens to look for there."""
    declared = control_pattern(prober.template) if prober.template.family is not None else PIPED_CONTROL
    for name, pattern in (("turn", declared), ("system", declared), ("reasoning", declared), ("calls", PIPED_CONTROL)):
        rendering = prober.render(name, prompt=name == "turn")
        if rendering is not None:
            yield rendering, 0, len(rendering.text), pattern
    if (bos := find_bos(prober)) is not None and (first := prober.render("turn", prompt=True)) is not None:
        yield first, 0, len(bos), CONTROL
    if prober.template.family is None and (frames := find_frames(prober)) is not None:
        for text, start in zip(frames.between, frames.starts, strict=True):
            yield frames.rendering, start, start + len(text), CONTROL


def _counts(token: WrittenToken, tokenizer: TextTokenizer) -> bool:
    """Return true for a control token that is intended to be one token."""
    content, text = token.content, token.rendering.text
    if token.stop or PIPED_CONTROL.fullmatch(content) or token.rendering.template.family is not None:
        return True
    if content.startswith("["):
        # [INST] is ordinary text to models of Llama 2's kind, whose tokenizers have special tokens alone.
        return sum(added.control for added in tokenizer.added.values()) > len(NAMES)
    if reasoning_start(content) < len(content):
        return False
    name = content.strip("</>")
    return name == "s" or not ((f"<{name}>" in text and f"</{name}>" in text) or HTML_TAG.fullmatch(content))
