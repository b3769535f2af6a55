"""The control tokens that a template writes."""

import re
from typing import Any, NamedTuple

from chattmpl.encode.tokenizer import TextTokenizer
from chattmpl.probing.frames import stop_ranges
from chattmpl.probing.prober import Prober
from chattmpl.template.blame import span_at
from chattmpl.template.special_tokens import CONTROL, PIPED_CONTROL, PLACEHOLDER
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

    They are those of the form ``<|name|>`` in the template's own text of small conversations, and the stop token.
    Placeholders for special tokens are none of them.
    """
    known = prober.template.tokens
    placeholders = {token for name, token in known.items() if token == PLACEHOLDER.format(name)}
    written: dict[str, WrittenToken] = {}
    stop = stop_token(prober)
    for name in ("turn", "system", "calls"):
        rendering = prober.render(name, prompt=name == "turn")
        for match in PIPED_CONTROL.finditer(rendering.text) if rendering is not None else ():
            if rendering is not None and match[0] not in written and span_at(rendering, match.start()).literal:
                is_stop = stop is not None and match[0] == stop.content
                written[match[0]] = WrittenToken(match[0], is_stop, rendering, match.start())
    if stop is not None:
        written.setdefault(stop.content, stop)
    return [
        token
        for token in written.values()
        if token.content not in placeholders and not tokenizer.has_token(token.content)
    ]
