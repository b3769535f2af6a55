"""Differential check of the fast path: both paths encode the same conversations before the fast one is used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, NamedTuple

from chattmpl.data.fast.markers import Ranges, Unsupported, split_markers, with_markers
from chattmpl.data.fast.path import FastPath
from chattmpl.data.fast.probes import probes
from chattmpl.data.fast.renderers import CompiledRenderer, JinjaRenderer, Renderer, by_tools
from chattmpl.data.fast.rows import PreparedRow, prepare_row
from chattmpl.data.fast.text_checks import ControlTokenScanner
from chattmpl.data.fast.tokens import ENGINES, TokenEngine, TokenLengths, read_definition
from chattmpl.encode.fast_tokenizer import FastTokenizer
from chattmpl.encode.tokenizer import TextTokenizer
from chattmpl.errors import BudgetError, ChatTmplError

if TYPE_CHECKING:
    from chattmpl.template.template import Template

RENDERERS: tuple[Callable[[str, Callable[[], datetime]], Renderer], ...] = (CompiledRenderer, JinjaRenderer)
"""The fast one, and its fallback."""

_PACKAGES = ("jinja2", "gigatoken", "tokenizers")


class ExactResult(NamedTuple):
    """The result of the exact path for a conversation that it does not refuse.

    Attributes:
        text: the rendered text.
        generated: the generated character ranges, touching ranges merged.
        ids, mask: the tokens, and 1 for each that is trained.
    """

    text: str
    generated: Ranges
    ids: list[int]
    mask: list[int]


Exact = Callable[[Any], ExactResult]
"""The exact path for a record; it raises `ChatTmplError`."""

Expected = list[tuple[PreparedRow, ExactResult | None]]
"""Rows with the results of the exact path; None if it refuses the conversation."""


@dataclass(frozen=True)
class FastPathVerdict:
    """The result of a differential check, valid in other processes with the same packages.

    Attributes:
        engine: name of the token engine.
        notes: what is not used, and why.
        versions: versions of Python and the packages.
    """

    renderer: str
    engine: str
    notes: tuple[str, ...]
    versions: tuple[str, ...]


@dataclass(frozen=True)
class FastPathOptions:
    """The options of encoding that matter for the fast path; see `chattmpl.encode.encode`.

    Attributes:
        straddle, control_tokens, mask: see `chattmpl.encode.encode`.
        overrides: template kwargs that override those of the rows.
    """

    straddle: str
    control_tokens: str
    mask: str
    overrides: dict[str, Any]


def open_fast_path(
    template: Template,
    tokenizer: TextTokenizer,
    options: FastPathOptions,
    exact: Exact,
    now: Callable[[], datetime],
    verdict: FastPathVerdict | None = None,
) -> tuple[FastPath, FastPathVerdict]:
    """Return a fast path that was checked against the exact one.

    Args:
        template: renders the rows.
        tokenizer: encodes them.
        options: the options of encoding.
        exact: the exact path with the same options.
        now: the time of ``strftime_now``.
        verdict: of an earlier check with the same arguments; it is not repeated if the packages are the same.

    Raises:
        Unsupported: there is no fast path that passes the check.
    """
    _check_options(options)
    if not isinstance(tokenizer, FastTokenizer):
        raise Unsupported("the tokenizer is not one of the tokenizers library")
    sources = [with_markers(each.program) for each in template.variants]
    definition = read_definition(tokenizer)
    lengths = TokenLengths(tokenizer)
    scanner = None if options.control_tokens == "allow" else _scanner(template, tokenizer)
    versions = (sys.version, *map(_version, _PACKAGES))
    if verdict is not None and verdict.versions != versions:
        verdict = None
    notes: list[str] = []
    renderers: list[Renderer] = []
    for make in RENDERERS:
        try:
            renderers.append(by_tools([make(source, now) for source in sources]))
        except Unsupported as unsupported:
            notes.append(str(unsupported))

    variables = frozenset().union(*(each.program.variables for each in template.variants))

    def path_with(renderer: Renderer, engine: TokenEngine) -> FastPath:
        constants, overrides = dict(template.tokens), options.overrides
        return FastPath(renderer, engine, lengths, scanner, constants, overrides, definition.composes, options.straddle)

    expected: Expected | None = None
    for make_engine in ENGINES:
        try:
            engine = make_engine(definition.text)
            if verdict is not None:
                known = [renderer for renderer in renderers if renderer.name == verdict.renderer]
                if known and engine.name == verdict.engine:
                    return path_with(known[0], engine), verdict
                continue
            if not renderers:
                break
            path = path_with(renderers[0], engine)
            if expected is None:
                expected = _exact_results([*_fixtures(), *probes(variables)], exact, path)
                renderers = _first_correct(renderers, path, expected, notes)
                if not renderers:
                    break
                path.renderer = renderers[0]
            _check_tokens(path, expected)
        except Unsupported as unsupported:
            notes.append(str(unsupported))
            continue
        return path, FastPathVerdict(path.renderer.name, engine.name, tuple(dict.fromkeys(notes)), versions)
    raise Unsupported("; ".join(dict.fromkeys(notes)))


def _check_options(options: FastPathOptions) -> None:
    if options.mask != "all":
        raise Unsupported(f"mask={options.mask!r} depends on the origin of characters")
    if options.straddle == "split":
        raise Unsupported("straddle='split' encodes each part of a text by itself")
    if not {"tools", "documents"}.isdisjoint(options.overrides):
        raise Unsupported("tools and documents are given as template kwargs")


def _scanner(template: Template, tokenizer: FastTokenizer) -> ControlTokenScanner:
    candidates = [tokenizer.added[index].content for index in tokenizer.nonblank_ids]
    variants = template.variants
    control_ids = frozenset().union(*(tokenizer.control_ids(each.source) for each in variants))
    own = [literal for each in variants for literal in each.program.literals]
    try:
        control = [tokenizer.added[index].content for index in sorted(control_ids)]
        return ControlTokenScanner(control, (*own, *template.tokens.values()), candidates)
    except RecursionError:  # a pattern is nested as deeply as the token is long
        raise Unsupported("the tokenizer has an added token that is too long to search for") from None


def _fixtures() -> list[dict[str, Any]]:
    from chattmpl.probing.shapes import shipped_conversations

    return [conversation.dump() for conversation in shipped_conversations()]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


# -- the check


def _exact_results(records: Iterable[Any], exact: Exact, path: FastPath) -> Expected:
    """Return the results of the exact path, except for rows that the fast path always defers to it.

    Raises:
        Unsupported: a row exceeds the budget.
    """
    results: Expected = []
    for record in records:
        row = prepare_row(record)
        if not path.defers(row):
            try:
                results.append((row, exact(record)))
            except BudgetError as error:  # the others would take as long
                raise Unsupported(error.message) from None
            except ChatTmplError:
                results.append((row, None))
    return results


def _first_correct(
    renderers: Iterable[Renderer], path: FastPath, expected: Expected, notes: list[str]
) -> list[Renderer]:
    """Return the first renderer whose texts and generated ranges are all correct, if any; note the others."""
    for renderer in renderers:
        differences = (_text_difference(path, renderer, row, result) for row, result in expected)
        difference = next(filter(None, differences), None)
        if difference is None:
            return [renderer]
        notes.append(f"{renderer.name} is not used: {difference}")
    return []


def _text_difference(path: FastPath, renderer: Renderer, row: PreparedRow, expected: ExactResult | None) -> str | None:
    """Describe the error of a rendered text; None if there is none, or the row is deferred."""
    try:
        text = path.render(row, renderer)
    except Exception:  # the row is deferred to the exact path
        return None
    return None if path.defers(row, text) else describe_difference(expected, text)


def _check_tokens(path: FastPath, expected: Expected) -> None:
    """Compare the tokens and masks of the whole path.

    Raises:
        Unsupported: they differ, or no row could be encoded.
    """
    batch = path.encode([row for row, _ in expected])
    if not batch.rows:
        raise Unsupported(f"no row could be encoded ({', '.join(sorted(set(batch.deferred.values())))})")
    for place, index in enumerate(batch.rows):
        if difference := describe_difference(expected[index][1], batch.text(place), *batch.tokens(place)):
            raise Unsupported(f"{path.engine.name} is not used: {difference}")


def describe_difference(
    expected: ExactResult | None, text: str, ids: list[int] | None = None, mask: list[int] | None = None
) -> str | None:
    """Describe the difference between the results of the fast and the exact path; None if there is none.

    Args:
        expected: the result of the exact path; None if it refuses the conversation.
        text: the text with markers.
        ids: the tokens; None if only the text is compared.
        mask: 1 for each token that is trained; None if only the text is compared.
    """
    if expected is None:
        return f"it renders a conversation that the exact path refuses: {_excerpt(text)}"
    plain, generated = split_markers(text)
    if plain != expected.text:
        at = next((i for i, (a, b) in enumerate(zip(plain, expected.text, strict=False)) if a != b), 0)
        return f"it writes {_excerpt(plain[at:])} where the exact path writes {_excerpt(expected.text[at:])}"
    if generated != expected.generated:
        return f"its generated spans are {generated} instead of {expected.generated}"
    for what, found, wanted in (("tokens", ids, expected.ids), ("mask", mask, expected.mask)):
        if found is not None and found != wanted:
            differing = (i for i, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b)
            first = next(differing, min(len(found), len(wanted)))
            return f"its {what} differ from token {first} on, in a row that begins with {_excerpt(plain)}"
    return None


def _excerpt(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")
