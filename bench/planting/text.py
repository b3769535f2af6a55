"""Defects of the source itself: portability, safety, clarity."""

from __future__ import annotations

import re
from collections.abc import Iterator

from planting.kind import always, differs, kind, only_source, other_text
from planting.oracle import Base, observed, same
from planting.pieces import all_matches, blocks, each_match, outputs, pieces, replaced, tags


def _compiles(base: Base, mutant: Base) -> bool:
    return observed(mutant) is not None


def _start(source: str) -> int:
    """Return the offset before the first tag."""
    first = next(iter(pieces(source)), None)
    return first.start if first else 0


@kind("clock read", "CT404", differs)
def clock(source: str) -> Iterator[str]:
    for loop in tags(source, "for"):
        if "messages" in loop.body and "strftime_now" not in source:
            yield replaced(source, (loop.start, loop.start, "{{- strftime_now('%d %B %Y') }}"))
            return


@kind("clock read through a variable", "CT404", differs)
def clock_later(source: str) -> Iterator[str]:
    for loop in tags(source, "for"):
        if "messages" in loop.body and "strftime_now" not in source:
            given = "{%- set now = strftime_now %}{%- set today = now('%Y-%m-%d') %}{{- 'Today: ' ~ today }}"
            yield replaced(source, (loop.start, loop.start, given))
            return


for _name, _options in {
    "tojson with ensure_ascii": "ensure_ascii=False",
    "tojson with separators": "separators=(',', ':')",
    "tojson with sort_keys": "sort_keys=True",
}.items():
    kind(_name, "CT401", _compiles)(lambda source, o=_options: each_match(source, r"\btojson\b(?!\()", f"tojson({o})"))  # type: ignore[misc]


@kind("zero-width character in the text", "CT503", other_text)
def zero_width(source: str) -> Iterator[str]:
    for match in re.finditer(r"(['\"]<\|?\w+)", source):
        yield source[: match.end()] + "\u200b" + source[match.end() :]
    for piece in outputs(source):
        yield replaced(
            source, (piece.start, piece.end, re.sub(r"^(\{\{-?\s*['\"])", "\\1\u200b", source[piece.start : piece.end]))
        )


@kind("direction override in a comment", "CT503", _compiles)
def bidi(source: str) -> Iterator[str]:
    yield "{#- checked \u202ecba\u202c -#}" + source


@kind("tag characters in a comment", "CT503", _compiles)
def invisible(source: str) -> Iterator[str]:
    yield "{#- ok\U000e0041\U000e0042 -#}" + source


_ESCAPES = {
    "reaches for __class__": ("messages.__class__", "CT501"),
    "reaches for __class__ by key": ("messages['__class__']", "CT501"),
    "reaches with the filter attr": ("messages | attr('__class__')", "CT501 CT502"),
    "reaches by a name that is put together": ("messages['__cla' ~ 'ss__']", "CT501"),
    "reaches with map": ("messages | map(attribute='__class__') | list", "CT501"),
}
for _name, (_expression, _codes) in _ESCAPES.items():

    def _escape(source: str, expression: str = _expression) -> Iterator[str]:
        at = _start(source)
        yield replaced(source, (at, at, f"{{%- if debug is defined %}}{{{{- {expression} }}}}{{%- endif %}}"))

    kind(_name, _codes, always)(_escape)


@kind("key misspelt", "CT701", differs)
def key(source: str) -> Iterator[str]:
    for right, wrong in (
        ("content", "contents"),
        ("tool_calls", "tool_cals"),
        ("reasoning_content", "reasoning_contnt"),
    ):
        yield from each_match(source, rf"(\bmessage(?:\.|\[['\"])){right}\b", rf"\1{wrong}")


@kind("role misspelt", "CT703", differs)
def role(source: str) -> Iterator[str]:
    for right, wrong in (("assistant", "asistant"), ("system", "sytem"), ("user", "usr"), ("tool", "tol")):
        yield from each_match(source, rf"(role(?:['\"]\])?\s*==\s*['\"]){right}\b", rf"\1{wrong}")


@kind("variable misspelt", "CT702", differs)
def variable(source: str) -> Iterator[str]:
    yield from all_matches(source, r"\badd_generation_prompt\b", "add_generation_promt")
    yield from all_matches(source, r"\bif tools\b", "if tool_s")


@kind("own variable misspelt", "CT702", differs)
def own_variable(source: str) -> Iterator[str]:
    for tag in tags(source, "set"):
        name = tag.name and re.match(r"set (\w{5,}) =", tag.body)
        if name:
            wrong = name[1][:-2] + name[1][-1] + name[1][-2]
            yield from each_match(source, rf"(?<![.\w'\"]){name[1]}\b(?!\s*=[^=])", wrong)


def _without_minus(source: str) -> Iterator[str]:
    for piece in pieces(source):
        if piece.kind == "tag" and source[piece.end - 3] == "-" and source[piece.end : piece.end + 1] == "\n":
            following = source[piece.end + 1 : piece.end + 4].lstrip()
            if following.startswith(("{{-", "{%-")) or source[piece.end + 1 :].lstrip(" ").startswith("{%"):
                yield replaced(source, (piece.end - 3, piece.end, "%}"))
        if piece.kind == "tag" and source[piece.start + 2] == "-":
            yield replaced(source, (piece.start, piece.start + 3, "{%"))


def _needs_options(base: Base, mutant: Base) -> bool:
    return same(base, mutant) and _plain(base.source) != _plain(mutant.source)


def _plain(source: str) -> list[str]:
    """Return the texts between tags as an engine without trim_blocks and lstrip_blocks reads them."""
    from jinja2 import Environment

    return [value for _, kind_, value in Environment().lex(source) if kind_ == "data"]


kind("white space left to trim_blocks", "CT403", _needs_options)(_without_minus)


@kind("namespace forgotten", "CT705 CT204 CT304 CT301 CT307 CT705 CT315 CT203", differs)
def no_namespace(source: str) -> Iterator[str]:
    for tag in tags(source, "set"):
        made = re.fullmatch(r"set (\w+) = namespace\((\w+)=((?:[^(),]|\([^()]*\))+)\)", tag.body)
        if made:
            name, field, value = made.groups()
            start = replaced(source, (tag.start, tag.end, f"{{%- set {name}_{field} = {value} %}}"))
            yield from all_matches(start, rf"\b{name}\.{field}\b", f"{name}_{field}")


@kind("found in a loop and read behind it", "CT705", differs)
def lost_in_loop(source: str) -> Iterator[str]:
    for opening, closing in blocks(source, "for"):
        if "messages" in opening.body and not opening.collected and not opening.parents:
            yield replaced(
                source,
                (opening.start, opening.start, "{%- set seen_user = false %}"),
                (opening.end, opening.end, "{%- if messages[0] %}{%- set seen_user = true %}{%- endif %}"),
                (closing.end, closing.end, "{%- if not seen_user %}{{- '<empty>' }}{%- endif %}"),
            )


@kind("variable never read", "CT704", only_source)
def unread(source: str) -> Iterator[str]:
    yield "{%- set turn_count = messages | length %}" + source
