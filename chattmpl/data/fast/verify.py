"""Differential check of the fast path: both paths encode the same conversations before the fast one is used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from typing import TYPE_CHECKING, Any

from chattmpl import cache
from chattmpl.data.completions import trace_of
from chattmpl.data.fast.comparison import ExactResult, NotCompared, describe_difference, paired
from chattmpl.data.fast.markers import SEPARATOR, Unsupported, with_markers
from chattmpl.data.fast.path import FastPath
from chattmpl.data.fast.probes import probes
from chattmpl.data.fast.renderers import CompiledRenderer, Renderer, by_tools
from chattmpl.data.fast.rows import PreparedRow, prepare_row
from chattmpl.data.fast.text_checks import ControlTokenScanner
from chattmpl.data.fast.tokens import ENGINES, TokenEngine, TokenizerHandle, TokenLengths
from chattmpl.data.sampled_rows import RowPlanner
from chattmpl.errors import BudgetError, ChatTmplError

if TYPE_CHECKING:
    from chattmpl.template.template import Template

_PACKAGES = ("jinja2", "gigatoken", "tokenizers")
_CODE = (
    *("budget", "compiler", "conversation", "data/fast", "data/sampled_rows", "encode", "parse", "provenance"),
    *("syntax", "template"),
)
"""The modules that a verdict depends on."""


Exact = Callable[[Any], list[ExactResult]]
"""The exact path for a record, with a result for each of its rows; it raises `ChatTmplError`."""

Expected = list[tuple[PreparedRow, list[ExactResult] | None]]
"""Conversations with the results of the exact path; None if it refuses the conversation."""


@dataclass(frozen=True)
class FastPathVerdict:
    """The result of a differential check, valid in other processes with the same packages.

    Attributes:
        engine: name of the token engine; empty if there is no fast path.
        notes: what is not used, and why.
        versions: versions of Python and the packages.
        as_is: see `TokenizerHandle`.
        composes: see `FastPath`.
        lengths: see `TokenLengths`.
        control: the control tokens to search for, and the other added tokens.
    """

    engine: str
    notes: tuple[str, ...]
    versions: tuple[str, ...]
    as_is: bool = False
    composes: bool = False
    lengths: bytes = b""
    control: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


@dataclass(frozen=True)
class FastPathOptions:
    """The options of encoding that matter for the fast path; see `chattmpl.encode.encode`.

    Attributes:
        straddle, control_tokens, mask: see `chattmpl.encode.encode`.
        overrides: template kwargs that override those of the rows.
        planner: plans the rows; None if each conversation is one row that the generation tags mark.
        splits: see `FastPath`.
    """

    straddle: str
    control_tokens: str
    mask: str
    overrides: dict[str, Any]
    planner: RowPlanner | None = None
    splits: bool = False


def open_fast_path(
    template: Template,
    tokenizer: TokenizerHandle,
    options: FastPathOptions,
    exact: Exact,
    now: Callable[[], datetime],
    verdict: FastPathVerdict | None = None,
) -> tuple[FastPath, FastPathVerdict]:
    """Return a fast path that was checked against the exact one.

    A verdict is stored in the cache, if that is enabled, so that another process does not check the same again. One
    that depends on a package that is missing is not stored.

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
    opening = _Opening(template, tokenizer, options, now)
    if verdict is None or verdict.versions != opening.versions:
        verdict = opening.stored()
    return opening.check(exact) if verdict is None else (opening.open(verdict), verdict)


