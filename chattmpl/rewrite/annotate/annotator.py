"""Generation tags for any template: found by tracing, written into its source, and proven."""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from chattmpl.compiler.export import without_generation
from chattmpl.diagnostic import Quoted
from chattmpl.errors import ChatTmplError, TemplateError
from chattmpl.laws.law import Case
from chattmpl.laws.outcome import Counterexample
from chattmpl.rewrite.annotate.context import AnnotationContext
from chattmpl.rewrite.annotate.evidence import Evidence
from chattmpl.rewrite.annotate.inline import inline_accumulators, inline_constants, inline_macros
from chattmpl.rewrite.annotate.placement import TagPlacer
from chattmpl.rewrite.annotate.repair import minimized
from chattmpl.rewrite.annotate.splits import cut_prompted, expand_conditionals, split_outputs, split_variables
from chattmpl.rewrite.annotate.tag_writer import write_tags
from chattmpl.rewrite.annotate.target_spans import Obstacle, target_spans
from chattmpl.rewrite.annotate.trace import Tracer
from chattmpl.rewrite.annotate.verifier import AnnotationProof, AnnotationVerifier, Exemption, unreached_lines
from chattmpl.rewrite.proof import EXAMPLES, Failure, FailureKind, Note, ProofNoteKind, Search, Trial, prove
from chattmpl.rewrite.refusal import CannotAnnotate, Refusal
from chattmpl.rewrite.result import Rewrite, TemplateT, each_variant, rewrite, with_source
from chattmpl.source import Place, Source
from chattmpl.syntax.items import Item, Output
from chattmpl.syntax.nodes import Attribute, Call
from chattmpl.syntax.tree import Tree
from chattmpl.template.template import Template

Turns = Literal["all-turns", "last-turn"]
"""The assistant turns of a conversation that tags are for; the last one is for trainers that unroll."""

_MAX_DEPTH = 4
"""Largest depth of macros that call other macros, and of the constants in them, that are inlined."""

_PLACEMENTS = ((False, False), (True, False), (False, True), (True, True))
"""The ways to place tags, the most readable first: values of ``expand`` and ``deep`` for `TagSearch`."""


def annotate(
    template: TemplateT,
    *,
    repair: bool = False,
    strict: bool = False,
    stop_tokens: tuple[str, ...] = (),
    examples: int = EXAMPLES,
    for_: Turns = "all-turns",
) -> Rewrite[TemplateT, AnnotationProof]:
    """Put generation tags into a template, so that the laws of the mask hold and no text changes.

    A template whose tags are valid is returned as it is. For arguments and errors see `chattmpl.Template.annotate`.
    """
    if template.tool_use is not None:
        return each_variant(
            template,
            lambda each: annotate(
                each, repair=repair, strict=strict, stop_tokens=stop_tokens, examples=examples, for_=for_
            ),
        )

    def find() -> tuple[str, AnnotationProof]:
        source, proof = _annotate(template, repair, stop_tokens, examples, last_only=for_ == "last-turn")
        if strict:
            _refuse_exemptions(proof.exceptions)
        return source, proof

    return rewrite(template, "annotated", (repair, strict, stop_tokens, examples, for_), find)


def _annotate(
    template: Template, repair: bool, stop_tokens: tuple[str, ...], examples: int, *, last_only: bool
) -> tuple[str, AnnotationProof]:
    given = with_source(template, template.source, placeholders=True)

    def context_of(
        other: Template, stops: tuple[str, ...] = stop_tokens, *, other_stops: bool = True
    ) -> AnnotationContext:
        return AnnotationContext(other, stops, other_stops=other_stops, last_only=last_only)

    if not template.program.has_generation:
        return _place(context_of, given, given, stop_tokens, examples)
    bare = with_source(given, without_generation(template.program.source))
    proof, failure = _prove(context_of(bare), given, given, examples)
    if failure is not None:
        lenient = context_of(bare, other_stops=False)
        proof, other_failure = _prove(lenient, given, given, examples)
        failure = failure if other_failure is not None else None
    if failure is None:
        proof.notes.insert(0, Note(ProofNoteKind.UNCHANGED, "the generation tags are valid: nothing was changed"))
        return template.source, proof
    if not repair:
        raise _refusal(Refusal.INVALID_TAGS, failure)
    return _place(context_of, bare, given, stop_tokens, examples)


def _refuse_exemptions(exemptions: Iterable[Exemption]) -> None:
    for one in exemptions:
        if one.law != "pure" and one.obstacle is not Obstacle.NO_QUESTION:
            details = {"law": one.law, "obstacle": one.why, "fix": one.hint}
            found = Counterexample(one.law, "", one.conversation, one.kwargs)
            raise CannotAnnotate(Refusal.LAW_EXEMPTED, details, law=one.law, counterexample=found)


