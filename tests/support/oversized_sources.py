"""Templates of a given length, each of which consists of one construct of Jinja, repeated or nested."""

from __future__ import annotations

from collections.abc import Iterator

_REPEATED: dict[str, tuple[str, str, str]] = {
    "text": ("", "ab ", ""),
    "lines": ("", "\n", ""),
    "white space": ("{{ a }}", " \n", "{{- a }}"),
    "comment": ("{#", " a", "#}"),
    "comments": ("", "{# a #}", ""),
    "raw": ("{% raw %}", "{{ a }}", "{% endraw %}"),
    "raws": ("", "{% raw %}{{{% endraw %}", ""),
    "braces": ("", "{", ""),
    "unclosed raws": ("", "{% raw %}", ""),
    "unclosed comments": ("", "{# ", ""),
    "unclosed outputs": ("", "{{ ", ""),
    "unclosed strings": ("{{ ", "'\\'", ""),
    "opening brackets": ("{{ ", "(", ""),
    "closing brackets": ("{{ ", ")", ""),
    "outputs": ("", "{{ a }}", ""),
    "constants": ("", "{{ 'a' }}", ""),
    "variables": ("", "{{ v# }}", ""),
    "attributes": ("", "{{ a.v# }}", ""),
    "ifs": ("", "{% if a %}{% endif %}", ""),
    "ifs with variables": ("", "{% if v# %}{% set v# = 1 %}{% endif %}", ""),
    "elifs": ("{% if a %}", "{% elif a %}", "{% endif %}"),
    "elifs with variables": ("{% if a %}", "{% elif v# %}{% set v# = 1 %}", "{% endif %}"),
    "sets": ("", "{% set a = 1 %}", ""),
    "sets of variables": ("", "{% set v# = 1 %}", ""),
    "sets in a loop": ("{% for m in a %}", "{% set v# = 1 %}", "{% endfor %}"),
    "set blocks": ("", "{% set v# %}{% endset %}", ""),
    "loops": ("", "{% for m in a %}{% endfor %}", ""),
    "loops with variables": ("", "{% for v# in w# %}{{ v# }}{% endfor %}", ""),
    "loops in a loop": (
        "{% for m in a %}",
        "{% for n in m if n %}{{ loop.index }}{% else %}{% endfor %}",
        "{% endfor %}",
    ),
    "counting loops": ("", "{% for i in range(9) %}{{ a[i] }}{% endfor %}", ""),
    "targets of a loop": ("{% for x", ", v#", " in a %}{% endfor %}"),
    "targets of a set": ("{% set x", ", v#", " = a %}"),
    "targets of a with": ("{% with x = 1", ", v# = 1", " %}{% endwith %}"),
    "macros": ("", "{% macro v#() %}{% endmacro %}", ""),
    "macros of one name": ("", "{% macro m() %}{% endmacro %}", ""),
    "macros that call": ("{% macro v0() %}{% endmacro %}", "{% macro v#() %}{{ v0() }}{% endmacro %}", ""),
    "macros in a loop": ("{% for m in a %}", "{% macro v#(x) %}{{ m }}{% endmacro %}", "{% endfor %}"),
    "parameters": ("{% macro m(x=1", ", v#=1", ") %}{% endmacro %}"),
    "blocks": ("", "{% block v# %}{% endblock %}", ""),
    "generations": ("", "{% generation %}{% endgeneration %}", ""),
    "generations in macros": ("", "{% macro v#() %}{% generation %}{% endgeneration %}{% endmacro %}{{ v#() }}", ""),
    "reasonings": ("", "{% reasoning %}{% endreasoning %}", ""),
    "calls": ("", "{{ f() }}", ""),
    "call blocks": ("", "{% call f() %}{% endcall %}", ""),
    "filter blocks": ("", "{% filter upper %}{% endfilter %}", ""),
    "arguments": ("{{ f(1", ", a", ") }}"),
    "constant arguments": ("{{ f(1", ", 1", ") }}"),
    "keyword arguments": ("{{ f(x=1", ", v#=1", ") }}"),
    "arguments of a filter": ("{{ a|default(1", ", 1", ") }}"),
    "arguments of a test": ("{{ a is eq(1", ", 1", ") }}"),
    "a list": ("{{ [1", ", 1", "] }}"),
    "a list of lists": ("{{ [[]", ", []", "] }}"),
    "a list of variables": ("{{ [1", ", v#", "] }}"),
    "a list to iterate": ("{% for x in [1", ", 1", "] %}{% endfor %}"),
    "a list to search": ("{{ a in [1", ", a", "] }}"),
    "a tuple": ("{{ (1", ", 1", ") }}"),
    "a dict": ("{{ {0: 1", ", '#': 1", "} }}"),
    "a dict of variables": ("{{ {0: 1", ", v#: 1", "} }}"),
    "a string": ("{{ '", "ab ", "' }}"),
    "strings": ("{{ ''", " 'a'", " }}"),
    "a number": ("{{ 1", "0", " }}"),
    "a number with a fraction": ("{{ 1.0", "0", " }}"),
    "a name": ("{{ a", "a", " }}"),
    "a tag": ("{% a", "a", " %}"),
    "a sum": ("{{ a", " + a", " }}"),
    "a constant sum": ("{{ 1", " + 1", " }}"),
    "a concatenation": ("{{ a", " ~ a", " }}"),
    "a constant concatenation": ("{{ 'a'", " ~ 'a'", " }}"),
    "a product": ("{{ a", " * a", " }}"),
    "a power": ("{{ 1", " ** 1", " }}"),
    "a comparison": ("{{ a", " < a", " }}"),
    "a disjunction": ("{{ a", " or a", " }}"),
    "a conjunction": ("{{ a", " and a", " }}"),
    "a condition": ("{{ a", " if a", " }}"),
    "an alternative": ("{{ a", " if a else a", " }}"),
    "negations": ("{{ a", " is not none", " }}"),
    "nots": ("{{ ", "not ", "a }}"),
    "signs": ("{{ ", "-", "a }}"),
    "filters": ("{{ a", "|e", " }}"),
    "filters of a constant": ("{{ 'a'", "|upper", " }}"),
    "attributes in a row": ("{{ a", ".b", " }}"),
    "items in a row": ("{{ a", "[0]", " }}"),
    "slices in a row": ("{{ a", "[1:]", " }}"),
    "calls in a row": ("{{ a", "()", " }}"),
    "unknown tags": ("", "{% foo %}", ""),
    "unknown filters": ("", "{{ a|f# }}", ""),
    "unknown tests": ("", "{{ a is f# }}", ""),
    "closing tags": ("", "{% endif %}", ""),
    "opening ifs": ("", "{% if a %}", ""),
    "imports": ("", "{% import 'a' as v# %}", ""),
    "namespaces": ("", "{% set v# = namespace(x=1) %}{% set v#.x = 2 %}", ""),
    "breaks": ("{% for m in a %}", "{% break %}", "{% endfor %}"),
}
"""For each construct, what is written once before, again and again, and once after; ``#`` is a number."""

