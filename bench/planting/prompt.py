"""Defects of the generation prompt, of frames and of history."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chattmpl.template.special_tokens import PLACEHOLDERS
from planting.kind import differs, kind, other_prompt, other_text
from planting.oracle import Base, observed
from planting.pieces import Piece, all_matches, blocks, each_match, outputs, pieces, replaced

_FLAG = r"\badd_generation_prompt\b"
_PROMPT = "CT201 CT202 CT203 CT207 CT208 CT113 CT109"


def _prompts(source: str) -> Iterator[Piece]:
    """Return the outputs in the block of the generation prompt."""
    for opening, closing in blocks(source, "if"):
        if "add_generation_prompt" in opening.body:
            yield from (piece for piece in outputs(source) if opening.end <= piece.start < closing.start)


def _loops(source: str) -> Iterator[Piece]:
    """Return the loops over messages that write something."""
    for opening, closing in blocks(source, "for"):
        if "messages" in opening.body and "{{" in source[opening.end : closing.start]:
            yield opening


@kind("no generation prompt", "CT201 CT202", other_prompt, located=False)
def no_prompt(source: str) -> Iterator[str]:
    for opening, closing in blocks(source, "if"):
        if re.fullmatch(r"if add_generation_prompt\b.*", opening.body):
            yield replaced(source, (opening.start, closing.end, ""))
    yield from all_matches(source, _FLAG, "false")


@kind("generation prompt always", "CT207", other_text)
def always_prompt(source: str) -> Iterator[str]:
    yield from all_matches(source, _FLAG, "true")


@kind("generation prompt turned around", _PROMPT, other_text)
def turned(source: str) -> Iterator[str]:
    yield from all_matches(source, _FLAG, "not add_generation_prompt")


@kind("generation prompt of another role", _PROMPT, other_prompt)
def other_role(source: str) -> Iterator[str]:
    for piece in _prompts(source):
        text = source[piece.start : piece.end]
        for word in ("assistant", "Assistant", "model", "ASSISTANT", "CHATBOT"):
            yield replaced(source, (piece.start, piece.end, text.replace(word, "helper")))


@kind("generation prompt without its newline", _PROMPT, other_prompt)
def no_newline(source: str) -> Iterator[str]:
    for piece in _prompts(source):
        text = source[piece.start : piece.end]
        yield replaced(source, (piece.start, piece.end, re.sub(r"(?:\\n|\n)+(['\"]\s*-?\}\})$", r"\1", text)))


@kind("generation prompt with a space too many", _PROMPT, other_prompt)
def space(source: str) -> Iterator[str]:
    for piece in _prompts(source):
        text = source[piece.start : piece.end]
        yield replaced(source, (piece.start, piece.end, re.sub(r"(['\"])(\s*-?\}\})$", r" \1\2", text)))


@kind("think opener in the prompt only", _PROMPT, other_prompt, located=False)
def opener(source: str) -> Iterator[str]:
    for piece in _prompts(source):
        yield replaced(source, (piece.end, piece.end, "{{- '<think>\\n' }}"))


def _more_bos(base: Base, mutant: Base) -> bool:
    seen = observed(mutant)
    bos = dict(base.tokens).get("bos_token", PLACEHOLDERS["bos_token"])
    return bool(seen and bos) and any(one.whole is not None and one.whole.text.count(bos) > 1 for one in seen or ())


@kind("BOS twice", "CT206", _more_bos)
def bos_twice(source: str) -> Iterator[str]:
    for piece in outputs(source):
        if "bos_token" in piece.body and not piece.collected:
            yield replaced(source, (piece.end, piece.end, "{{- bos_token }}"))


@kind("BOS in the loop", "CT206", _more_bos)
def bos_in_loop(source: str) -> Iterator[str]:
    for loop in _loops(source):
        yield replaced(source, (loop.end, loop.end, "{{- bos_token }}"))


_CLOSER = r"<\|im_end\|>|<\|eot_id\|>|<end_of_turn>|<\|end\|>|<\|END_OF_TURN_TOKEN\|>|<turn\|>|<\|im▁end\|>"


def _user_unclosed(base: Base, mutant: Base) -> bool:
    first, second = observed(base), observed(mutant)
    if not first or not second:
        return False
    pairs = [(one.whole, two.whole) for one, two in zip(first, second, strict=True)]
    return all(one is None or two is not None for one, two in pairs) and any(
        one is not None and two is not None and len(re.findall(_CLOSER, one.text)) > len(re.findall(_CLOSER, two.text))
        for one, two in pairs
    )


@kind("turn not closed", "CT205", _user_unclosed)
def unclosed(source: str) -> Iterator[str]:
    inside = {offset for piece in pieces(source) if piece.generated for offset in range(piece.start, piece.end)}
    commented = {at for match in re.finditer(r"\{#.*?#\}", source, re.DOTALL) for at in range(*match.span())}
    for match in re.finditer(_CLOSER, source):
        if match.start() not in inside | commented:
            yield source[: match.start()] + source[match.end() :]


def _closers(base: Base) -> list[int]:
    """Return the number of closing tokens in the last answer of each fixture with plain answers and calls."""
    return [
        len(re.findall(_CLOSER, one.whole.text[one.whole.generated[-1][0] :]))
        for one in observed(base) or ()
        if one.whole is not None and one.whole.generated and one.name in ("single_turn", "tool_call")
    ]


def _stops_changed(base: Base, mutant: Base) -> bool:
    return differs(base, mutant) and _closers(base) != _closers(mutant)


@kind("answer without its stop token", "CT114 CT205 CT209", _stops_changed)
def no_stop(source: str) -> Iterator[str]:
    for opening, closing in blocks(source, "generation"):
        for match in reversed(list(re.finditer(rf"(?:{_CLOSER})", source[opening.end : closing.start]))):
            start = opening.end + match.start()
            yield replaced(source, (start, opening.end + match.end(), ""))


@kind("stop token misspelt in one place", "CT706 CT205", differs)
def stop_misspelt(source: str) -> Iterator[str]:
    for match in re.finditer(r"<\|im_end\|>|<\|eot_id\|>|<end_of_turn>", source):
        yield source[: match.end() - 2] + "s" + source[match.end() - 2 :]


@kind("stop token twice", "CT115 CT110", _stops_changed)
def stop_twice(source: str) -> Iterator[str]:
    for opening, closing in blocks(source, "generation"):
        for match in re.finditer(_CLOSER, source[opening.end : closing.start]):
            at = opening.end + match.end()
            yield replaced(source, (at, at, match[0]))


@kind("earlier answers rewritten", "CT204", other_text)
def rewritten(source: str) -> Iterator[str]:
    for piece in outputs(source):
        # A condition on the place in the loop, around what an answer ends or begins with.
        if "for" in piece.parents and not piece.collected and ("content" in piece.body or "answer" in piece.body):
            text = source[piece.start : piece.end]
            if piece.generated or "assistant" in piece.body:
                note = "{%- if loop.last %}{{- '<note></note>' }}{%- endif %}"
                yield replaced(source, (piece.start, piece.end, note + text))


@kind("only the last answer is whole", "CT204 CT314", other_text)
def only_last(source: str) -> Iterator[str]:
    for piece in outputs(source):
        if piece.generated and "for" in piece.parents and not piece.collected:
            text = source[piece.start : piece.end]
            yield replaced(source, (piece.start, piece.end, "{%- if loop.last %}" + text + "{%- endif %}"))


@kind(
    "roles renamed", "CT107 CT109 CT112 CT113 CT203 CT301 CT303 CT305 CT314 CT202 CT208 CT209", differs, located=False
)
def roles(source: str) -> Iterator[str]:
    yield from all_matches(source, r"(==\s*)(['\"])assistant\2", r"\1\2bot\2")
    yield from all_matches(source, r"(['\"])(role)\1\]\s*==\s*(['\"])user\3", r"\1\2\1] == \3human\3")


@kind("user's turn under the assistant's name", "CT209 CT109 CT203", other_text)
def swapped(source: str) -> Iterator[str]:
    for piece in outputs(source):
        if re.search(r"message(?:\.role|\[.role.\])", piece.body) and not piece.generated:
            text = source[piece.start : piece.end]
            yield replaced(
                source, (piece.start, piece.end, re.sub(r"message(?:\.role|\[.role.\])", "'assistant'", text))
            )
    yield from each_match(source, r"(<\|im_start\|>|<\|start_header_id\|>)user", r"\1assistant")


@kind("raises on an ordinary conversation", "CT004", lambda base, mutant: bool(observed(mutant)), located=False)
def raises(source: str) -> Iterator[str]:
    for loop in list(_loops(source))[-1:]:
        check = "{%- if loop.index0 > 0 and loop.last %}{{- raise_exception('too long') }}{%- endif %}"
        yield replaced(source, (loop.end, loop.end, check))
