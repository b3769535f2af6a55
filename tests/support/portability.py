"""Inference exports in another engine, against ours: equal wherever the family declares no bug of that engine."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from hypothesis import strategies as st

from chattmpl import Template
from chattmpl.compiler.export import Target
from chattmpl.compiler.policies import POLICIES
from chattmpl.conversation.strategies import conversations, texts
from chattmpl.engine import Engine
from chattmpl.errors import RenderError, UsageError
from chattmpl.template.family import EngineBug, family_names, load_family
from support.samples import Sample, made

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
    declared = [(family, bug) for family in family_names() for bug in load_family(family).engine_bugs]
    return [(family, bug) for family, bug in declared if bug.engine == engine]


def bug_id(value: Any) -> str:
    """A name for a bug or its family."""
    return "-".join(value.what.split()[:6]) if isinstance(value, EngineBug) else str(value)


def ours(template: Template, sample: Sample, **kwargs: Any) -> str | None:
    """Our text; None where the template refuses."""
    try:
        return sample.ours(template, **kwargs).text
    except RenderError:
        return None


@lru_cache
def template_of(family: str, retention: str | None = None) -> Template:
    """A family's template, loaded once."""
    return Template.load(family, retention=retention)


@lru_cache
def exported(template: Template, target: Target) -> str:
    """Its export, made once."""
    return template.export(target)


def compare(engine: Engine, template: Template, sample: Sample, **kwargs: Any) -> bool:
    """Demands the same text of the engine, unless a declared bug concerns the sample; returns whether none does."""
    assert template.family is not None
    variables = sample.variables(**kwargs)
    if any(bug.engine == engine.name and bug.concerns(variables) for bug in template.family.engine_bugs):
        return False
    source = exported(template, "inference")
    want = ours(template, sample, **kwargs)
    absent = {name: value for name, value in variables.items() if value is not None}
    for given in (variables, absent):
        assert _rendered(engine, source, given) == want, f"{engine.name} differs on {sample.id}"
    return True


def is_real(engine: Engine, template: Template, sample: Sample, bug: EngineBug) -> bool:
    """Return whether the sample shows this bug, and no other."""
    assert template.family is not None
    variables = sample.variables()
    concerned = [b for b in template.family.engine_bugs if b.engine == engine.name and b.concerns(variables)]
    return concerned == [bug] and _rendered(engine, exported(template, "inference"), variables) != ours(
        template, sample
    )


def example_of(template: Template, bug: EngineBug) -> list[Sample]:
    """The bug's own example, if it has one."""
    if bug.example is None:
        return []
    given = {**template.tokens, **bug.example}
    lists = (given.pop("messages"), given.pop("tools", None), given.pop("documents", None))
    return [Sample("example", *lists, add_generation_prompt=given.pop("add_generation_prompt", False), kwargs=given)]


def made_samples(family: str) -> st.SearchStrategy[Sample]:
    """Samples for a family out of hypothesis's hat."""
    template = template_of(family)
    return made(conversations(), template_kwargs()).map(lambda sample: sample.read_by(template))


def _rendered(engine: Engine, source: str, variables: dict[str, Any]) -> str | None:
    try:
        return engine.render(source, variables)
    except (RenderError, UsageError):
        return None


_KWARGS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("enable_thinking", "thinking", "add_vision_id", "tools_in_user_message"), st.booleans()),
    **dict.fromkeys(("clear_thinking", "preserve_thinking", "enable_citations", "skip_thinking"), st.booleans()),
    "reasoning_effort": st.sampled_from(["low", "medium", "high"]),
    "date_string": st.just("01 Jan 2026"),
    "builtin_tools": st.sampled_from([["browser", "python"], ["brave_search", "code_interpreter"]]),
    # Booleans in quotes are rejected, since a template would treat them as true.
    **dict.fromkeys(
        ("model_identity", "custom_instructions"), texts(2).filter(lambda t: t.lower() not in ("true", "false"))
    ),
}


def template_kwargs() -> st.SearchStrategy[dict[str, Any]]:
    """Generate kwargs that known templates read, each of them optional."""
    return st.fixed_dictionaries({}, optional=_KWARGS)
