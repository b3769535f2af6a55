"""Generation tags for any template: found by tracing, written into its source, and proven."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from chattmpl.compiler.export import without_generation
from chattmpl.errors import ChatTmplError
from chattmpl.laws.law import Case
from chattmpl.laws.outcome import Counterexample
from chattmpl.rewrite.annotate.context import AnnotationContext
from chattmpl.rewrite.annotate.evidence import Evidence
from chattmpl.rewrite.annotate.inline import inline_accumulators, inline_constants, inline_macros
from chattmpl.rewrite.annotate.placement import TagPlacer
from chattmpl.rewrite.annotate.splits import expand_conditionals, split_outputs, split_variables
from chattmpl.rewrite.annotate.tag_writer import write_tags
from chattmpl.rewrite.annotate.target_spans import Obstacle, TargetSpan, target_spans
from chattmpl.rewrite.annotate.trace import Tracer
from chattmpl.rewrite.annotate.verifier import AnnotationProof, AnnotationVerifier, Exemption, unreached_lines
from chattmpl.rewrite.cache import ResultCache
from chattmpl.rewrite.diff import minimize_diff, unified_diff
from chattmpl.rewrite.proof import EXAMPLES, Failure, FailureKind, Note, ProofNoteKind, Trial, prove
from chattmpl.rewrite.refusal import CannotAnnotate, Refusal
from chattmpl.rewrite.result import Rewrite, TemplateT, with_source
from chattmpl.source import Place, Source
from chattmpl.syntax.items import Item, Output
from chattmpl.syntax.nodes import Attribute, Call
from chattmpl.syntax.tree import Tree
from chattmpl.template.template import Rendering, Template

_MAX_ROUNDS = 3
"""Largest number of candidates for each way of placing tags; each is made with the counterexamples to those before."""

_MAX_DEPTH = 4
"""Largest depth of macros that call other macros, and of the constants in them, that are inlined."""

_CACHE: ResultCache[tuple[str, AnnotationProof]] = ResultCache("annotate")


@dataclass(frozen=True)
class PlacementOptions:
    """The way in which tags are placed.

    Attributes:
        expand: rewrite expressions as statements where a boundary falls inside.
        deep: place tags in macros and captured blocks too, where transformers ignores them.
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
    template: TemplateT,
    *,
    repair: bool = False,
    strict: bool = False,
    stop_tokens: tuple[str, ...] = (),
    examples: int = EXAMPLES,
) -> Rewrite[TemplateT, AnnotationProof]:
    """Put generation tags into a template, so that the laws of the mask hold and no text changes.

    Args:
        template: any template. One whose tags are valid is returned as it is.
        repair: replace tags that are wrong; they are refused otherwise.
        strict: refuse a template that breaks a law for some conversations, whatever its tags.
        stop_tokens: the tokens that end the assistant's turns, where they do not look like control tokens.
        examples: number of conversations that hypothesis generates for the proof, besides the probes and fixtures.

    Raises:
        CannotAnnotate: if no placement is valid, or none could be proven.
    """
    request = (str(repair), str(strict), repr(stop_tokens), str(examples))
    source, proof = _CACHE.get(template, request, lambda: _annotate(template, repair, strict, stop_tokens, examples))
    return Rewrite.of(template, source, proof)


def _annotate(
    template: Template, repair: bool, strict: bool, stop_tokens: tuple[str, ...], examples: int
) -> tuple[str, AnnotationProof]:
    work = with_source(template, template.source, placeholders=True)
    program = template.program
    proof = AnnotationProof()
    source = None
    if program.has_generation:
        bare = with_source(work, without_generation(program.source))
        context = AnnotationContext(bare, stop_tokens)
        failure = _prove(context, work, work, proof, [], examples)
        if failure is not None:
            other = AnnotationProof()
            lenient = AnnotationContext(bare, stop_tokens, other_stops=False)
            if _prove(lenient, work, work, other, [], examples) is None:
                failure, proof = None, other
        if failure is None:
            source = template.source
            proof.notes.insert(0, Note(ProofNoteKind.UNCHANGED, "the generation tags are valid: nothing was changed"))
        elif not repair:
            raise _refusal(Refusal.INVALID_TAGS, failure)
    else:
        bare = work
        context = AnnotationContext(work, stop_tokens)
    if source is None:
        source, proof = _place(context, bare, work, stop_tokens, examples)
    if strict:
        _refuse_exemptions(proof.exceptions)
    proof.diff = unified_diff(template.program.source.name, template.source, source, "annotated")
    return source, proof


