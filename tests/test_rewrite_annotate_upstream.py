"""Annotation of upstream templates: transformers and minijinja render them as before."""

from __future__ import annotations

from typing import Any

import pytest

from chattmpl import Conversation, Rendering, Template
from chattmpl.engine import Engine
from chattmpl.probing.corpus import CLOCK
from chattmpl.probing.shapes import shipped_conversations
from chattmpl.report.rewrite import proof_text
from chattmpl.rewrite.annotate.verifier import AnnotationProof
from chattmpl.rewrite.proof import ProofNoteKind
from chattmpl.rewrite.refusal import CannotAnnotate
from chattmpl.rewrite.result import Rewrite
from chattmpl.template.special_tokens import PLACEHOLDERS
from support.engines import minijinja
from support.fetched import llama_cpp_templates, trl_templates
from support.reference import transformers_render
from support.snapshots import matches_snapshot

# Some of each kind; bench/annotate.py goes through all.
_SHOWN = ("llama3", "phi3", "qwen2_5", "gemma", "muse_glimmer", "qwen3_training", "cohere2_training")


# A macro for a turn, one that calls another, and a text that is collected in a namespace.
_REWRITTEN = ("GigaChat3-10B-A1.8B", "GigaChat3.1-10B-A1.8B", "Reka-Edge")


def _annotated(source: str, name: str) -> Rewrite[Template, AnnotationProof] | None:
    try:
        template = Template.from_source(source, name=f"{name}.jinja", tokens=PLACEHOLDERS)
        return template.annotate(repair=True, examples=12)
    except CannotAnnotate:
        return None


@pytest.mark.upstream
def test_annotated_templates_of_trl_render_as_before_in_every_engine_and_with_transformers_masks() -> None:
    sources = trl_templates()
    annotated = {name: (sources[name], _annotated(sources[name], name)) for name in _SHOWN}
    made = {name: (source, rewrite) for name, (source, rewrite) in annotated.items() if rewrite is not None}
    assert list(made) == list(_SHOWN)
    engine = minijinja()
    for name, (source, rewrite) in made.items():
        for conversation in shipped_conversations():
            _as_in_transformers(name, source, rewrite, conversation)
            _as_in_minijinja(engine, name, source, rewrite.template, conversation)
    proofs = {name: rewrite.proof for name, (_, rewrite) in made.items()}
    # Which conversations hypothesis makes depends on what else is imported, and so do the counts of a proof.
    diffs = {name: proof_text(proofs[name]).partition("\nstop tokens: ")[0] for name in _SHOWN}
    matches_snapshot("annotate_trl.txt", "\n\n".join(f"== {name}\n{diffs[name]}" for name in _SHOWN) + "\n")


@pytest.mark.upstream
@pytest.mark.parametrize("name", _REWRITTEN)
def test_macros_and_collected_texts_are_written_where_transformers_sees_their_tags(name: str) -> None:
    source = llama_cpp_templates()[name]
    rewrite = _annotated(source, name)
    assert rewrite is not None
    assert not rewrite.proof.has_note(ProofNoteKind.TAGS_IN_MACRO)
    for conversation in shipped_conversations():
        _as_in_transformers(name, source, rewrite, conversation)


def _as_in_transformers(
    name: str, source: str, rewrite: Rewrite[Template, AnnotationProof], conversation: Conversation
) -> None:
    template = rewrite.template
    data = conversation.to_template_input()
    beside: dict[str, Any] = {**PLACEHOLDERS, **data["kwargs"]}
    try:
        rendering: Rendering = template.render(conversation, clock=CLOCK)
        given = (data["messages"], data["tools"], data["documents"])
        before, _ = transformers_render(source, *given, clock=CLOCK, **beside)
    except Exception:  # whatever a template raises
        return
    text, spans = transformers_render(template.given.text, *given, clock=CLOCK, **beside)
    assert text == before == rendering.text, name
    if not rewrite.proof.has_note(ProofNoteKind.TAGS_IN_MACRO):
        marked = {at for start, end in spans for at in range(start, end)}
        assert marked == {at for start, end in rendering.generated for at in range(start, end)}, name


def _as_in_minijinja(engine: Engine, name: str, source: str, template: Template, conversation: Conversation) -> None:
    data = conversation.to_template_input()
    variables = {**PLACEHOLDERS, **data["kwargs"], "messages": data["messages"], "add_generation_prompt": False}
    variables |= {"tools": data["tools"], "documents": data["documents"]}
    before = Template.from_source(source).export("inference")
    texts = [_rendered(engine, text, variables) for text in (before, template.export("inference"))]
    assert texts[0] == texts[1], name


def _rendered(engine: Engine, source: str, variables: dict[str, Any]) -> str | None:
    try:
        return engine.render(source, variables)
    except Exception:  # whatever an engine raises
        return None
