"""Templates that use every node, filter, test, global and method with oversized values, one use each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from chattmpl.compiler.accounting import METHODS
from chattmpl.compiler.filters import FILTERS, LAZY, TESTS

VALUES = {
    "text": "{% set text = 'ab<1 ' * 150000 %}",
    "twin": "{% set twin = 'ab<1 ' * 149999 ~ 'ab<2 ' %}",
    "safe": "{% set safe = ('ab<1 ' * 150000)|safe %}",
    "raw": "{% set raw = ('ab<1 ' * 150000).encode() %}",
    "many": "{% set many = [1] * 120000 %}",
    "span": "{% set span = range(10000) %}",
    "wide": "{% set wide = dict.fromkeys(range(10000), 1) %}",
    "keys": "{% set keys = dict.fromkeys(range(10000), 1).keys() %}",
    "items": "{% set items = dict.fromkeys(range(10000), 1).items() %}",
    "nested": (
        "{% set ns = namespace(x=['ab', 1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}"
        "{% set nested = ns.x %}"
    ),
    "other": (
        "{% set ns = namespace(x=['ab', 1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}"
        "{% set other = ns.x %}"
    ),
    "tuples": (
        "{% set ns = namespace(x=('ab', 1)) %}{% for i in range(60) %}{% set ns.x = (ns.x, ns.x) %}{% endfor %}"
        "{% set tuples = ns.x %}"
    ),
    "tree": (
        "{% set ns = namespace(x={'a': 1}) %}{% for i in range(60) %}{% set ns.x = {'a': ns.x, 'b': ns.x} %}"
        "{% endfor %}{% set tree = ns.x %}"
    ),
    "huge": "{% set huge = 10 ** 300 %}",
    "number": "{% set number = 10 ** 7 %}",
    "negative": "{% set negative = -10 ** 7 %}",
    "real": "{% set real = 1.5 %}",
}
"""Statements that make one large value each, within the budget of a render."""

_WORDS = {"a": "'a'", "none": "none", "spec": "'{0!r:>9999999}{0}'", "percent": "'%(a)s%9999999s'", "key": "'upper'"}

_ARGUMENTS = ("number", "negative", "text", "nested", "many", *_WORDS.values())

_OWNERS = {"text": "str", "safe": "Markup", "raw": "bytes", "many": "list", "tuples": "tuple", "span": "range"}
_OWNERS |= {"wide": "dict", "tree": "dict", "keys": "dict_keys", "items": "dict_items", "huge": "int", "real": "float"}


def sources() -> Iterator[tuple[str, str]]:
    """Yield a name and a template for each use."""
    for use in dict.fromkeys(_uses()):
        needed = "".join(code for name, code in VALUES.items() if _mentions(use, name))
        yield use, needed + (use if use.startswith("{%") else "{{ " + use + " }}")


def _mentions(use: str, name: str) -> bool:
    return name in "".join(char if char.isalnum() or char == "_" else " " for char in use).split()


def _uses() -> Iterator[str]:
    yield from _operators()
    yield from _globals()
    pairs = _rotating(("text", "nested", "15", "safe", "many"), _ARGUMENTS)
    for name in FILTERS:
        for value in ("text", "safe", "many", "nested", "tuples", "tree", "items", "huge", "number"):
            yield f"{value}|{name}|{'list' if name in LAZY else 'string'}|length"
        for index, _ in enumerate(_ARGUMENTS):
            value, argument = next(pairs)
            yield f"{value}|{name}({argument if index % 2 else f'{argument}, {argument}'})|string|length"
    for name in TESTS:
        for value in ("text", "safe", "nested", "tuples", "tree", "huge", "keys"):
            yield f"{value} is {name}" if name.isalpha() else f"{value} {name} {value}"
        for value, argument in (("nested", "other"), ("text", "text"), ("tuples", "items")):
            if name.isalpha():
                yield f"{value} is {name}({argument})"
        yield f"many|select('{name}', nested)|list|length"
    by_type = {kind.__name__: names for kind, names in METHODS.items()}
    for value, kind in _OWNERS.items():
        for name in by_type[kind]:
            yield f"({value}.{name}())|string|length"
            for index in range(3):
                _, argument = next(pairs)
                yield f"({value}.{name}({argument if index % 2 else f'{argument}, {argument}'}))|string|length"


def _rotating(values: tuple[str, ...], arguments: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield pairs without end, in which each value meets each argument."""
    for shift in itertools.count():
        for index, argument in enumerate(arguments):
            yield values[(index + shift) % len(values)], argument


