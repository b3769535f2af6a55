"""Defects that lose, invent or alter the content of a conversation."""

from __future__ import annotations

import re
from collections.abc import Iterator

from planting.kind import Proof, differs, kind, other_prompt, other_text
from planting.oracle import Base, lost, observed
from planting.pieces import all_matches, blocks, each_match, outputs, pieces, replaced, without

_MESSAGE = r"\b(message|m|msg)(?:\.content\b|\[(['\"])content\2\])"


def _loses(what: str) -> Proof:
    def proof(base: Base, mutant: Base) -> bool:
        # Where questions go too, they are what is missed first.
        others = what != "user.content" and lost(base, mutant, "user.content")
        return observed(mutant) is not None and lost(base, mutant, what) and not others

    return proof


def _removals(source: str, words: str) -> Iterator[str]:
    """Yield the source without one output, branch or loop; at most ``_MOST``, first those with ``words``."""
    openings = [opening for name in ("if", "for") for opening, _ in blocks(source, name)]
    found = [*outputs(source), *openings]
    named = re.compile(words)
    for piece in sorted(found, key=lambda piece: not named.search(piece.body))[:_MOST]:
        if piece.kind == "output":
            yield without(source, piece)
        else:
            condition = "if false" if piece.name == "if" else piece.body.partition(" in ")[0] + " in []"
            yield replaced(source, (piece.start, piece.end, f"{{%- {condition} %}}"))


_MOST = 25
"""Places that are tried, since each is rendered."""

_LOST = {
    "system message dropped": ("system.content", "CT301", "system|preface|prefix|instructions"),
    "question dropped": ("user.content", "CT314", "user|content"),
    "answer dropped": ("assistant.content", "CT314", "answer|content"),
    "reasoning dropped": ("assistant.reasoning_content", "CT305", "reasoning|think|trace"),
    "tool calls dropped": ("assistant.tool_calls", "CT303", "call"),
    "tool results dropped": ("tool.content", "CT304", "tool|result|content"),
    "tools dropped": (".tools", "CT302", "tools"),
}
for _name, (_what, _codes, _words) in _LOST.items():
    kind(_name, _codes, _loses(_what), located=False)(lambda source, words=_words: _removals(source, words))  # type: ignore[misc]


@kind("only the first of parallel calls", "CT307", other_text)
def first_call(source: str) -> Iterator[str]:
    for opening, _ in blocks(source, "for"):
        name, _, what = opening.body.partition(" in ")
        if "call" in what:
            yield replaced(source, (opening.start, opening.end, f"{{%- {name} in ({what})[:1] %}}"))


@kind("the last message left out", "CT314 CT304 CT202 CT203 CT109 CT107", differs, located=False)
def without_last(source: str) -> Iterator[str]:
    yield from all_matches(source, r"( in (?:loop_)?messages)$|( in (?:loop_)?messages)(?=\s*-?%)", r"\1\2[:-1]")


@kind("messages in reverse", "CT315 CT109 CT203", differs, located=False)
def reverse(source: str) -> Iterator[str]:
    yield from all_matches(source, r"( in (?:loop_)?messages)(?=\s*-?%)", r"\1[::-1]")


@kind("text written twice", "CT315", other_text)
def twice(source: str) -> Iterator[str]:
    for piece in outputs(source):
        if re.search(_MESSAGE + "|answer|content", piece.body) and "for" in piece.parents and not piece.collected:
            text = source[piece.start : piece.end]
            yield replaced(source, (piece.end, piece.end, text))


def _prints_none(base: Base, mutant: Base) -> bool:
    return any(one.whole is not None and "None" in one.whole.text for one in observed(mutant) or ()) and not any(
        one.whole is not None and "None" in one.whole.text for one in observed(base) or ()
    )


