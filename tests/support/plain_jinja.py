"""Jinja itself, set up as transformers sets it up: what a template means when nothing is traced."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

CLOCK = datetime(2025, 7, 10, 12, 0)

MARKERS = "\ue000\ue001"
"""The marks around the content of generation tags in a rendering."""


class GenerationTag(Extension):
    """A scope, with markers written at its ends."""

    tags = {"generation"}  # noqa: RUF012 — as Jinja declares it

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        before, after = (nodes.Output([nodes.TemplateData(mark)], lineno=line) for mark in MARKERS)
        return nodes.Scope([before, *body, after], lineno=line)


def plain_environment() -> ImmutableSandboxedEnvironment:
    """The environment of transformers, with a stopped clock."""

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def tojson(value: Any, **options: Any) -> str:
        return json.dumps(value, **{"ensure_ascii": False, **options})

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = CLOCK.strftime
    return environment


def plain_render(source: str, **variables: Any) -> tuple[str, list[tuple[int, int]]]:
    """The text, and the ranges inside generation tags, neighbours not joined and empty ones left out."""
    marked = plain_environment().from_string(source).render(**variables)
    text = ""
    ranges: list[tuple[int, int]] = []
    starts: list[int] = []
    for char in marked:
        if char == MARKERS[0]:
            starts.append(len(text))
        elif char == MARKERS[1]:
            start = starts.pop()
            if start < len(text):
                ranges.append((start, len(text)))
        else:
            text += char
    return text, ranges
