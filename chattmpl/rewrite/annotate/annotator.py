"""Generation tags for any template: found by tracing, written into its source, and proven."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from chattmpl.compiler.export import without_generation
from chattmpl.errors import ChatTmplError
from chattmpl.laws.law import Case
from chattmpl.rewrite.annotate.cache import RESULTS
from chattmpl.rewrite.annotate.context import AnnotationContext, Trial, with_source
from chattmpl.rewrite.annotate.evidence import Evidence
from chattmpl.rewrite.annotate.existing_tags import minimize_diff
from chattmpl.rewrite.annotate.expand_conditionals import expand_conditionals
from chattmpl.rewrite.annotate.inline_accumulators import inline_accumulators
from chattmpl.rewrite.annotate.inline_macros import inline_constants, inline_macros
from chattmpl.rewrite.annotate.layout import Item
from chattmpl.rewrite.annotate.placement import TagPlacer
from chattmpl.rewrite.annotate.proof import Failure, Proof, prove
from chattmpl.rewrite.annotate.refusal import CannotAnnotate, uncuttable
from chattmpl.rewrite.annotate.split_outputs import split_outputs
from chattmpl.rewrite.annotate.split_variables import split_variables
from chattmpl.rewrite.annotate.tag_writer import write_tags
from chattmpl.rewrite.annotate.target_spans import UNASKED, TargetSpan, target_spans
from chattmpl.rewrite.annotate.trace import Tracer
from chattmpl.rewrite.annotate.unreached import unreached_lines
from chattmpl.source import Source
from chattmpl.template.resolver import Found
from chattmpl.template.template import Template

EXAMPLES = 60
"""As many conversations are made by hypothesis for the proof."""

_ROUNDS = 3
"""So often a conversation that shows a placement to be wrong is learned from."""

_DEPTH = 4
"""So often macros are written out, which may call others, and constants behind them."""


@dataclass(frozen=True)
class PlacementOptions:
    """How tags are looked for.

    Attributes:
        expand: whether expressions are rewritten as statements where a boundary falls inside.
        deep: whether tags may stand in macros and captured blocks, where transformers does not see them.
    """

    expand: bool = False
    deep: bool = False


_PLACEMENTS = (
    PlacementOptions(),
    PlacementOptions(expand=True),
    PlacementOptions(deep=True),
    PlacementOptions(expand=True, deep=True),
)


def annotate(
    template: Template,
    *,
    repair: bool = False,
    strict: bool = False,
    stop_tokens: tuple[str, ...] = (),
    examples: int = EXAMPLES,
) -> Template:
    """Put generation tags into a template, so that the laws of the mask hold and no text changes.

    Args:
        template: any template. One whose tags are lawful already is returned as it is.
        repair: place tags anew where there are some that are not lawful.
        strict: accept no exceptions, as for conversations in which a law cannot hold.
        stop_tokens: what ends the assistant's turns, where that does not look like a control token.
        examples: how many conversations hypothesis makes for the proof, beside the probes and fixtures.

    Returns:
        A template whose ``proof`` says what was tried and what held.

    Raises:
        CannotAnnotate: with the law that cannot hold and the conversation that shows it.
    """
    asked = (str(repair), str(strict), repr(stop_tokens), str(examples))
    found = RESULTS.of(template, asked, lambda: _annotated(template, repair, strict, stop_tokens, examples))
    return _result(template, *found)


def _annotated(
    template: Template, repair: bool, strict: bool, stop_tokens: tuple[str, ...], examples: int
) -> tuple[str, Proof]:
    """The new source, and why to trust it."""
    work = with_source(template, template.source)
    program = template.program
    proof = Proof()
    source = None
    if program.has_generation:
        bare = with_source(template, without_generation(program.source))
        context = AnnotationContext(bare, stop_tokens)
        failure = _proven(context, work, work, proof, [], examples)
        if failure is not None:
            other = Proof()
            lenient = AnnotationContext(bare, stop_tokens, others=False)
            if _proven(lenient, work, work, other, [], examples) is None:
                failure, proof = None, other
        if failure is None:
            source = template.source
            proof.notes.insert(0, "its generation tags are lawful already: nothing was changed")
        elif not repair:
            hint = "chattmpl annotate --repair places them anew"
            raise _refused(failure, "its generation tags are not lawful", hint)
    else:
        bare = work
        context = AnnotationContext(work, stop_tokens)
    if source is None:
        source, proof = _placed(context, bare, work, stop_tokens, examples)
    grave = [one for one in proof.exceptions if one.why != UNASKED and one.law != "pure"]
    if strict and grave:
        first = grave[0]
        raise CannotAnnotate(
            f"the law {first.law} cannot hold for some conversations: {first.why}",
            law=first.law,
            hint=first.way_out,
            conversation=first.conversation,
            kwargs=first.kwargs,
        )
    proof.diff = _diff(template, source)
    return source, proof


def _placed(
    context: AnnotationContext, bare: Template, given: Template, stop_tokens: tuple[str, ...], examples: int
) -> tuple[str, Proof]:
    """Place tags as the targets ask, else with fewer targets, else where what is collected is written at once."""
    try:
        return _search(context, given, examples)
    except CannotAnnotate as error:
        refusal = error
    apart = with_source(bare, inline_accumulators(bare.source, bare.program.environment))
    last = () if stop_tokens else context.last_stop()
    ways: list[tuple[Template, tuple[str, ...], bool]] = []
    if last and last != context.stops.tokens:
        ways.append((bare, last, True))
    ways.append((bare, stop_tokens, False))
    if apart.source != bare.source:
        ways.append((apart, stop_tokens, True))
    for template, stops, others in ways:
        try:
            return _search(AnnotationContext(template, stops, others=others), given, examples)
        except CannotAnnotate:
            continue
    raise refusal


def _result(template: Template, source: str, proof: Proof) -> Template:
    given = template.given
    if source == template.source:
        source = given.text
    elif "\r\n" in given.text:
        source = source.replace("\n", "\r\n")
    made = Template(Found(Source(source, given.name), template.tokens, template.family), template.retention)
    made.budget, made.proof = template.budget, proof
    return made


def _search(context: AnnotationContext, given: Template, examples: int) -> tuple[str, Proof]:
    """The first way to place tags that can be proven."""
    refusal: ChatTmplError | None = None
    for options in _PLACEMENTS:
        try:
            return _learned(context, given, options, examples)
        except ChatTmplError as error:
            refusal = refusal or error
    assert refusal is not None
    if not isinstance(refusal, CannotAnnotate):
        raise CannotAnnotate(refusal.message, place=refusal.place, hint=refusal.hint) from refusal
    raise refusal


def _learned(
    context: AnnotationContext, given: Template, options: PlacementOptions, examples: int
) -> tuple[str, Proof]:
    """Tags placed in one way, with what their counterexamples teach."""
    learned: list[Trial] = []
    careful = False
    failure: Failure | None = None
    for _ in range(_ROUNDS):
        source = _tagged(context, learned, options, careful=careful)
        if given.program.has_generation:
            source = minimize_diff(given, with_source(given, source), [case for case, _ in context.cases])
        proof = Proof()
        after = with_source(given, source)
        failure = _proven(context, given, after, proof, learned, examples)
        if failure is None:
            if options.deep:
                proof.notes.append("tags stand in a macro or a captured block, where transformers does not see them")
            proof.notes += unreached_lines(after, [case for case, _ in context.cases])
            return source, proof
        if failure.kind == "refusal":
            careful = True
        elif failure.kind == "text" or (failure.conversation, failure.kwargs) in learned:
            break
        else:
            learned.append((failure.conversation, failure.kwargs))
    assert failure is not None
    raise _refused(failure, "no placement of tags could be proven")


def _proven(
    context: AnnotationContext, before: Template, after: Template, proof: Proof, learned: list[Trial], examples: int
) -> Failure | None:
    """Check the conversations that tags were placed by, then others."""
    proof.stops, proof.modes = context.stops.tokens, [{}, *context.modes]
    proof.notes += context.notes
    searched = [*context.searched, *learned]
    failure = prove(before, after, searched, context.stops, proof)
    if failure is not None:
        return failure
    others = [one for one in context.independent(examples) if one not in learned]
    proof.searched, proof.independent = len(searched), len(others)
    return prove(before, after, others, context.stops, proof)


def _refused(failure: Failure, message: str, hint: str | None = None) -> CannotAnnotate:
    found = failure.counterexample
    return CannotAnnotate(
        f"{message}: {failure.message}",
        law=found.law if found is not None else None,
        hint=hint,
        counterexample=found,
        conversation=failure.conversation,
        kwargs=failure.kwargs,
    )


def _tagged(context: AnnotationContext, learned: list[Trial], options: PlacementOptions, *, careful: bool) -> str:
    """The source with outputs taken apart and tags around what is to be generated."""
    template = context.template
    targets = [*context.cases, *_learned_targets(context, learned)]
    tracer, evidence = _seen(template, targets, deep=options.deep)
    if options.expand:
        template, tracer, evidence = _expanded(template, tracer, evidence, targets, deep=options.deep)
    source = split_outputs(tracer.source.text, tracer.items, evidence, careful=careful)
    apart = with_source(template, source)
    tracer, evidence = _seen(apart, targets, deep=options.deep)
    placer = TagPlacer(source, tracer.items, evidence, apart.program.environment, options.deep)
    runs = placer.runs()
    if placer.unclear:
        raise uncuttable(placer.unclear[0], apart.program.source, tracer.items)
    if not runs:
        raise CannotAnnotate("no part of the template writes what is to be generated")
    return write_tags(source, runs, apart.program.environment)


def _expanded(
    template: Template, tracer: Tracer, evidence: Evidence, targets: list[tuple[Case, list[TargetSpan]]], *, deep: bool
) -> tuple[Template, Tracer, Evidence]:
    """The template with conditional expressions and carried texts rewritten as statements, traced anew."""
    environment = template.program.environment

    def seen(source: str) -> tuple[list[Item], Evidence]:
        tracer, evidence = _seen(with_source(template, source), targets, deep=deep)
        return tracer.items, evidence

    known = tracer.source.text
    items = tracer.items
    for _ in range(_DEPTH):
        source = inline_macros(known, items, evidence, environment)
        if source == known:
            source = inline_constants(known, items, evidence)
        if source == known:
            break
        (items, evidence), known = seen(source), source
    source = expand_conditionals(known, items, evidence, environment)
    if source != known:
        items, evidence = seen(source)
    source = split_variables(source, items, evidence, environment, seen)
    made = with_source(template, source)
    return made, *_seen(made, targets, deep=deep)


def _learned_targets(context: AnnotationContext, learned: list[Trial]) -> Iterator[tuple[Case, list[TargetSpan]]]:
    for conversation, kwargs in learned:
        case = Case(context.template, conversation, kwargs)
        yield case, list(target_spans(case, context.stops))


def _seen(template: Template, targets: list[tuple[Case, list[TargetSpan]]], *, deep: bool) -> tuple[Tracer, Evidence]:
    """What each part of the source wrote."""
    for bold in (True, False):
        tracer = Tracer(template, bold=bold)
        evidence = Evidence()
        same = True
        for case, found in targets:
            try:
                trace = tracer.writes(case.conversation, case.kwargs)
            except Exception:  # whatever a template can raise
                same = False
                break
            same = trace.text == case.rendering.text
            if not same:
                break
            evidence.add(case, trace, found, deep=deep)
        if same:
            return tracer, evidence
    raise CannotAnnotate("taken apart, the template writes another text")


def _diff(template: Template, source: str) -> str:
    name = template.program.source.name
    lines = difflib.unified_diff(
        template.source.splitlines(), source.splitlines(), name, f"{name} (annotated)", lineterm=""
    )
    return "".join(f"{line}\n" for line in lines)
