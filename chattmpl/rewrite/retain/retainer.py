"""Another retention policy for any template, with a proof."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from chattmpl.compiler.policies import check_policy
from chattmpl.rewrite.retain.baseline import Baseline
from chattmpl.rewrite.retain.cache import RESULTS
from chattmpl.rewrite.retain.condition_edits import rewritten
from chattmpl.rewrite.retain.overridable_template import OverridableTemplate
from chattmpl.rewrite.retain.probes import Probes
from chattmpl.rewrite.retain.proof import Failure, Proof, prove
from chattmpl.rewrite.retain.refusal import CannotRetain
from chattmpl.rewrite.retain.search import Search
from chattmpl.source import Source
from chattmpl.template.resolver import Found
from chattmpl.template.template import Template

EXAMPLES = 60
"""As many conversations are made by hypothesis for the proof."""

_ATTEMPTS = 12
"""So many changes that the search found are proven or refuted before it gives up."""


def retain(
    template: Template,
    policy: str,
    *,
    strict: bool = False,
    stop_tokens: tuple[str, ...] = (),
    examples: int = EXAMPLES,
) -> Template:
    """Rewrite how a template treats earlier reasoning.

    Args:
        template: any template. One with a reasoning block, such as a family, only gets the policy.
        policy: one of `chattmpl.compiler.policies.POLICIES`.
        strict: for ``all``, accept no conversation in which the laws sampled and prefix fail for another reason.
        stop_tokens: what ends the assistant's turns, where that does not look like a control token.
        examples: how many conversations hypothesis makes for the proof, beside the probes and fixtures.

    Returns:
        A template whose ``proof`` says what was tried and what held.

    Raises:
        CannotRetain: if there is no place for the policy, or no change could be proven, with a counterexample.
        UsageError: for a policy that does not exist.
    """
    check_policy(policy)
    if template.program.has_reasoning:
        return _with_policy(template, policy)
    asked = (policy, str(strict), repr(stop_tokens), str(examples))
    source, proof = RESULTS.of(template, asked, lambda: _retained(template, policy, strict, stop_tokens, examples))
    result = _made(template, _as_given(template, source))
    result.budget, result.proof = template.budget, proof
    return result


def _retained(
    template: Template, policy: str, strict: bool, stop_tokens: tuple[str, ...], examples: int
) -> tuple[str, Proof]:
    """The new source, and why to trust it."""
    probes = Probes(template, policy, stops=stop_tokens, examples=examples)
    searched = probes.searched()
    before = Baseline(template, policy, probes.carriers, probes.thinking, probes.stops, searched[1][0])
    contents = "content" in probes.carriers and policy != "all"
    search = Search(before, OverridableTemplate(template, policy, contents=contents), searched)
    search.score(())
    failure: Failure | None = None
    for number, source in enumerate(_sources(template, search, policy)):
        if number == _ATTEMPTS:
            break
        proof = Proof(policy, [{}, *probes.modes], len(searched), changes=search.tried)
        made = template if source == template.source else _made(template, source)
        failure = _proven(before, made, probes, proof)
        if failure is None:
            if strict and proof.broken:
                raise _unlawful(proof)
            proof.unchanged = source == template.source
            proof.diff = _diff(template, source)
            return source, proof
        search.learn((failure.conversation, failure.kwargs))
    raise _refused(search, policy, failure)


def _unlawful(proof: Proof) -> CannotRetain:
    law, found = next(iter(proof.broken.items()))
    return CannotRetain(
        f"the law {law} does not hold for another reason than its traces: {found.message}",
        policy=proof.policy,
        hint="without --strict this is a note",
        conversation=found.conversation,
        kwargs=found.kwargs,
        expected=found.expected,
        got=found.got,
    )


def _with_policy(template: Template, policy: str) -> Template:
    """A template of the dialect: its lowering is what writes policies."""
    made = template.with_retention(policy)
    same = made.retention == template.retention
    made.proof = Proof(policy, unchanged=same, diff="" if same else _lowered_diff(template, made))
    made.proof.notes.append("it has a {% reasoning %} block: the policy is what it is compiled with")
    return made


def _sources(template: Template, search: Search, policy: str) -> Iterator[str]:
    """The sources to prove, the smallest change first; none twice."""
    seen: set[str] = set()
    environment = template.program.environment
    for changes in search.found():
        if search.score(changes):
            continue  # what an earlier one was refuted by refutes it as well
        source = rewritten(template.source, search.terms, changes, policy, environment, search.shared)
        if source not in seen:
            seen.add(source)
            yield source


def _proven(before: Baseline, made: Template, probes: Probes, proof: Proof) -> Failure | None:
    if not probes.leads_to_traces(made):
        hint = "a policy can be written where a message's reasoning has a place of its own"
        message = "its prompt has closed the trace, or begins otherwise than a turn with one: no turn can be as sampled"
        raise CannotRetain(message, policy=proof.policy, hint=hint)
    failure = prove(before, made, probes.again, proof)
    if failure is None:
        tries = probes.independent
        proof.independent = len(tries)
        failure = prove(before, made, tries, proof)
    return failure


def _made(template: Template, source: str) -> Template:
    return Template(Found(Source(source, template.given.name), template.tokens, template.family), None, template.budget)


def _as_given(template: Template, source: str) -> str:
    if source == template.source:
        return template.given.text
    return source.replace("\n", "\r\n") if "\r\n" in template.given.text else source


def _refused(search: Search, policy: str, failure: Failure | None) -> CannotRetain:
    if failure is not None:
        conversation, kwargs, wrong = failure.conversation, failure.kwargs, failure.wrong
        message = f"no change could be proven: {wrong.what}"
    else:
        message = f"no change of up to three conditions leads to it; {search.tried} were tried"
        example = search.example()
        if example is None:
            return CannotRetain(message, policy=policy, hint=_HINT)
        conversation, kwargs, wrong = example
        message += f", and at best {wrong.what}"
    texts = {"expected": wrong.expected, "got": wrong.got}
    return CannotRetain(message, policy=policy, hint=_HINT, conversation=conversation, kwargs=kwargs, **texts)


_HINT = "put {% reasoning %}…{% endreasoning %} around what renders the trace, and export it with --retention"


def _diff(template: Template, source: str) -> str:
    return _unified(template.program.source.name, template.source, source)


def _lowered_diff(before: Template, after: Template) -> str:
    return _unified(before.name, before.program.lowered.text, after.program.lowered.text)


def _unified(name: str, before: str, after: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), name, f"{name} (retained)", lineterm="")
    return "".join(f"{line}\n" for line in lines)


__all__ = ["retain"]
