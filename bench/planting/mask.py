"""Defects of the mask, in templates with generation tags."""

from __future__ import annotations

import re
from collections.abc import Iterator

from planting.kind import always, differs, kind, only_source, other_mask
from planting.oracle import Base, answers, generated_roles, observed
from planting.pieces import blocks, outputs, pieces, replaced, tags

_OPEN, _CLOSE = "{%- generation %}", "{%- endgeneration %}"


def _trains(role: str) -> object:
    def proof(base: Base, mutant: Base) -> bool:
        return observed(mutant) is not None and role in generated_roles(mutant) - generated_roles(base)

    return proof


def _forgets(base: Base, mutant: Base) -> bool:
    return bool(answers(base) - answers(mutant)) and bool(answers(mutant)) and other_mask(base, mutant)


@kind("plus sign in the generation tag", "CT103", only_source)
def plus_sign(source: str) -> Iterator[str]:
    for tag in tags(source, "generation"):
        yield replaced(source, (tag.end - 2, tag.end, "+%}"))
        yield replaced(source, (tag.start, tag.start + 3, "{%+"))
        yield replaced(source, (tag.start, tag.start + 2, "{%+"))


def _commented(source: str, comment: str) -> str:
    """Return the source with each generation tag as a comment that trims like the tag."""
    edits = []
    for tag in tags(source, "generation", "endgeneration"):
        left, right = source[tag.start + 2 : tag.start + 3], source[tag.end - 3]
        left, right = (sign if sign == "-" else "" for sign in (left, right))
        edits.append((tag.start, tag.end, f"{{#{left} {comment.format(tag=tag.name)} {right}#}}"))
    return replaced(source, *edits)


@kind("generation tags in comments", "CT102", differs)
def in_comments(source: str) -> Iterator[str]:
    yield _commented(source, "{{% {tag} %}}")


@kind("no generation tags", "CT101 CT102", differs, located=False)
def no_tags(source: str) -> Iterator[str]:
    yield _commented(source, "answer")


@kind("variable set in the tag and read behind it", "CT105", differs)
def set_in_tag(source: str) -> Iterator[str]:
    for opening, closing in blocks(source, "generation"):
        set_tag = "{%- set answered = true %}"
        behind = "{%- if not answered %}{{- ' ' }}{%- endif %}"
        yield replaced(source, (opening.end, opening.end, set_tag), (closing.end, closing.end, behind))


@kind("header in the loss", "CT109", other_mask)
def header(source: str) -> Iterator[str]:
    for opening, _ in blocks(source, "generation"):
        before = [piece for piece in outputs(source) if piece.end <= opening.start]
        for piece in before[-1:]:
            between = source[piece.end : opening.start]
            if not between.strip() or "{%" not in between:
                tag = source[opening.start : opening.end]
                yield replaced(source, (opening.start, opening.end, ""), (piece.start, piece.start, tag))
        for match in list(re.finditer(r"<[|｜][^<>\n]*[|｜]>[^<>{}]*$", source[: opening.start]))[-1:]:
            tag = source[opening.start : opening.end]
            yield replaced(source, (opening.start, opening.end, ""), (match.start(), match.start(), tag))


@kind("newline behind the stop token in the loss", "CT110", other_mask)
def newline(source: str) -> Iterator[str]:
    for _, closing in blocks(source, "generation"):
        behind = next((piece for piece in pieces(source) if piece.start >= closing.end), None)
        if behind is not None and behind.kind == "output" and not source[closing.end : behind.start].strip():
            tag = source[closing.start : closing.end]
            yield replaced(source, (closing.start, closing.end, ""), (behind.end, behind.end, tag))


