"""Templates that others wrote, trl's and llama.cpp's: the text is that of transformers, the spans are right.

What is right is known from transformers where its own bookkeeping is exact (tags at the root of the template), and from
oracles that know nothing of how spans are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import HealthCheck, given, note, settings

from chattmpl import Rendering, Template
from chattmpl.conversation.strategies import conversations, template_kwargs
from chattmpl.errors import ChatTmplError
from support.oracles import Sentinels, with_markers, without_markers
from support.samples import Ranges, Sample, fixtures, made, merged
from support.trl_templates import llama_cpp_templates, trl_templates

pytestmark = pytest.mark.upstream

TOKENS = {"bos_token": "<bos>", "eos_token": "<eos>"}
GROUPS = 8
EACH_GROUP = pytest.mark.parametrize("group", range(GROUPS))
HEALTHY = [HealthCheck.too_slow, HealthCheck.data_too_large]


@cache
def foreign_templates() -> dict[str, Template]:
    sources = {
        **{f"trl/{name}": source for name, source in trl_templates().items()},
        **{f"llama.cpp/{name}": source for name, source in llama_cpp_templates().items()},
    }
    return {name: Template.from_source(source, name=name, tokens=TOKENS) for name, source in sources.items()}


def of_group(group: int) -> Iterator[Template]:
    """One template in eight, so that hypothesis makes each conversation for many of them at once."""
    names = sorted(foreign_templates())[group::GROUPS]
    return (foreign_templates()[name] for name in names)


def theirs(source: str, sample: Sample) -> tuple[str, Ranges] | None:
    """What transformers renders; None where it, or the template, raises."""
    try:
        return sample.theirs(source)
    except Exception:
        return None


def ours(template: Template, sample: Sample) -> Rendering | None:
    try:
        return sample.ours(template)
    except ChatTmplError:
        return None


def check(template: Template, sample: Sample) -> str:
    """Compares one rendering, and says what there was to compare."""
    want = theirs(template.source, sample)
    rendering = ours(template, sample)
    assert (want is None) == (rendering is None), "ours raises where transformers does, and nowhere else"
    if want is None or rendering is None:
        return "refused"
    text, ranges = want
    assert rendering.text == text
    assert merged(rendering.generated) == ranges, "as transformers has it"
    if not template.program.has_generation:
        return "text"
    marked = theirs(with_markers(template.source), sample)
    assert marked is not None
    assert without_markers(marked[0]) == (text, ranges), "as the markers have it"
    return "spans"


@EACH_GROUP
@settings(max_examples=40, suppress_health_check=HEALTHY)
@given(sample=made(conversations(), template_kwargs()))
def test_the_text_and_the_generated_spans_are_those_of_transformers_and_of_markers(group: int, sample: Sample) -> None:
    for template in of_group(group):
        try:
            check(template, sample.read_by(template))
        except AssertionError:
            note(template.name)
            raise


@EACH_GROUP
@settings(max_examples=20, suppress_health_check=HEALTHY)
@given(sample=made(conversations(), template_kwargs()))
def test_every_character_of_a_field_has_that_field_as_its_origin(group: int, sample: Sample) -> None:
    sentinels = Sentinels.of({"messages": sample.messages, "tools": sample.tools, "documents": sample.documents})
    changed = replace(sample, **sentinels.conversation)
    for template in of_group(group):
        rendering = ours(template, changed.read_by(template))
        if rendering is None:
            continue
        try:
            check_origins(rendering, sentinels)
        except AssertionError:
            note(f"{template.name}: {rendering.text}")
            raise


def check_origins(rendering: Rendering, sentinels: Sentinels) -> None:
    seen = set()
    for span in rendering.spans:
        owner = (span.message, span.field)
        for char in rendering.text[span.start : span.end]:
            if char in sentinels.owners:
                seen.add(char)
                assert owner in sentinels.owners[char], f"{char!r} has the origin {owner}"
    lost = set(rendering.lost)
    used = {(span.message, span.field) for span in rendering.spans}
    for char in sentinels.owners.keys() - sentinels.names:
        for message, path in sentinels.owners[char]:
            whole = path if message is None else f"messages[{message}].{path}"
            if len(sentinels.owners[char]) == 1:
                assert not (char in seen and whole in lost), "what stands in the text is not lost"
            # JSON of ASCII alone has the character as an escape
            assert (whole in lost) == ((message, path) not in used), whole


def test_at_least_sixty_templates_of_trl_and_as_many_of_llama_cpp_are_compared() -> None:
    """On the fixtures, which are conversations that templates are for."""
    compared = {
        name: {check(template, sample.read_by(template)) for sample in fixtures()}
        for name, template in foreign_templates().items()
    }
    rendered = [name for name, outcomes in compared.items() if outcomes != {"refused"}]
    assert len([name for name in rendered if name.startswith("trl/")]) >= 70
    assert len([name for name in rendered if name.startswith("llama.cpp/")]) >= 60
    assert len([name for name, outcomes in compared.items() if "spans" in outcomes]) >= 30
