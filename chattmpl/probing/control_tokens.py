"""The control tokens that a template writes."""

from __future__ import annotations

import re
from typing import Any

from chattmpl.template.special_tokens import CONTROL
from chattmpl.template.template import Template


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