@kind("stop token untrained", "CT111", other_mask)
def stop(source: str) -> Iterator[str]:
    for _, closing in blocks(source, "generation"):
        piece = next((p for p in reversed(pieces(source)) if p.end <= closing.start), None)
        if piece is None or piece.kind != "output":
            continue
        tag = source[closing.start : closing.end]
        body = piece.body
        if body.startswith(("'", '"')):
            yield replaced(source, (closing.start, closing.end, ""), (piece.start, piece.start, tag))
        cut = re.search(r"\s*[~+]\s*(['\"][^'\"]*['\"]|\w+_token)$", body)
        if cut is not None:
            split = f"{{{{- {body[: cut.start()]} }}}}{tag}{{{{- {cut[1]} }}}}"
            yield replaced(source, (closing.start, closing.end, ""), (piece.start, piece.end, split))


def _around_output(source: str) -> Iterator[str]:
    for piece in outputs(source):
        if not piece.generated and not piece.collected:
            text = source[piece.start : piece.end]
            yield replaced(source, (piece.start, piece.end, f"{_OPEN}{text}{_CLOSE}"))


kind("user's text in the loss", "CT108", _trains("user"))(_around_output)  # type: ignore[arg-type]
kind("tool's result in the loss", "CT108", _trains("tool"))(_around_output)  # type: ignore[arg-type]
kind("system text in the loss", "CT108", _trains("system"))(_around_output)  # type: ignore[arg-type]


def _excluded(source: str, word: str) -> Iterator[str]:
    for piece in pieces(source):
        if not piece.generated or word not in piece.body or piece.parents[-1:] != ("generation",):
            continue
        end = pieces(source)[piece.partner].end if piece.partner >= 0 else piece.end
        if piece.kind == "output" or piece.partner >= 0:
            yield replaced(source, (piece.start, piece.start, _CLOSE), (end, end, _OPEN))


@kind("tool calls untrained", "CT112", _forgets)
def calls_untrained(source: str) -> Iterator[str]:
    yield from _excluded(source, "tool_call")
    yield from _excluded(source, "calls")


@kind("reasoning untrained", "CT112 CT113", _forgets)
def reasoning_untrained(source: str) -> Iterator[str]:
    for word in ("reasoning", "think", "trace"):
        yield from _excluded(source, word)


@kind("answer untrained", "CT107 CT112 CT113", _forgets)
def answer_untrained(source: str) -> Iterator[str]:
    for word in ("content", "answer"):
        yield from _excluded(source, word)


@kind("one of several tags missing", "CT112 CT107 CT114", _forgets, located=False)
def tag_missing(source: str) -> Iterator[str]:
    found = list(blocks(source, "generation"))
    for opening, closing in found if len(found) > 1 else ():
        yield replaced(source, (opening.start, opening.end, "{#- -#}"), (closing.start, closing.end, "{#- -#}"))


@kind("tag inside a tag", "CT001", always)
def nested(source: str) -> Iterator[str]:
    for opening, closing in blocks(source, "generation"):
        yield replaced(source, (opening.end, opening.end, _OPEN), (closing.start, closing.start, _CLOSE))


@kind("tag in a set block", "CT104", only_source)
def in_set(source: str) -> Iterator[str]:
    for opening, closing in blocks(source, "generation"):
        begin, end = "{%- set turn_text %}", "{%- endset %}{{- turn_text }}"
        yield replaced(source, (opening.start, opening.start, begin), (closing.end, closing.end, end))


@kind("tag in a macro", "CT104", only_source)
def in_macro(source: str) -> Iterator[str]:
    for opening, closing in blocks(source, "generation"):
        loops = sorted(set(re.findall(r"\bloop\b", source[opening.end : closing.start])))
        given, passed = ("loop", "loop") if loops else ("", "")
        begin, end = f"{{%- macro turn_of({given}) %}}", f"{{%- endmacro %}}{{{{- turn_of({passed}) }}}}"
        yield replaced(source, (opening.start, opening.start, begin), (closing.end, closing.end, end))


@kind("jump out of the tag", "CT106", differs)
def jump(source: str) -> Iterator[str]:
    for _, closing in blocks(source, "generation"):
        yield replaced(source, (closing.start, closing.start, "{%- if loop.last %}{%- break %}{%- endif %}"))
        yield replaced(source, (closing.start, closing.start, "{%- continue %}"))
