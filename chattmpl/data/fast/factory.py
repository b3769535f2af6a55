"""Opening the fast path for a template and a tokenizer: what it consists of, and whether it is to be trusted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from chattmpl.data.fast.check import Exact, expectations, trust
from chattmpl.data.fast.compiled import CompiledRenderer
from chattmpl.data.fast.control_tokens import ControlScan
from chattmpl.data.fast.jinja_renderers import JinjaRenderer, MinijinjaRenderer, Renderer
from chattmpl.data.fast.markers import Unfit, with_markers
from chattmpl.data.fast.path import FastPath, Level
from chattmpl.data.fast.probes import probes
from chattmpl.data.fast.tokens import ENGINES, TokenLengths, definition_of
from chattmpl.encode.fast_tokenizer import FastTokenizer
from chattmpl.encode.tokenizer import TextTokenizer

if TYPE_CHECKING:
    from chattmpl.template.template import Template

_PACKAGES = ("minijinja", "jinja2", "gigatoken", "tokenizers")

RENDERERS: tuple[Callable[[str, Callable[[], datetime]], Renderer], ...] = (
    CompiledRenderer,
    MinijinjaRenderer,
    JinjaRenderer,
)
"""The fastest first."""


@dataclass(frozen=True)
class Verdict:
    """What a differential check found, for other processes with the same packages.

    Attributes:
        levels: names of the renderers, with the features of rows (bits) that each is not used for.
        engine: the name of the token engine; None if there is no fast path.
        notes: what is not used and why.
        versions: of Python and the packages.
    """

    levels: tuple[tuple[str, int], ...]
    engine: str | None
    notes: tuple[str, ...]
    versions: tuple[str, ...]


@dataclass(frozen=True)
class Choices:
    """The options of encoding that matter here; see `chattmpl.encode.encode`."""

    straddle: str
    control_tokens: str
    mask: str
    overrides: dict[str, Any]


def versions() -> tuple[str, ...]:
    """The versions of Python and of what the fast path is made of."""
    return (sys.version, *map(_version, _PACKAGES))


def open_fast_path(
    template: Template,
    tokenizer: TextTokenizer,
    choices: Choices,
    exact: Exact,
    now: Callable[[], datetime],
    verdict: Verdict | None = None,
) -> tuple[FastPath, Verdict]:
    """A fast path that was checked against the exact one.

    Args:
        template: what to render with.
        tokenizer: what to encode with.
        choices: the options of encoding.
        exact: the exact path, with the same options.
        now: what ``strftime_now`` tells.
        verdict: of an earlier check with the same arguments; if the packages are the same, it is not repeated.

    Raises:
        Unfit: if there is none.
    """
    _check(choices)
    if not isinstance(tokenizer, FastTokenizer):
        raise Unfit("the tokenizer is none of the tokenizers library")
    source = with_markers(template.program)
    definition = definition_of(tokenizer)
    candidates = [tokenizer.added[index].content for index in tokenizer.nonblank_ids]
    scan = None
    if choices.control_tokens != "allow":
        control = [tokenizer.added[index].content for index in tokenizer.control_ids(template.source)]
        try:
            scan = ControlScan(control, (*template.program.literals, *template.tokens.values()), candidates)
        except RecursionError:  # a pattern is nested as deeply as the token is long
            raise Unfit("the tokenizer has an added token that is too long to be looked for") from None
    if verdict is not None and verdict.versions != versions():
        verdict = None
    trusted = dict(verdict.levels) if verdict else None

    def path_with(make_engine: Callable[[str], Any], notes: list[str]) -> FastPath:
        levels = []
        for make in RENDERERS:
            try:
                renderer = make(source, now)
            except Unfit as unfit:
                notes.append(str(unfit))
                continue
            if trusted is None or renderer.name in trusted:
                levels.append(Level(renderer, trusted[renderer.name] if trusted else 0))
        return FastPath(
            levels,
            make_engine(definition.text),
            TokenLengths(tokenizer),
            scan,
            dict(template.tokens),
            choices.overrides,
            definition.composes,
            choices.straddle,
        )

    return _first_that_is_right(template, path_with, exact, verdict)


def _first_that_is_right(
    template: Template,
    path_with: Callable[[Callable[[str], Any], list[str]], FastPath],
    exact: Exact,
    verdict: Verdict | None,
) -> tuple[FastPath, Verdict]:
    expected = None
    failed: list[str] = []
    for make_engine in ENGINES:
        notes: list[str] = []
        try:
            path = path_with(make_engine, notes)
            if verdict is not None:
                if path.engine.name == verdict.engine:
                    return path, verdict
                continue
            if expected is None:
                expected = expectations([*_fixtures(), *probes(template.program.variables)], exact, path)
            notes += trust(path, expected)
        except Unfit as unfit:
            failed.append(str(unfit))
            continue
        levels = tuple((level.renderer.name, level.avoid) for level in path.levels)
        return path, Verdict(levels, path.engine.name, tuple(dict.fromkeys((*failed, *notes))), versions())
    raise Unfit("; ".join(dict.fromkeys(failed)))


def _check(choices: Choices) -> None:
    if choices.mask != "all":
        raise Unfit(f"mask={choices.mask!r} needs to know where characters came from")
    if choices.straddle == "split":
        raise Unfit("straddle='split' encodes each piece by itself")
    if not {"tools", "documents"}.isdisjoint(choices.overrides):
        raise Unfit("tools and documents are given as template kwargs")


def _fixtures() -> list[dict[str, Any]]:
    from chattmpl.probing.shapes import shipped_conversations

    return [conversation.dump() for conversation in shipped_conversations()]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
