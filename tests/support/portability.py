"""Inference exports in another engine, against ours: equal wherever the family declares no bug of that engine."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from chattmpl import Template
from chattmpl.engines import Engine
from chattmpl.errors import RenderError, UsageError
from chattmpl.family import EngineBug, family_names, load_family
from support.conversations import conversations, template_kwargs
from support.samples import Sample

POLICIES = ("all", "since_last_user", "last", "none")

CASES: list[tuple[str, str | None, dict[str, Any]]] = [
    (family, retention, kwargs)
    for family in family_names()
    if load_family(family).retention
    for retention, kwargs in (
        *((policy, {}) for policy in POLICIES),
        *(("runtime", {"reasoning_retention": policy}) for policy in POLICIES),
        ("runtime", {}),
    )
]
"""Each family that has a reasoning block, with each retention, and for ``runtime`` each value of its kwarg or none."""


def case_id(value: Any) -> str:
    """A name for a part of a case."""
    return str(value) if isinstance(value, str) else "-".join(value.values()) or "plain"


def bugs_of(engine: str) -> list[tuple[str, EngineBug]]:
    """The declared bugs of an engine, with their families."""
    return [
        (family, bug) for family in family_names() for bug in load_family(family).engine_bugs if bug.engine == engine
    ]


def ours(template: Template, sample: Sample, **kwargs: Any) -> str | None:
    """Our text; None where the template refuses."""
    try:
        return sample.ours(template, **kwargs).text
    except RenderError:
        return None


def compare(engine: Engine, template: Template, sample: Sample, **kwargs: Any) -> bool:
    """Demands the same text of the engine, unless a declared bug concerns the sample; returns whether none does."""
    assert template.family is not None
    variables = sample.variables(**kwargs)
    if any(bug.engine == engine.name and bug.concerns(variables) for bug in template.family.engine_bugs):
        return False
    source = template.export("inference")
    want = ours(template, sample, **kwargs)
    absent = {name: value for name, value in variables.items() if value is not None}
    for given in (variables, absent):
        assert _rendered(engine, source, given) == want, f"{engine.name} differs on {sample.id}"
    return True


def is_real(engine: Engine, template: Template, sample: Sample, bug: EngineBug) -> bool:
    """Whether the sample shows this bug, and no other."""
    assert template.family is not None
    variables = sample.variables()
    concerned = [b for b in template.family.engine_bugs if b.engine == engine.name and b.concerns(variables)]
    return concerned == [bug] and _rendered(engine, template.export("inference"), variables) != ours(template, sample)


def example_of(template: Template, bug: EngineBug) -> list[Sample]:
    """The bug's own example, if it has one."""
    if bug.example is None:
        return []
    given = {"tools": None, "documents": None, "add_generation_prompt": False, **bug.example}
    own = {name: given.pop(name) for name in ("messages", "tools", "documents", "add_generation_prompt")}
    return [Sample(id="example", kwargs={**template.tokens, **given}, **own)]


def made_samples(family: str) -> st.SearchStrategy[Sample]:
    """Samples for a family out of hypothesis's hat, such as ours can take."""
    template = Template.load(family)

    def sample(conversation: dict[str, Any], prompts: bool, kwargs: dict[str, Any]) -> Sample:
        lists = [conversation.get(name) for name in ("tools", "documents")]
        read = {name: value for name, value in kwargs.items() if name in template.program.variables}
        return Sample("made", conversation["messages"], *lists, {**template.tokens, **read}, prompts)

    return st.builds(sample, conversations(), st.booleans(), template_kwargs())


def _rendered(engine: Engine, source: str, variables: dict[str, Any]) -> str | None:
    try:
        return engine.render(source, variables)
    except (RenderError, UsageError):
        return None