def _refuse_exemptions(exemptions: Iterable[Exemption]) -> None:
    for one in exemptions:
        if one.law != "pure" and one.obstacle is not Obstacle.NO_QUESTION:
            details = {"law": one.law, "obstacle": one.why, "fix": one.hint}
            found = Counterexample(one.law, "", one.conversation, one.kwargs)
            raise CannotAnnotate(Refusal.LAW_EXEMPTED, details, law=one.law, counterexample=found)


def _place(
    context: AnnotationContext, bare: Template, given: Template, stop_tokens: tuple[str, ...], examples: int
) -> tuple[str, AnnotationProof]:
    """Place tags around all targets, else around fewer, else where an accumulator is inlined."""
    try:
        return _search(context, given, examples)
    except CannotAnnotate as error:
        refusal = error
    inlined = with_source(bare, inline_accumulators(bare.source))
    last = () if stop_tokens else context.last_stop()
    ways: list[tuple[Template, tuple[str, ...], bool]] = []
    if last and last != context.frame.stop_tokens:
        ways.append((bare, last, True))
    ways.append((bare, stop_tokens, False))
    if inlined.source != bare.source:
        ways.append((inlined, stop_tokens, True))
    for template, stops, others in ways:
        try:
            return _search(AnnotationContext(template, stops, other_stops=others), given, examples)
        except CannotAnnotate:
            continue
    raise refusal


def _search(context: AnnotationContext, given: Template, examples: int) -> tuple[str, AnnotationProof]:
    """Return the first source that is proven, over all ways of placing tags."""
    refusal: CannotAnnotate | None = None
    for options in _PLACEMENTS:
        try:
            return _learn(context, given, options, examples)
        except CannotAnnotate as error:
            refusal = refusal or error
        except ChatTmplError as error:
            refusal = refusal or CannotAnnotate(Refusal.NOT_WRITABLE, {"error": error.message}, place=error.place)
    assert refusal is not None
    raise refusal


def _learn(
    context: AnnotationContext, given: Template, options: PlacementOptions, examples: int
) -> tuple[str, AnnotationProof]:
    """Place tags in one way, and again with each counterexample."""
    learned: list[Trial] = []
    careful = False
    failure: Failure | None = None
    cases = [case for case, _ in context.cases]
    for _ in range(_MAX_ROUNDS):
        source = _tagged(context, learned, options, careful=careful)
        if given.program.has_generation:
            source = _minimized(given, source, cases)
        proof = AnnotationProof()
        after = with_source(given, source)
        failure = _prove(context, given, after, proof, learned, examples)
        if failure is None:
            if options.deep:
                text = "some tags are in a macro or a captured block, where transformers ignores them"
                proof.notes.append(Note(ProofNoteKind.TAGS_IN_MACRO, text))
            proof.notes += unreached_lines(after, cases)
            return source, proof
        if failure.kind is FailureKind.REFUSAL:
            careful = True
        elif failure.kind is FailureKind.TEXT or failure.trial in learned:
            break
        else:
            learned.append(failure.trial)
    assert failure is not None
    raise _refusal(Refusal.UNPROVEN, failure)


def _prove(
    context: AnnotationContext,
    before: Template,
    after: Template,
    proof: AnnotationProof,
    learned: list[Trial],
    examples: int,
) -> Failure | None:
    searched = [*context.searched, *learned]
    proof.stops, proof.modes = context.frame.stop_tokens, [{}, *context.modes]
    proof.searched = len(searched)
    proof.notes += context.notes
    others = (trial for trial in context.independent(examples) if trial not in learned)
    return prove(AnnotationVerifier(before, after, context.frame).check, proof, searched, others)


def _refusal(refusal: Refusal, failure: Failure) -> CannotAnnotate:
    found = failure.counterexample
    law = found.law if failure.kind is FailureKind.LAW else None
    return CannotAnnotate(refusal, {"failure": found.message}, law=law, counterexample=found)


def _minimized(given: Template, source: str, cases: list[Case]) -> str:
    """Return the source with those tags of the given one that make no difference to any mask."""

    def render(source: str) -> Iterator[tuple[str, tuple[tuple[int, int], ...]] | None]:
        template = with_source(given, source)
        for case in cases:
            yield _text_and_mask(template, case)

    wanted = list(render(source))

    def is_equivalent(candidate: str) -> bool:
        try:
            return all(got == want for got, want in zip(render(candidate), wanted, strict=True))
        except ChatTmplError:
            return False

    return minimize_diff(given.source, source, is_equivalent)


