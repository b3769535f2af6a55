"""Templates that others wrote, trl's and llama.cpp's: the text is that of transformers, the spans are right.

What is right is known from transformers where its own bookkeeping is exact (tags at the root of the template), and from
oracles that know nothing of how spans are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from chattmpl import Rendering, Template
from chattmpl.errors import ChatTmplError
from chattmpl.family import shipped_folder
from chattmpl.loaders import load_conversation
from support.conversations import conversations, template_kwargs
from support.goldens import CLOCK
from support.oracles import Sentinels, with_markers, without_markers
from support.reference import transformers_render
from support.samples import Ranges, merged
from support.trl_templates import llama_cpp_templates, trl_templates

pytestmark = pytest.mark.upstream

TOKENS = {"bos_token": "<bos>", "eos_token": "<eos>"}
GROUPS = 8
EACH_GROUP = pytest.mark.parametrize("group", range(GROUPS))


def foreign_templates() -> dict[str, str]:
    return {
        **{f"trl/{name}": source for name, source in trl_templates().items()},
        **{f"llama.cpp/{name}": source for name, source in llama_cpp_templates().items()},
    }


@cache
def compiled() -> dict[str, Template]:
    sources = foreign_templates().items()
    return {name: Template.from_source(source, name=name, tokens=TOKENS) for name, source in sources}


def of_group(group: int) -> Iterator[Template]:
    """One template in eight, so that hypothesis makes each conversation for many of them at once."""
    names = sorted(compiled())[group::GROUPS]
    return (compiled()[name] for name in names)


def theirs(
    source: str, conversation: dict[str, Any], prompts: bool, kwargs: dict[str, Any]
) -> tuple[str, Ranges] | None:
    """What transformers renders; None where it, or the template, raises."""
    lists = [conversation.get(name) for name in ("messages", "tools", "documents")]
    try:
        return transformers_render(source, lists[0] or [], *lists[1:], prompts, CLOCK, **TOKENS, **kwargs)
    except Exception:
        return None


def ours(template: Template, conversation: dict[str, Any], prompts: bool, kwargs: dict[str, Any]) -> Rendering | None:
    try:
        return template.render(conversation, prompts, CLOCK, **kwargs)
    except ChatTmplError:
        return None


def read_by(template: Template, kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if name in template.program.variables}


def check_spans(template: Template, rendering: Rendering, reference: Ranges, marked: str | None) -> None:
    assert merged(rendering.generated) == merged(reference), "as transformers has it"
    assert marked is not None
    assert without_markers(marked) == (rendering.text, merged(rendering.generated)), "as the markers have it"


def check(template: Template, conversation: dict[str, Any], prompts: bool, kwargs: dict[str, Any]) -> str:
    """Compares one rendering, and says what there was to compare."""
    given = read_by(template, kwargs)
    want = theirs(template.source, conversation, prompts, given)
    rendering = ours(template, conversation, prompts, given)
    assert (want is None) == (rendering is None), "ours raises where transformers does, and nowhere else"
    if want is None or rendering is None:
        return "refused"
    assert rendering.text == want[0]
    if template.program.has_generation:
        marked = theirs(with_markers(template.source), conversation, prompts, given)
        check_spans(template, rendering, want[1], marked and marked[0])
        return "spans"
    assert rendering.generated == ()
    return "text"


def made(examples: int) -> settings:
    return settings(max_examples=examples, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@EACH_GROUP
@made(40)
@given(conversation=conversations(), prompts=st.booleans(), kwargs=template_kwargs())
def test_the_text_and_the_generated_spans_are_those_of_transformers_and_of_markers(
    group: int, conversation: dict[str, Any], prompts: bool, kwargs: dict[str, Any]
) -> None:
    for template in of_group(group):
        try:
            check(template, conversation, prompts, kwargs)
        except AssertionError:
            note(template.name)
            raise


@EACH_GROUP
@made(20)
@given(conversation=conversations(), prompts=st.booleans())
def test_every_character_of_a_field_has_that_field_as_its_origin(
    group: int, conversation: dict[str, Any], prompts: bool
) -> None:
    sentinels = Sentinels.of(conversation)
    for template in of_group(group):
        rendering = ours(template, sentinels.conversation, prompts, {})
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
    fixtures = [load_conversation(path).dump() for path in sorted(shipped_folder("fixtures").glob("*.json"))]
    compared = {
        name: {check(template, conversation, False, {}) for conversation in fixtures}
        for name, template in compiled().items()
    }
    rendered = [name for name, outcomes in compared.items() if outcomes != {"refused"}]
    assert len([name for name in rendered if name.startswith("trl/")]) >= 70
    assert len([name for name in rendered if name.startswith("llama.cpp/")]) >= 60
    assert len([name for name, outcomes in compared.items() if "spans" in outcomes]) >= 30
