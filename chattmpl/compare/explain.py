"""The causes of an engine's differences: constructs found from texts and errors, and confirmed by rewriting them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from chattmpl.budget import Budget
from chattmpl.compare.code import Code, Piece
from chattmpl.compare.constructs import Site
from chattmpl.compare.engine_differences import ENGINE_DIFFERENCES, REFUSALS, EngineDifference
from chattmpl.compiler.policies import Retention
from chattmpl.compiler.program import Program, compile_program
from chattmpl.engine import Engine
from chattmpl.errors import BudgetError, ChatTmplError, RenderError
from chattmpl.laws.outcome import first_difference
from chattmpl.printable import shortened
from chattmpl.probing.corpus import CLOCK
from chattmpl.source import Place, Source
from chattmpl.syntax.edits import Edit, Edited, apply_edits
from chattmpl.syntax.items import Tag

_MOST_TRIES = 24
"""Limit of the rewritings that are tried for one difference."""

_AGREE = 1 << 40

_PROBE = "chattmpl-probe-"
_MOST = 1 << 12
_COUNTER = "chattmpl_probe"
_NOT_BEFORE = frozenset({"elif", "else", "generation", "endgeneration", "raw", "endraw"})


@dataclass(frozen=True)
class Outcome:
    """The text that an engine renders, or its error."""

    text: str | None
    error: str | None = None


@dataclass(frozen=True)
class OutcomePair:
    """The outcomes of Jinja2 and of the engine for one source and one case."""

    edited: Edited
    expected: Outcome
    got: Outcome

    @property
    def agree(self) -> bool:
        """True if the texts are equal, or both refuse."""
        return self.expected.text == self.got.text

    @property
    def progress(self) -> int:
        """The number of characters up to the first difference; -1 if only one of them renders."""
        if self.agree:
            return _AGREE
        if self.expected.text is None or self.got.text is None:
            return -1
        return first_difference(self.expected.text, self.got.text)


@dataclass(frozen=True, eq=False)
class Cause:
    """A construct that makes an engine differ.

    Attributes:
        code: short name for programs.
        message: the difference, in one sentence.
        hint: how to avoid it.
        place: the construct.
        confirmed: the difference disappeared, or moved further into the text, when the construct was rewritten.
        edits: the rewriting.
    """

    code: str
    message: str
    hint: str
    place: Place
    confirmed: bool
    edits: tuple[Edit, ...] = field(default=(), repr=False)


class Explainer:
    """The search for the causes of the differences of one engine on one template.

    Args:
        source: the template as it is served, with LF newlines.
        engine: the engine to compare with Jinja2.
    """

    def __init__(self, source: Source, engine: Engine) -> None:
        self.source = source
        self.engine = engine

    @cached_property
    def code(self) -> Code:
        """The parsed source."""
        return Code(self.source.text)

    def state(self, edits: Sequence[Edit], context: Mapping[str, Any]) -> OutcomePair:
        """Render the source with edits in Jinja2 and in the engine."""
        edited = apply_edits(self.source.text, dict.fromkeys(edits))
        return OutcomePair(edited, reference(edited.text, context), rendered(self.engine, edited.text, context))

    def explain(
        self, state: OutcomePair, edits: tuple[Edit, ...], context: Mapping[str, Any]
    ) -> tuple[Cause, OutcomePair]:
        """Return the cause of a difference, and the state after the construct was rewritten."""
        if state.expected.text is None:
            return self._refused(state, context), state
        piece = self._piece(state, context)
        distances = self.code.distances(piece) if piece is not None else {}
        likely: tuple[EngineDifference, str, Site] | None = None
        tries = 0
        for known, word, sites in self._candidates(state, distances, piece):
            evident = known.error if state.got.text is None else known.texts
            if likely is None and sites and evident and (state.got.text is None or self._near(sites[0], distances)):
                likely = (known, word, sites[0])
                if state.got.text is not None and not sites[0].edits:
                    break
            for some in self._rewritings(known, sites):
                new = tuple(edit for site in some for edit in site.edits)
                if not new or tries >= _MOST_TRIES or _overlap(edits, new):
                    continue
                tries += 1
                after = self._tried((*edits, *new), context)
                if after is not None and _shows(known, state, after):
                    # All constructs together may be no template where one of them alone is.
                    every = _all(known, sites, new, edits)
                    whole = after if every == new else self._tried((*edits, *every), context)
                    kept, state = (new, after) if whole is None else (every, whole)
                    return self._cause(known, word, some[0], True, kept), state
        if likely is not None and (piece is None or likely[0].error or self._near(likely[2], distances, most=1)):
            return self._cause(*likely, False), state
        return self._unknown(state, piece), state

    def _tried(self, edits: tuple[Edit, ...], context: Mapping[str, Any]) -> OutcomePair | None:
        try:
            after = self.state(edits, context)
        except (ChatTmplError, AssertionError):  # the edits overlap, or the result is not a template
            return None
        return None if after.expected.text is None and after.got.text is not None else after

    def _near(self, site: Site, distances: dict[int, int], most: int = 4) -> bool:
        return self.code.distance(distances, site.start) <= most

    def _candidates(
        self, state: OutcomePair, distances: dict[int, int], piece: Piece | None
    ) -> Iterator[tuple[EngineDifference, str, list[Site]]]:
        """Yield the known differences that may be the cause, with their constructs, the nearest ones first."""
        at = piece.start if piece is not None else 0
        for known in ENGINE_DIFFERENCES:
            if known.engines and self.engine.name not in known.engines:
                continue
            word = self._caught(known, state)
            if word is not None:
                sites = list(known.find(self.code, word))
                sites.sort(key=lambda site: (self.code.distance(distances, site.start), abs(site.start - at)))
                yield known, word, sites

    def _caught(self, known: EngineDifference, state: OutcomePair) -> str | None:
        """Return the match of a known difference in the engine's error, or None if it does not fit."""
        if state.got.text is None:
            match = re.search(known.error, state.got.error or "") if known.error else None
            return None if match is None else next(filter(None, match.groups()), "")
        if known.error is not None and not known.in_texts_too:
            return None
        expected, got = state.expected.text or "", state.got.text
        return "" if known.texts is None or known.texts(expected, got, first_difference(expected, got)) else None

    @staticmethod
    def _rewritings(known: EngineDifference, sites: list[Site]) -> Iterator[list[Site]]:
        """Yield the groups of constructs to rewrite together: each alone, and then all of them."""
        if not known.together:
            yield from ([site] for site in sites[:12])
        elif known.first_singly:
            yield from ([site] for site in sites[:6])
        if len(sites) > 1 or known.together:
            yield sites

    def _piece(self, state: OutcomePair, context: Mapping[str, Any]) -> Piece | None:
        """Return the tag that the engine fails in, or that wrote the first difference."""
        if state.got.text is None:
            code = self.code if state.edited.text == self.source.text else Code(state.edited.text)
            failure = without_line(state.got.error or "")
            piece = reached(self.engine, code, context, failure)
            offset = None if piece is None else state.edited.source_offset(piece.start)
        else:
            offset = written_by(state, context)
        return None if offset is None else self.code.piece_at(offset)

    def _refused(self, state: OutcomePair, context: Mapping[str, Any]) -> Cause:
        """Return the cause if Jinja2 refuses, whose error has a place."""
        complaint = state.expected.error or ""
        place = _refusal_place(state.edited.text, context)
        at = 0 if place is None else state.edited.source_offset(place.start)
        piece = self.code.piece_at(at)
        where = self._whole(piece)
        for pattern, code, says in REFUSALS:
            if re.search(pattern, complaint):
                return Cause(code, says, "test the type of the value before it is used", where, True)
        return Cause(
            "refused", f"Jinja2 refuses this ({complaint}); the engine renders it", "make both refuse it", where, True
        )

    def _cause(
        self, known: EngineDifference, word: str, site: Site, confirmed: bool, edits: tuple[Edit, ...] = ()
    ) -> Cause:
        place = Place(self.source, site.start, site.end)
        text = " ".join(self.source.text[site.start : site.end].split())
        says = known.message.replace("{word}", word).replace("{text}", shortened(text, 60))
        return Cause(known.code, says, known.hint, place, confirmed, edits)

    def _unknown(self, state: OutcomePair, piece: Piece | None) -> Cause:
        where = self._whole(piece)
        if state.got.text is None:
            message = f"the engine fails here: {state.got.error}"
        else:
            message = "the engine writes a different text here"
        return Cause("other", message, "use simpler Jinja", where, False)

    def _whole(self, piece: Piece | None) -> Place:
        return Place(self.source, piece.start, piece.end) if piece else Place.of_line(self.source, 1)