def _text_and_mask(template: Template, case: Case) -> tuple[str, tuple[tuple[int, int], ...]] | None:
    try:
        rendering: Rendering = Case(template, case.conversation, case.kwargs).rendering
    except ChatTmplError:
        return None
    return rendering.text, rendering.generated


def _tagged(context: AnnotationContext, learned: list[Trial], options: PlacementOptions, *, careful: bool) -> str:
    """Return the source with its outputs split, and with tags around the text to be generated."""
    template = context.template
    targets = [*context.cases, *_learned_targets(context, learned)]
    tracer, evidence = _observe(template, targets, deep=options.deep)
    if options.expand:
        template, tracer, evidence = _expanded(template, tracer, evidence, targets, deep=options.deep)
    source = split_outputs(tracer.tree, evidence, careful=careful)
    apart = with_source(template, source)
    tracer, evidence = _observe(apart, targets, deep=options.deep)
    placer = TagPlacer(tracer.tree, evidence, options.deep)
    runs = placer.runs()
    if placer.unclear:
        raise _indivisible(placer.unclear[0], apart.program.source, tracer.tree)
    if not runs:
        raise CannotAnnotate(Refusal.NOTHING_GENERATED)
    return write_tags(source, runs)


def _expanded(
    template: Template,
    tracer: Tracer,
    evidence: Evidence,
    targets: list[tuple[Case, list[TargetSpan]]],
    *,
    deep: bool,
) -> tuple[Template, Tracer, Evidence]:
    """Return the template with macros inlined, and conditionals and variables split, traced anew."""

    def observe(source: str) -> tuple[Tree, Evidence]:
        tracer, evidence = _observe(with_source(template, source), targets, deep=deep)
        return tracer.tree, evidence

    tree = tracer.tree
    for _ in range(_MAX_DEPTH):
        source = inline_macros(tree, evidence)
        if source == tree.source:
            source = inline_constants(tree, evidence)
        if source == tree.source:
            break
        tree, evidence = observe(source)
    source = expand_conditionals(tree, evidence)
    if source != tree.source:
        tree, evidence = observe(source)
    source = split_variables(tree, evidence, observe)
    made = with_source(template, source)
    return made, *_observe(made, targets, deep=deep)


def _learned_targets(context: AnnotationContext, learned: list[Trial]) -> Iterator[tuple[Case, list[TargetSpan]]]:
    for conversation, kwargs in learned:
        case = Case(context.template, conversation, kwargs)
        yield case, list(target_spans(case, context.frame))


def _observe(
    template: Template, targets: list[tuple[Case, list[TargetSpan]]], *, deep: bool
) -> tuple[Tracer, Evidence]:
    """Trace what each part of the source writes."""
    for bold in (True, False):
        tracer = Tracer(template, bold=bold)
        evidence = Evidence()
        same = True
        for case, found in targets:
            try:
                trace = tracer.trace(case.conversation, case.kwargs)
            except Exception:  # whatever a template can raise
                same = False
                break
            same = trace.text == case.rendering.text
            if not same:
                break
            evidence.add(case, trace, found, deep=deep)
        if same:
            return tracer, evidence
    raise CannotAnnotate(Refusal.NOT_TRACEABLE)


def _indivisible(item: Item, source: Source, tree: Tree) -> CannotAnnotate:
    """Return the refusal because of an item that writes sampled and other text."""
    macros = {name for tag in tree.tags if tag.name == "macro" for name in tag.targets}
    place = Place(source, item.start, item.end)
    called = next((call.function.text for call in item.find(Call) if call.function.text in macros), None)
    if called is not None:
        return CannotAnnotate(Refusal.SHARED_MACRO, {"name": called}, place=place)
    expression = item.expression if isinstance(item, Output) else None
    if isinstance(expression, Attribute) and _is_namespace(expression.value.text, tree):
        return CannotAnnotate(Refusal.ACCUMULATED, {"name": expression.text}, place=place)
    return CannotAnnotate(Refusal.SHARED_OUTPUT, place=place)


def _is_namespace(name: str, tree: Tree) -> bool:
    values = [tag.value for tag in tree.tags if tag.name == "set" and tag.targets == (name,)]
    return any(isinstance(value, Call) and value.function.text == "namespace" for value in values)