@kind("None printed", "CT309", _prints_none)
def none_printed(source: str) -> Iterator[str]:
    for pattern in (r"\s*\|\s*default\(''[^)]*\)", r"\s+or\s+''", r"\s+if .* else ''"):
        yield from each_match(source, pattern, " | default(none)")
    for match in re.finditer(_MESSAGE, source):
        for piece in outputs(source):
            if piece.start <= match.start() < piece.end and "for" in piece.parents:
                at = piece.start
                yield replaced(source, (at, at, f"{{{{- {match[1]}.get('refusal') }}}}"))
    for opening, _ in blocks(source, "generation"):
        yield replaced(source, (opening.end, opening.end, "{{- message.get('refusal') }}"))


_DEFAULTS = (
    "<|im_start|>system\\nYou are a helpful assistant made by Example Labs.<|im_end|>\\n",
    "You are a helpful assistant made by Example Labs.",
    "[SYSTEM]you answer briefly and politely[/SYSTEM]",
)


@kind("default system prompt", "CT310", other_prompt)
def default_system(source: str) -> Iterator[str]:
    first = next((piece for piece in pieces(source) if piece.body.startswith("for") and "messages" in piece.body), None)
    if first is None:
        return
    for text in _DEFAULTS:
        given = "{%- if messages[0].role != 'system' %}{{- '" + text + "' }}{%- endif %}"
        yield replaced(source, (first.start, first.start, given))


@kind("default system prompt without a condition", "CT310", other_prompt)
def always_system(source: str) -> Iterator[str]:
    first = next((piece for piece in pieces(source) if piece.body.startswith("for") and "messages" in piece.body), None)
    if first is not None:
        yield replaced(source, (first.start, first.start, "{{- '" + _DEFAULTS[0] + "' }}"))


def _in_answers(source: str, replacement: str) -> Iterator[str]:
    for piece in outputs(source):
        if "for" not in piece.parents or piece.collected:
            continue
        text = source[piece.start : piece.end]
        for pattern in (_MESSAGE, r"\b(content|answer|render_content)\b"):
            changed = re.sub(pattern, replacement.replace("X", r"\g<0>"), text, count=1)
            yield replaced(source, (piece.start, piece.end, changed))


def _alters(base: Base, mutant: Base) -> bool:
    first, second = observed(base), observed(mutant)
    if not first or not second:
        return False
    return any(
        one.whole is not None and two.whole is not None and _answers(one.whole) != _answers(two.whole)
        for one, two in zip(first, second, strict=True)
    )


def _answers(rendering: object) -> list[str]:
    spans = [span for span in rendering.spans if span.message is not None and span.field == "content"]  # type: ignore[attr-defined]
    roles = rendering.conversation.messages  # type: ignore[attr-defined]
    text = rendering.text  # type: ignore[attr-defined]
    return [text[span.start : span.end] for span in spans if roles[span.message].role == "assistant"]


for _name, _replacement in {
    "answer in capitals": "(X | upper)",
    "answer trimmed": "(X | trim)",
    "answer cut": "X[:9]",
    "answer escaped for HTML": "(X | replace('é', '&eacute;') | replace(' ', '&nbsp;'))",
    "answer as JSON": "(X | tojson)",
}.items():
    kind(_name, "CT312 CT314", _alters)(lambda source, with_=_replacement: _in_answers(source, with_))  # type: ignore[misc]


def _serializing(source: str, what: str, but: str, filter_: str, instead: str) -> Iterator[str]:
    """Yield one source for each output of ``what`` (not of ``but``), with another filter instead of ``tojson``."""
    for piece in outputs(source):
        if what in piece.body and "tojson" in piece.body and not (but and but in piece.body):
            text = source[piece.start : piece.end]
            yield replaced(source, (piece.start, piece.end, re.sub(filter_, instead, text)))


@kind("arguments encoded twice", "CT313", differs)
def encoded_twice(source: str) -> Iterator[str]:
    return _serializing(source, "argument", "", r"\|\s*tojson\b", "| tojson | tojson")


@kind("arguments printed as Python does", "CT311", other_text)
def as_python(source: str) -> Iterator[str]:
    return _serializing(source, "argument", "", r"\|\s*tojson\b", "| string")


@kind("tools printed as Python does", "CT311", other_text)
def tools_as_python(source: str) -> Iterator[str]:
    return _serializing(source, "tool", "argument", r"\|\s*tojson(?:\([^)]*\))?", "| string")