def _shows(known: EngineDifference, state: OutcomePair, after: OutcomePair) -> bool:
    """Return whether rewriting a construct shows that it was the cause.

    It does if only one of the two texts changed; otherwise the construct may merely not be reached any more. If the
    engine fails, there is no text to compare, so the failure must be gone.
    """
    if state.got.text is None:
        same = state.expected == after.expected
        gone = after.got.text is not None or (same and re.search(known.error or "", after.got.error or "") is None)
        return gone and (same or after.progress > state.progress)
    if after.expected != state.expected and after.got != state.got:
        return False
    return after.progress > state.progress


def _all(known: EngineDifference, sites: list[Site], new: tuple[Edit, ...], before: Sequence[Edit]) -> tuple[Edit, ...]:
    """Return the edits to keep: those of all constructs if they have one cause."""
    if not known.together:
        return new
    return tuple(edit for site in sites for edit in site.edits if not _overlap(before, [edit]))


def _overlap(edits: Sequence[Edit], new: Sequence[Edit]) -> bool:
    return any(one.start < other.end and other.start < one.end for one in edits for other in new)


def _program(source: str) -> Program:
    return compile_program(Source(source, "template"), Retention("all"))


def reference(source: str, context: Mapping[str, Any]) -> Outcome:
    """Render a template with Jinja2 as set up by transformers.

    Raises:
        BudgetError: if it exceeds its budget.
        TemplateError: if it does not compile.
    """
    program = _program(source)
    try:
        return Outcome(program.run(dict(context), lambda: CLOCK, Budget())[0])
    except BudgetError:
        raise
    except RenderError as error:
        return Outcome(None, error.complaint)