_NESTED: dict[str, tuple[str, str]] = {
    "parentheses": ("(", ")"),
    "lists": ("[", "]"),
    "dicts": ("{1: ", "}"),
    "calls": ("f(", ")"),
    "items": ("a[", "]"),
    "filters": ("a|default(", ")"),
    "sums in parentheses": ("(a + ", ")"),
    "constants in parentheses": ("(1 + ", ")"),
    "conditions": ("(a if a else ", ")"),
}
"""For each nested expression, its opening and its closing part."""

_NESTED_BLOCKS = {
    "ifs": ("{% if a %}", "{% endif %}"),
    "loops": ("{% for m in a %}", "{% endfor %}"),
    "loops with variables": ("{% for v# in a %}", "{{ a }}{% endfor %}"),
    "alternatives": ("{% if a %}{% else %}", "{% endif %}"),
    "macros": ("{% macro v#() %}", "{% endmacro %}"),
    "calls": ("{% call f() %}", "{% endcall %}"),
    "filters": ("{% filter upper %}", "{% endfilter %}"),
    "sets": ("{% set v# %}", "{% endset %}"),
    "withs": ("{% with v# = 1 %}", "{% endwith %}"),
    "blocks": ("{% block v# %}", "{% endblock %}"),
    "generations": ("{% generation %}", "{% endgeneration %}"),
    "crossed ifs": ("{% if a %}", "{% endfor %}"),
    "crossed generations": ("{% if a %}{% generation %}", "{% endif %}"),
}
"""For each nested block, its opening and its closing part."""


def oversized_sources(length: int) -> Iterator[tuple[str, str]]:
    """Yield a name and a template for each construct.

    Args:
        length: maximum length of a template in characters.
    """
    for name, (before, unit, after) in _REPEATED.items():
        yield name, before + _filled(length - len(before) - len(after), unit) + after
    for name, (opening, closing) in _NESTED.items():
        for depth in (15, 60, 900, length // len(opening + closing) - 6):
            inner = opening * depth + "a" + closing * depth
            yield f"nested {name}, {depth} deep", _filled(length, f"{{{{ {inner} }}}}")
    for name, (opening, closing) in _NESTED_BLOCKS.items():
        for depth in (15, 60, 900, length // len(opening + closing) // 2):
            numbered = [opening.replace("#", str(index)) for index in range(depth)]
            yield f"nested {name}, {depth} deep", _filled(length, "".join(numbered) + closing * depth)


def _filled(length: int, unit: str) -> str:
    parts: list[str] = []
    size = 0
    while True:
        part = unit.replace("#", str(len(parts)))
        size += len(part)
        if size > length:
            return "".join(parts)
        parts.append(part)
