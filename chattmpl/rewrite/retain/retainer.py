"""Rewrite of a template for another retention policy, with a proof."""

from collections.abc import Iterator

from chattmpl.compiler.policies import check_policy
from chattmpl.rewrite.proof import EXAMPLES, Failure, Note, ProofNoteKind, Search, prove
from chattmpl.rewrite.refusal import CannotRetain, Refusal
from chattmpl.rewrite.result import Rewrite, TemplateT, each_variant, rewrite, with_source
from chattmpl.rewrite.retain.baseline import Baseline
from chattmpl.rewrite.retain.change_search import ChangeSearch
from chattmpl.rewrite.retain.condition_edits import rewritten
from chattmpl.rewrite.retain.overridable_template import OverridableTemplate
from chattmpl.rewrite.retain.probes import Probes
from chattmpl.rewrite.retain.verifier import RetentionProof, RetentionVerifier, counterexample
from chattmpl.template.template import Template
from chattmpl.template.writer import unified_diff


def retain(
    template: TemplateT,
    policy: str,
    *,
    strict: bool = False,
    stop_tokens: tuple[str, ...] = (),
    examples: int = EXAMPLES,
) -> Rewrite[TemplateT, RetentionProof]:
    """Rewrite which earlier reasoning traces a template renders.

    One with a reasoning block, such as a family, is compiled with the policy. For arguments and errors see
    `chattmpl.Template.retain`.
    """
    check_policy(policy)
    if template.tool_use is not None:
        return each_variant(
            template, lambda each: retain(each, policy, strict=strict, stop_tokens=stop_tokens, examples=examples)
        )
    if template.program.has_reasoning:
        return _compiled_with(template, policy)

    def find() -> tuple[str, RetentionProof]:
        source, proof = RetentionSearch(template, policy, stop_tokens, examples).find()
        if strict and proof.broken:
            law, found = next(iter(proof.broken.items()))
            details = {"law": law, "failure": found.message}
            raise CannotRetain(Refusal.LAW_BROKEN, details, policy=policy, counterexample=found)
        return source, proof

    return rewrite(template, "retained", (policy, strict, stop_tokens, examples), find)


def _compiled_with(template: TemplateT, policy: str) -> Rewrite[TemplateT, RetentionProof]:
    """Return a template of the dialect under another policy, which the compiler lowers."""
    made = template.with_retention(policy)
    proof = RetentionProof(policy=policy, unchanged=made.retention == template.retention)
    if not proof.unchanged:
        lowered = (template.program.lowered.text, made.program.lowered.text)
        proof.diff = unified_diff(*lowered, template.name, f"{template.name} (retained)")
    text = "the template has a {% reasoning %} block: it is compiled with the policy"
    proof.notes.append(Note(ProofNoteKind.COMPILED, text))
    return Rewrite(made, proof)


class RetentionSearch(Search[RetentionProof]):
    """Search for the smallest change of conditions that yields a policy.

    Args:
        template: a template without reasoning tags.
        stop_tokens: the stop tokens; by default those that probing finds.
        examples: number of conversations that hypothesis generates for the proof.

    Raises:
        CannotRetain: if the template has no place for the policy.
    """

    limit = 12

    def __init__(self, template: Template, policy: str, stop_tokens: tuple[str, ...], examples: int) -> None:
        self._template = template
        self._policy = policy
        self._probes = Probes(template, policy, stops=stop_tokens, examples=examples)
        self._baseline = Baseline(self._probes)
        contents = "content" in self._probes.carriers and policy != "all"
        overridable = OverridableTemplate(template, policy, contents=contents)
        self._changes = ChangeSearch(self._baseline, overridable, self._probes.searched)

    def candidates(self) -> Iterator[str]:
        """Yield sources, the smallest change first; none twice."""
        changes = self._changes
        changes.score(())
        seen: set[str] = set()
        for candidate in changes.candidates():
            if changes.score(candidate):
                continue  # a counterexample to an earlier candidate refutes this one too
            source = rewritten(self._template.program.syntax, changes.terms, candidate, self._policy, changes.shared)
            if source not in seen:
                seen.add(source)
                yield source

    def prove(self, source: str) -> tuple[RetentionProof, Failure | None]:
        """Check a source, unless no turn with a trace can follow its prompt."""
        template, probes = self._template, self._probes
        made = template if source == template.source else with_source(template, source)
        if not probes.leads_to_traces(made):
            raise CannotRetain(Refusal.TRACE_CLOSED, policy=self._policy)
        proof = RetentionProof(
            [{}, *probes.facts.settings],
            len(probes.searched),
            policy=self._policy,
            changes=self._changes.tried,
            unchanged=made is template,
        )
        verifier = RetentionVerifier(self._baseline, made)
        return proof, prove(verifier.check, proof, probes.again, probes.independent)

    def learn(self, failure: Failure) -> bool:
        """Add a counterexample to the conversations that a change must hold for."""
        self._changes.learn(failure.trial)
        return True

    def refusal(self, failure: Failure | None) -> CannotRetain:
        """Return the refusal with the last counterexample, or with a mismatch under the best change."""
        policy, tried = self._policy, self._changes.tried
        if failure is not None:
            found = failure.counterexample
            return CannotRetain(Refusal.UNPROVEN, {"failure": found.message}, policy=policy, counterexample=found)
        example = self._changes.example()
        if example is None:
            return CannotRetain(Refusal.NO_CHANGE, {"tried": tried, "failure": ""}, policy=policy)
        conversation, kwargs, mismatch = example
        details = {"tried": tried, "failure": f", and after the best one {mismatch.what}"}
        shown = counterexample(mismatch, policy, conversation, kwargs)
        return CannotRetain(Refusal.NO_CHANGE, details, policy=policy, counterexample=shown)