def rendered(engine: Engine, source: str, context: Mapping[str, Any]) -> Outcome:
    """Render a template with another engine; raise `BudgetError` if it takes too long."""
    try:
        return Outcome(engine.render(source, context))
    except BudgetError:
        raise
    except RenderError as error:
        return Outcome(None, error.complaint)


def written_by(state: OutcomePair, context: Mapping[str, Any]) -> int | None:
    """Return the offset in the source of the tag or text that wrote the first difference."""
    expected, got = state.expected.text or "", state.got.text or ""
    at = first_difference(expected, got)
    _, runs = _program(state.edited.text).run(dict(context), lambda: CLOCK, Budget())
    position, before = 0, None
    for length, _, statement in runs:
        if not length:
            continue
        if position + length > at and statement is not None:
            return state.edited.source_offset(statement.offset)
        before = statement or before
        position += length
    return None if before is None else state.edited.source_offset(before.offset)


def _refusal_place(source: str, context: Mapping[str, Any]) -> Place | None:
    try:
        _program(source).run(dict(context), lambda: CLOCK, Budget())
    except RenderError as error:
        return error.place
    return None


# -- failures, whose engines report no line or no column


def reached(engine: Engine, code: Code, context: Mapping[str, object], failure: str) -> Piece | None:
    """Return the tag at which the engine fails; None if probes change the failure.

    A probe before each tag increments a counter and raises when it reaches a given number. Bisection finds the largest
    number at which a probe still raises before the engine fails by itself; its probe is the one before the failing tag.

    Args:
        engine: the engine that fails.
        code: the template.
        context: the variables that it is rendered with.
        failure: the engine's error.
    """
    for macros in (True, False):
        probed = _probed(code, macros)
        if _error(engine, probed, context, _MOST) == failure:
            break
    else:
        return None
    low, high = 0, _MOST
    found = None
    while high - low > 1:
        middle = (low + high) // 2 if low * 2 > high or low > 64 else min(max(2 * low, 1), high - 1)
        if middle == low:
            middle += 1
        said = _error(engine, probed, context, middle)
        match = re.search(_PROBE + r"(\d+)", said or "")
        if match is None:
            high = middle
        else:
            low, found = middle, int(match[1])
    return None if found is None else code.pieces[found]


def _probed(code: Code, macros: bool) -> str:
    edits = []
    for index, piece in enumerate(code.pieces):
        outer = code.parents[piece.start]
        if (isinstance(piece, Tag) and piece.name in _NOT_BEFORE) or (
            not macros and any(block.name == "macro" for block in outer)
        ):
            continue
        probe = (
            f"{{% set {_COUNTER}.n = {_COUNTER}.n + 1 %}}{{% if {_COUNTER}.n == {_COUNTER}_at %}}"
            f"{{{{ raise_exception('{_PROBE}{index}') }}}}{{% endif %}}"
        )
        edits.append(piece.insert_before(probe))
    return f"{{% set {_COUNTER} = namespace(n=0) %}}{apply_edits(code.text, edits).text}"


def _error(engine: Engine, source: str, context: Mapping[str, object], at: int) -> str | None:
    try:
        engine.render(source, {**context, f"{_COUNTER}_at": at})
    except RenderError as error:
        return without_line(error.complaint)
    return None


def without_line(message: str) -> str:
    """Return an engine's error without its line number, which edits may change."""
    return re.sub(r"\s*\(in [^)]*:\d+\)", "", message)
