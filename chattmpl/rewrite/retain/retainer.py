"""Rewrite of a template for another retention policy, with a proof."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from chattmpl.compiler.policies import check_policy
from chattmpl.rewrite.cache import ResultCache
from chattmpl.rewrite.diff import unified_diff
from chattmpl.rewrite.proof import EXAMPLES, Failure, Note, ProofNoteKind, prove
from chattmpl.rewrite.refusal import CannotRetain, Refusal
from chattmpl.rewrite.result import Rewrite, TemplateT, with_source
from chattmpl.rewrite.retain.baseline import Baseline
from chattmpl.rewrite.retain.condition_edits import rewritten
from chattmpl.rewrite.retain.overridable_template import OverridableTemplate
from chattmpl.rewrite.retain.probes import Probes
from chattmpl.rewrite.retain.search import Search
from chattmpl.rewrite.retain.verifier import RetentionProof, RetentionVerifier, counterexample
from chattmpl.template.template import Template

_MAX_ATTEMPTS = 12
"""Largest number of changes from the search that are proven or refuted."""

_CACHE: ResultCache[tuple[str, RetentionProof]] = ResultCache("retain")


def retain(
    template: TemplateT,
    policy: str,
    *,
    strict: bool = False,
    stop_tokens: tuple[str, ...] = (),
    examples: int = EXAMPLES,
) -> Rewrite[TemplateT, RetentionProof]:
    """Rewrite which earlier reasoning traces a template renders.

    Args:
        template: any template. One with a reasoning block, such as a family, is compiled with the policy.
        policy: one of `chattmpl.compiler.policies.POLICIES`.
        strict: for ``all``, refuse where the laws sampled and prefix fail for a reason other than traces.
        stop_tokens: the tokens that end the assistant's turns, where they do not look like control tokens.
        examples: number of conversations that hypothesis generates for the proof, besides the probes and fixtures.

    Raises:
        CannotRetain: if there is no place for the policy, or no change could be proven.
        UsageError: for a policy that does not exist.
    """
    check_policy(policy)
    if template.program.has_reasoning:
        return _compiled_with(template, policy)
    request = (policy, str(strict), repr(stop_tokens), str(examples))
    source, proof = _CACHE.get(template, request, lambda: _retain(template, policy, strict, stop_tokens, examples))
    return Rewrite.of(template, source, proof)


def _retain(
    template: Template, policy: str, strict: bool, stop_tokens: tuple[str, ...], examples: int
) -> tuple[str, RetentionProof]:
    probes = Probes(template, policy, stops=stop_tokens, examples=examples)
    searched = probes.searched()
    baseline = Baseline(template, policy, probes.carriers, probes.thinking, probes.stops, [one for one, _ in searched])
    contents = "content" in probes.carriers and policy != "all"
    search = Search(baseline, OverridableTemplate(template, policy, contents=contents), searched)
    search.score(())
    failure: Failure | None = None
    for source in islice(_candidates(template, search, policy), _MAX_ATTEMPTS):
        made = template if source == template.source else with_source(template, source)
        if not probes.leads_to_traces(made):
            raise CannotRetain(Refusal.TRACE_CLOSED, policy=policy)
        proof = RetentionProof([{}, *probes.modes], len(searched), policy=policy, changes=search.tried)
        failure = prove(RetentionVerifier(baseline, made).check, proof, probes.again, probes.independent)
        if failure is None:
            if strict and proof.broken:
                law, found = next(iter(proof.broken.items()))
                details = {"law": law, "failure": found.message}
                raise CannotRetain(Refusal.LAW_BROKEN, details, policy=policy, counterexample=found)
            proof.unchanged = source == template.source
            proof.diff = unified_diff(template.program.source.name, template.source, source, "retained")
            return source, proof
        search.learn(failure.trial)
    raise _refusal(search, policy, failure)


def _compiled_with(template: TemplateT, policy: str) -> Rewrite[TemplateT, RetentionProof]:
    """Return a template of the dialect under another policy, which the compiler lowers."""
    made = template.with_retention(policy)
    proof = RetentionProof(policy=policy, unchanged=made.retention == template.retention)
    if not proof.unchanged:
        lowered = (template.program.lowered.text, made.program.lowered.text)
        proof.diff = unified_diff(template.name, *lowered, "retained")
    text = "the template has a {% reasoning %} block: it is compiled with the policy"
    proof.notes.append(Note(ProofNoteKind.COMPILED, text))
    return Rewrite(made, proof)


def _candidates(template: Template, search: Search, policy: str) -> Iterator[str]:
    """Yield sources to prove, the smallest change first; none twice."""
    seen: set[str] = set()
    for changes in search.candidates():
        if search.score(changes):
            continue  # a counterexample to an earlier candidate refutes this one too
        source = rewritten(template.program.syntax, search.terms, changes, policy, search.shared)
        if source not in seen:
            seen.add(source)
            yield source


def _refusal(search: Search, policy: str, failure: Failure | None) -> CannotRetain:
    if failure is not None:
        found = failure.counterexample
        return CannotRetain(Refusal.UNPROVEN, {"failure": found.message}, policy=policy, counterexample=found)
    example = search.example()
    if example is None:
        return CannotRetain(Refusal.NO_CHANGE, {"tried": search.tried, "failure": ""}, policy=policy)
    conversation, kwargs, mismatch = example
    details = {"tried": search.tried, "failure": f", and after the best one {mismatch.what}"}
    found = counterexample(mismatch, policy, conversation, kwargs)
    return CannotRetain(Refusal.NO_CHANGE, details, policy=policy, counterexample=found)


__all__ = ["retain"]
