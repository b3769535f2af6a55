"""The fast path in a process without bounds: rows whose values or output grow are deferred, soon and cheaply."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from support import ROOT
from support.extras import ON_LINUX, need
from support.oversized import VALUES, sources

need("gigatoken", "numpy")

pytestmark = [pytest.mark.hostile, ON_LINUX]

LONG = "abcdefgh" * 100
MANY = "{% for i in range(99999) %}{% for j in range(99999) %}"
ENDS = "{% endfor %}{% endfor %}"
TWICE = "{% set ns = namespace(x='ab', y='\"') %}{% for i in range(99) %}"

GROWING = {
    "strings": f"{TWICE}{{% set ns.x = ns.x ~ ns.x %}}{{% endfor %}}",
    "sums of strings": f"{TWICE}{{% set ns.x = ns.x + ns.x %}}{{% endfor %}}",
    "two names": f"{TWICE}{{% set ns.x = ns.y ~ ns.y %}}{{% set ns.y = ns.x ~ 'a' %}}{{% endfor %}}",
    "blocks": f"{TWICE}{{% set x %}}{{{{ ns.x }}}}{{{{ ns.x }}}}{{% endset %}}{{% set ns.x = x %}}{{% endfor %}}",
    "JSON of JSON": f"{TWICE}{{% set ns.y = ns.y|tojson %}}{{% endfor %}}",
    "lists in strings": f"{TWICE}{{% set ns.y = [ns.y]|string %}}{{% endfor %}}",
    "JSON in one expression": "{{ '\"'" + "|tojson" * 60 + " }}",
    "replaced": f"{TWICE}{{% set ns.x = ns.x|replace('a', ns.x) %}}{{% endfor %}}",
    "replaced by a method": f"{TWICE}{{% set ns.x = ns.x.replace('a', ns.x) %}}{{% endfor %}}",
    "joined": f"{TWICE}{{% set ns.x = ns.x|join(ns.x) %}}{{% endfor %}}",
    "joined by a method": f"{TWICE}{{% set ns.x = ns.x.join(ns.x) %}}{{% endfor %}}",
    "formatted by a method": f"{TWICE}{{% set ns.x = '{{0}}{{0}}'.format(ns.x) %}}{{% endfor %}}",
    "lists": "{% set ns = namespace(x=['a']) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "trees": f"{TWICE}{{% set ns.x = [ns.x, ns.x] %}}{{% endfor %}}{{{{ ns.x }}}}",
    "trees of dicts": f"{TWICE}{{% set ns.x = {{'a': ns.x, 'b': ns.x}} %}}{{% endfor %}}{{{{ ns.x|tojson }}}}",
    "trees in appended lists": f"{TWICE}{{% set ns.x = [] + [ns.x, ns.x] %}}{{% endfor %}}{{{{ ns.x }}}}",
    "trees in namespaces": (
        f"{TWICE}{{% set n = namespace(x=[ns.x, ns.x]) %}}{{% set ns.x = n %}}{{% endfor %}}{{{{ ns.x }}}}"
    ),
    "appended": (
        "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = ns.x + [messages] %}{% endfor %}"
        "{{ ns.x }}"
    ),
    "appended text": (
        f"{{% set ns = namespace(x='') %}}{{% for i in range(99999) %}}{{% set ns.x = ns.x ~ '{LONG}' %}}{{% endfor %}}"
    ),
    "integers": "{% set ns = namespace(x=3) %}{% for i in range(99999) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "squares": "{% set ns = namespace(x=3) %}{% for i in range(99) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "lines": "{% set a = 'ab' %}" + "{% set a = a ~ a %}" * 60,
    "names": "{% set a0 = 'ab' %}" + "".join(f"{{% set a{i + 1} = a{i} ~ a{i} %}}" for i in range(60)),
    "macros": "{% macro m0() %}a{% endmacro %}"
    + "".join(f"{{% macro m{i + 1}() %}}{{{{ m{i}() }}}}{{{{ m{i}() }}}}{{% endmacro %}}" for i in range(40))
    + "{{ m40() }}",
    "arguments": "{% macro m(x, n) %}{% if n %}{{ m(x ~ x, n - 1) }}{% endif %}{% endmacro %}{{ m('ab', 60) }}",
    "arguments of macros": "{% macro m(x) %}{{ x }}{{ x }}{% endmacro %}{{ " + "m(" * 60 + "'a'" + ")" * 60 + " }}",
    "recursion": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "kept by recursion": (
        "{% macro m(n) %}{% set x = messages[0].content ~ n %}{% if n %}{{ m(n - 1) }}{% endif %}{{ x }}{% endmacro %}"
        "{{ m(900) }}"
    ),
    "loops": f"{MANY}{ENDS}",
    "loops that select nothing": (
        "{% for i in range(99999) %}{% for j in range(99999) if false %}{% endfor %}{% endfor %}"
    ),
    "outputs": f"{MANY}{{{{ messages[0].content }}}}{ENDS}",
    "outputs of lists": f"{MANY}{{{{ messages }}}}{ENDS}",
    "outputs of small texts": f"{MANY}{{{{ i }}}}-{{{{ j }}}}{LONG}{ENDS}",
    "outputs in a block": f"{{% set x %}}{MANY}{{{{ i }}}}{{{{ messages[0].content }}}}{ENDS}{{% endset %}}",
    "outputs in a macro": (
        f"{{% macro m() %}}{MANY}{{{{ i }}}}{{{{ messages[0].content }}}}{ENDS}{{% endmacro %}}{{{{ m() }}}}"
    ),
    "unused values": f"{MANY}{{% if messages[0].content ~ i == 'a' %}}a{{% endif %}}{ENDS}",
    "comparisons": f"{MANY}{{% if messages[0].content.find('ab<2') > 1 %}}a{{% endif %}}{ENDS}",
    "straight": "{{ messages[0].content }}" * 9000,
    "straight in a block": "{% set x %}" + "{{ messages[0].content }}" * 9000 + "{% endset %}",
    "product": "{{ messages[0].content * 10000000 }}",
    "product of a list": "{{ ([1] * 1000000000)|length }}",
    "formatted": "{{ '%9999999999d' % 1 }}",
    "width": "{{ '{:9999999999}'.format(1) }}",
    "JSON with an indent": "{{ messages|tojson(indent=999999999) }}",
    "folded": "{% if false %}{{ 'a' * 3000000000 }}{% endif %}",
    "characters": (
        f"{TWICE}{{% set x = messages[0].content|list %}}{{% for c in x %}}{{{{ c }}}}{{% endfor %}}{{% endfor %}}"
    ),
}
"""Templates whose values, output or loops grow faster than the row."""

ENDING = {"folded", "characters", "straight"}
"""Those of `GROWING` that may end in time."""

IN_THE_ROW = {
    "text": "messages[0].content",
    "safe": "messages[0].content|safe",
    "many": "messages[0].content|list",
}
"""Values that are large in the row, instead of made by the template, which the fast path defers."""

SECONDS = 4.0
"""Maximum processor time of a compilation and a render."""

MEGABYTES = 700


def run_all(given: list[tuple[str, str]]) -> list[dict[str, object]]:
    """Render templates on the fast path, each in a process of its own."""
    command = [sys.executable, str(ROOT / "tests" / "sandbox" / "run_fast.py"), "1", "1"]
    lines = "".join(f"{json.dumps(each)}\n" for each in given)
    done = subprocess.run(command, input=lines, cwd=ROOT, capture_output=True, text=True, timeout=600, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def unbounded(results: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return the results of renders that did not end, or took too much."""
    return [
        result
        for result in results
        if result["outcome"] not in ("exact path", "deferred", "harmless")
        or result["seconds"] > SECONDS  # type: ignore[operator]
        or result["megabytes"] > MEGABYTES  # type: ignore[operator]
    ]


def test_what_grows_faster_than_the_row_is_bounded() -> None:
    results = run_all([*GROWING.items()])
    assert len(results) == len(GROWING)
    assert not unbounded(results)
    rendered = {result["template"] for result in results if result["outcome"] == "harmless"}
    assert rendered <= ENDING


@pytest.mark.parametrize("part", range(4))
def test_no_use_of_a_large_value_exceeds_its_bounds_on_the_fast_path(part: int) -> None:
    every = [(use, of_row(source)) for use, source in sources() if of_row(source) != source]
    given = every[part::16]
    assert len(given) > 50
    assert not unbounded(run_all(given))


def of_row(source: str) -> str:
    """Return a template that takes its large values from the row."""
    for name, value in IN_THE_ROW.items():
        source = source.replace(VALUES[name], f"{{% set {name} = {value} %}}")
    return source