def _place(
    context_of: Callable[..., AnnotationContext],
    bare: Template,
    given: Template,
    stop_tokens: tuple[str, ...],
    examples: int,
) -> tuple[str, AnnotationProof]:
    """Place tags around all targets, else around fewer, else where an accumulator is inlined."""
    context = context_of(bare)
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
            return _search(context_of(template, stops, other_stops=others), given, examples)
        except CannotAnnotate:
            continue
    raise refusal


def _search(context: AnnotationContext, given: Template, examples: int) -> tuple[str, AnnotationProof]:
    """Return the first source that is proven, over all ways of placing tags, else raise the first refusal."""
    refusals: list[CannotAnnotate] = []
    for expand, deep in _PLACEMENTS:
        try:
            return TagSearch(context, given, examples, expand=expand, deep=deep).find()
        except CannotAnnotate as error:
            refusals.append(error)
        except ChatTmplError as error:
            refusals.append(CannotAnnotate(Refusal.NOT_WRITABLE, {"error": error.message}, place=error.place))
    raise refusals[0]


def _prove(
    context: AnnotationContext, before: Template, after: Template, examples: int, learned: Iterable[Trial] = ()
) -> tuple[AnnotationProof, Failure | None]:
    searched = [*context.searched, *learned]
    proof = AnnotationProof([{}, *context.facts.settings], len(searched), notes=[*context.notes], stops=context.stops)
    others = (trial for trial in context.independent(examples) if trial not in learned)
    return proof, prove(AnnotationVerifier(before, after, context.frame).check, proof, searched, others)


def _refusal(refusal: Refusal, failure: Failure) -> CannotAnnotate:
    found = failure.counterexample
    law = found.law if failure.kind is FailureKind.LAW else None
    return CannotAnnotate(refusal, {"failure": found.message}, law=law, counterexample=found)


class TagSearch(Search[AnnotationProof]):
    """Search for generation tags that are placed in one way.

    Args:
        context: the template without tags.
        given: the template as it was given; tags of it that are right stay.
        examples: number of conversations that hypothesis generates for the proof.
        expand: rewrite expressions as statements where a boundary falls inside.
        deep: place tags in macros and captured blocks too, where transformers ignores them.
    """

    limit = 3

    def __init__(self, context: AnnotationContext, given: Template, examples: int, *, expand: bool, deep: bool) -> None:
        self._context = context
        self._given = given
        self._examples = examples
        self._expand = expand
        self._deep = deep
        self._cases = [case for case, _ in context.cases]
        self._targets = list(context.cases)
        self._learned: list[Trial] = []
        self._careful = False

    def candidates(self) -> Iterator[str]:
        """Yield sources with tags, each placed with the counterexamples to those before."""
        while True:
            source = self._tagged()
            yield minimized(self._given, source, self._cases) if self._given.program.has_generation else source

    def prove(self, source: str) -> tuple[AnnotationProof, Failure | None]:
        """Check a source with tags."""
        after = with_source(self._given, source)
        proof, failure = _prove(self._context, self._given, after, self._examples, self._learned)
        if failure is None:
            if self._deep:
                text = "some tags are in a macro or a captured block, where transformers ignores them"
                proof.notes.append(Note(ProofNoteKind.TAGS_IN_MACRO, text))
            proof.notes += unreached_lines(after, self._cases)
        return proof, failure

    def learn(self, failure: Failure) -> bool:
        """Place tags with a counterexample; False if the text changes, or the counterexample is known."""
        if failure.kind is FailureKind.REFUSAL:
            self._careful = True
            return True
        if failure.kind is FailureKind.TEXT or failure.trial in self._learned:
            return False
        self._learned.append(failure.trial)
        conversation, kwargs = failure.trial
        # A turn may be rendered elsewhere when it comes last.
        heads = [conversation.messages[: turn + 1] for turn in failure.counterexample.turns]
        for messages in (conversation.messages, *heads):
            case = Case(self._context.template, conversation.with_messages(messages), kwargs)
            self._targets.append((case, list(target_spans(case, self._context.frame))))
        return True

    def refusal(self, failure: Failure | None) -> CannotAnnotate:
        """Return the refusal with the last counterexample."""
        assert failure is not None
        return _refusal(Refusal.UNPROVEN, failure)

    def _tagged(self) -> str:
        """Return the source with its outputs split, and with tags around the text that should be generated."""
        template = self._context.template
        tree, evidence = self._expanded(template) if self._expand else self._observe(template)
        split = with_source(template, split_outputs(tree, evidence, careful=self._careful))
        tree, evidence = self._observe(split)
        placer = TagPlacer(tree, evidence, self._deep)
        runs = placer.runs()
        if placer.unclear:
            raise _indivisible(placer.unclear[0], split.program.source, tree)
        if not runs:
            raise CannotAnnotate(Refusal.NOTHING_GENERATED)
        return write_tags(split.source, runs)

    def _expanded(self, template: Template) -> tuple[Tree, Evidence]:
        """Observe the template with macros inlined, and conditionals and variables split."""

        def observe(source: str) -> tuple[Tree, Evidence]:
            return self._observe(with_source(template, source))

        tree, evidence = self._observe(template)
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
        tree, evidence = split_variables(tree, evidence, observe)
        source = cut_prompted(tree, evidence)
        return observe(source) if source != tree.source else (tree, evidence)

    def _observe(self, template: Template) -> tuple[Tree, Evidence]:
        """Trace the text that each part of the source writes."""
        for bold in (True, False):
            tracer = Tracer(template, bold=bold)
            evidence = Evidence(self._context.trace_key, self._context.ends_late)
            for case, found in self._targets:
                try:
                    trace = tracer.trace(case.conversation, case.kwargs)
                except Exception:  # whatever a template can raise
                    break
                if trace.text != case.rendering.text:
                    break
                evidence.add(case, trace, found, deep=self._deep)
            else:
                return tracer.tree, evidence
        raise CannotAnnotate(Refusal.NOT_TRACEABLE)