def _operators() -> Iterator[str]:
    values = ("text", "safe", "raw", "many", "nested", "tuples", "tree", "keys", "huge", "number")
    for left in values:
        for sign in ("+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", ">=", "in", "not in"):
            for right in (("text", "other"), ("many", "number"))[len(sign + left) % 2]:
                yield f"({left} {sign} {right})|string|length"
        for chain in ("== other == {0}", "<= other <= {0}", "in [other, text] in [{0}]", "in (other, nested)"):
            yield f"{left} {chain.format(left)}"
        for bounds in ("1:", ":-1", "::-1", "::2", "number:", ":negative"):
            yield f"{left}[{bounds}]|length"
        yield f"{{% for i in range(9999) %}}{{% set x = {left}[1:] %}}{{% endfor %}}"
        yield f"{{% for i in range(9999) %}}{{% if {left}[::-1] %}}{{% endif %}}{{% endfor %}}"
        yield f"{left}[text]"
        yield f"{left}[tuples]"
        yield f"{left}.{'a' * 99}"
        yield f"-{left}"
        yield f"+{left}"
        yield f"not {left}"
        yield f"{{({left}): 1}}"
        yield f"[{left}, {left}]"
        yield f"({left} if {left} else {left})|length"
        yield f"{left}"
        yield f"{{% for x in {left} %}}{{% endfor %}}"
        yield f"{{% for x in {left} if false %}}{{% endfor %}}"
        yield f"{{% for x in {left} recursive %}}{{{{ loop({left}) }}}}{{% endfor %}}"
        yield f"{{% for x in many %}}{{{{ loop.changed({left}) }}}}{{{{ loop.cycle({left}) }}}}{{% endfor %}}"
        yield f"{{% set a, b = {left} %}}"
        yield f"{{% set x %}}{{% for i in many %}}{{{{ {left} }}}}{{% endfor %}}{{% endset %}}"
        yield f"{{% macro m(a, b=1) %}}{{{{ varargs }}}}{{{{ kwargs }}}}{{% endmacro %}}{{{{ m(*{left}) }}}}"
        yield f"{{% macro m(a, b=1) %}}{{{{ varargs }}}}{{{{ kwargs }}}}{{% endmacro %}}{{{{ m(**{left}) }}}}"
        yield f"{{% macro m(a) %}}{{{{ a }}}}{{% endmacro %}}{{{{ m({left}) }}}}"
        yield f"{{% call range({left}) %}}{{% endcall %}}"
        yield f"{{% with a={left} %}}{{{{ a }}}}{{% endwith %}}"
        yield f"{{% filter upper %}}{{{{ {left} }}}}{{% endfilter %}}"

    for search in (
        "text in [twin, twin, twin, twin]",
        "[twin, twin, twin, twin].count(text)",
        "text is in [twin, twin]",
    ):
        yield f"{{% for i in range(9999) %}}{{% set x = {search} %}}{{% endfor %}}"
    yield "{% set twins = [twin] * 20000 %}{{ text in twins }}{{ twins.count(text) }}{{ text is in twins }}"


def _globals() -> Iterator[str]:
    for value in ("text", "many", "nested", "tuples", "tree", "items", "number", "negative"):
        for name in ("range", "dict", "namespace", "cycler", "joiner", "raise_exception", "strftime_now"):
            yield f"{name}({value})|string|length"
            yield f"{name}({value}, {value})|string|length"
            yield f"{name}(*{value})|string|length"
        yield f"dict.fromkeys({value}, {value})|string|length"
        yield f"{{% for i in range(9999) %}}{{{{ dict({value}) }}}}{{% endfor %}}"
        yield f"{{% set j = joiner({value}) %}}{{% for i in range(9999) %}}{{{{ j() }}}}{{% endfor %}}"
        yield f"{{% set c = cycler({value}, 1) %}}{{% for i in range(9999) %}}{{{{ c.next() }}}}{{% endfor %}}"
        yield f"'%s%s' % ({value}, {value})"
        yield f"'{{0!a}}{{0!s}}'.format({value})"
        yield f"('{{!r}}'|safe).format({value})"
    for arguments in ("n=number", "n=1, max=number", "n=100, min=negative", "n=negative, min=negative, max=negative"):
        yield f"{{% for i in range(9999) %}}{{% set x = lipsum({arguments}) %}}{{% endfor %}}"
    yield "{% for i in range(9999) %}{% set x = lipsum(n=100, html=false, min=100, max=300) %}{% endfor %}"