class _Opening:
    """The parts of the fast path of a template with a tokenizer, and its check."""

    def __init__(
        self, template: Template, tokenizer: TokenizerHandle, options: FastPathOptions, now: Callable[[], datetime]
    ) -> None:
        self.template, self.tokenizer, self.options, self.now = template, tokenizer, options, now
        self.sources = [with_markers(each.program, options.planner is None) for each in template.variants]
        self.versions = (sys.version, *map(_version, _PACKAGES))
        self.notes: list[str] = []
        self.lasting = True

    @cached_property
    def _key(self) -> tuple[str, ...]:
        """The inputs of the check."""
        variants = [(each.source, each.retention, each.tokens) for each in self.template.variants]
        given = (variants, self.template.budget, self.options, self.tokenizer.digest)
        return ("fast path", cache.hash_of_code(*_CODE), *self.versions, *self.sources, *map(repr, given))

    def stored(self) -> FastPathVerdict | None:
        """Return the verdict of an earlier process, if there is one."""
        found = cache.load(*self._key) if cache.is_enabled() else None
        return found and FastPathVerdict(*found)

    def open(self, verdict: FastPathVerdict) -> FastPath:
        """Return the fast path of a verdict.

        Raises:
            Unsupported: there is none, or a part of it is missing here.
        """
        if not verdict.engine:
            raise Unsupported("; ".join(verdict.notes))
        self.tokenizer.as_is = verdict.as_is
        engine = {make.name: make for make in ENGINES}[verdict.engine](self.tokenizer)
        return self._path(self._renderer(), engine, verdict)

    def _renderer(self) -> Renderer:
        return by_tools([CompiledRenderer(source, self.now) for source in self.sources])

    def _path(self, renderer: Renderer, engine: TokenEngine, verdict: FastPathVerdict) -> FastPath:
        return FastPath(
            renderer,
            engine,
            TokenLengths(self.tokenizer, verdict.lengths),
            None if self.options.control_tokens == "allow" else self._scanner(*verdict.control),
            dict(self.template.tokens),
            self.options.overrides,
            verdict.composes,
            self.options.straddle,
            self.options.planner,
            lambda tools: trace_of(self.template.variants[-1 if tools else 0]),
            SEPARATOR.join(literal for each in self.template.variants for literal in each.program.literals),
            self.options.splits,
        )

    def _scanner(self, control: Sequence[str], candidates: Sequence[str]) -> ControlTokenScanner:
        own = [literal for each in self.template.variants for literal in each.program.literals]
        try:
            return ControlTokenScanner(control, (*own, *self.template.tokens.values()), candidates)
        except RecursionError:  # a pattern is nested as deeply as the token is long
            raise Unsupported("the tokenizer has an added token that is too long to search for") from None

    # -- the check

    def check(self, exact: Exact) -> tuple[FastPath, FastPathVerdict]:
        """Find the fastest parts that give the same results as the exact path, and store the verdict.

        Raises:
            Unsupported: there are none.
        """
        try:
            path, verdict = self._check(exact)
        except Unsupported as unsupported:
            self._store(FastPathVerdict("", (str(unsupported),), self.versions), unsupported.lasting)
            raise
        self._store(replace(verdict, lengths=path.lengths.all() if cache.is_enabled() else b""), self.lasting)
        return path, verdict

    def _store(self, verdict: FastPathVerdict, lasting: bool) -> None:
        if lasting and cache.is_enabled():
            cache.store(astuple(verdict), *self._key)

    def _check(self, exact: Exact) -> tuple[FastPath, FastPathVerdict]:
        composes = self.tokenizer.check()
        control = self._control_tokens()
        verdict = FastPathVerdict("", (), self.versions, self.tokenizer.as_is, composes, b"", control)
        renderer = self._renderer()
        expected: Expected | None = None
        for make in ENGINES:
            try:
                path = self._path(renderer, make(self.tokenizer), verdict)
            except Unsupported as unsupported:
                self._note(unsupported)
                continue
            if expected is None:
                variables = frozenset().union(*(each.program.variables for each in self.template.variants))
                expected = _exact_results([*_fixtures(), *probes(variables)], exact, path)
                _check_texts(path, expected)
            try:
                _check_tokens(path, expected)
            except Unsupported as unsupported:
                self._note(unsupported)
                continue
            return path, replace(verdict, engine=path.engine.name, notes=tuple(dict.fromkeys(self.notes)))
        raise Unsupported("; ".join(dict.fromkeys(self.notes)), lasting=self.lasting)

    def _note(self, unsupported: Unsupported) -> None:
        self.notes.append(str(unsupported))
        self.lasting = self.lasting and unsupported.lasting

    def _control_tokens(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the control tokens in the template's variants, and all added tokens that are not blank."""
        tokenizer = self.tokenizer.fast
        ids = frozenset().union(*(tokenizer.control_ids(each.source) for each in self.template.variants))
        control, candidates = (
            tuple(tokenizer.added[index].content for index in some) for some in (sorted(ids), tokenizer.nonblank_ids)
        )
        return control, candidates


def _check_options(options: FastPathOptions) -> None:
    if options.mask != "all":
        raise Unsupported(f"mask={options.mask!r} depends on the origin of characters")
    if not {"tools", "documents"}.isdisjoint(options.overrides):
        raise Unsupported("tools and documents are given as template kwargs")


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
    """Return the results of the exact path, except for rows that the fast path always defers to it."""
    results: Expected = []
    for record in records:
        row = prepare_row(record)
        if not path.defers(row):
            try:
                results.append((row, exact(record)))
            except NotCompared:
                continue
            except BudgetError as error:  # the others would take as long
                raise Unsupported(error.message, lasting=False) from None
            except ChatTmplError:
                results.append((row, None))
    return results


def _check_texts(path: FastPath, expected: Expected) -> None:
    """Compare the texts and the generated ranges.

    Raises:
        Unsupported: they differ.
    """
    for row, result in expected:
        try:
            texts = path.render(row)
        except Exception:  # the row is deferred to the exact path
            continue
        if any(path.defers(row, text) for text in texts):
            continue
        for expected_row, text in paired(result, texts):
            if difference := describe_difference(expected_row, text):
                raise Unsupported(f"{path.renderer.name} is not used: {difference}")


def _check_tokens(path: FastPath, expected: Expected) -> None:
    """Compare the tokens and masks of the whole path."""
    batch = path.encode([row for row, _ in expected])
    if not batch.rows:
        raise Unsupported(f"no row could be encoded ({', '.join(sorted(set(batch.deferred.values())))})")
    for index, places in groupby(range(len(batch.rows)), key=batch.rows.__getitem__):
        for result, place in paired(expected[index][1], list(places)):
            if difference := describe_difference(result, batch.text(place), *batch.tokens(place)):
                raise Unsupported(f"{path.engine.name} is not used: {difference}")