def _indivisible(item: Item, source: Source, tree: Tree) -> CannotAnnotate:
    """Return the refusal because of an item that writes sampled and other text."""
    macros = {name for tag in tree.tags if tag.name == "macro" for name in tag.targets}
    place = Place(source, item.start, item.end)
    called = next((call.function.text for call in item.find(Call) if call.function.text in macros), None)
    if called is not None:
        return CannotAnnotate(Refusal.SHARED_MACRO, {"name": Quoted(called)}, place=place)
    expression = item.expression if isinstance(item, Output) else None
    if isinstance(expression, Attribute) and _is_namespace(expression.value.text, tree):
        return CannotAnnotate(Refusal.ACCUMULATED, {"name": Quoted(expression.text)}, place=place)
    return CannotAnnotate(Refusal.SHARED_OUTPUT, place=place)


def _is_namespace(name: str, tree: Tree) -> bool:
    values = [tag.value for tag in tree.tags if tag.name == "set" and tag.targets == (name,)]
    return any(isinstance(value, Call) and value.function.text == "namespace" for value in values)


# -- training and encoding


def ensure_annotated(
    template: Template, note: Callable[[str], None], stop_tokens: tuple[str, ...] = (), stop_hint: str | None = None
) -> tuple[Template, tuple[str, ...]]:
    """Annotate a template unless it has generation tags.

    Args:
        template: any template.
        note: receives a sentence about the proof, if the template was annotated.
        stop_tokens: the tokens that end the assistant's turns, where they do not look like control tokens.
        stop_hint: hint of the error where no stop token is recognized; by default it names the command-line option.

    Returns:
        The template with tags, and the stop tokens of the proof, if there is one.

    Raises:
        TemplateError: if the template has no tags, and none can be placed.
    """
    if template.tool_use is not None:
        first, stops = ensure_annotated(template.alone, note, stop_tokens, stop_hint)
        second, more = ensure_annotated(template.tool_use, note, stop_tokens, stop_hint)
        return first.with_tool_use(second), tuple(dict.fromkeys((*stops, *more)))
    if template.program.has_generation:
        return template, ()
    try:
        result = annotate(template, stop_tokens=stop_tokens)
    except CannotAnnotate as refusal:
        hint = stop_hint if stop_hint and refusal.refusal is Refusal.NO_STOP_TOKEN else refusal.hint
        raise TemplateError(
            f"{template.name} has no generation tags, so nothing would be trained, and none can be placed: "
            f"{refusal.message}",
            place=refusal.place,
            hint=f"{hint or 'write them by hand, or choose a family'}; for details run chattmpl annotate",
        ) from None
    note(_proof_sentence(template, result.proof))
    return result.template, result.proof.stops


def _proof_sentence(template: Template, proof: AnnotationProof) -> str:
    laws = ", ".join(f"{law} {times} times" for law, times in sorted(proof.held.items()))
    parts = [
        f"{template.name} has no generation tags: it was annotated automatically",
        f"{proof.texts} texts are unchanged" + (f", and the laws held ({laws})" if laws else ""),
        f"the stop token is {' or '.join(map(repr, proof.stops))}",
    ]
    parts += [f"{exemption.law} cannot hold: {exemption.why}" for exemption in proof.exceptions]
    return "; ".join(parts)
