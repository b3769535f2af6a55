"""Known differences between engines and Jinja2, each with its constructs in a template and its symptoms."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from chattmpl.compare import constructs
from chattmpl.compare.code import Code
from chattmpl.compare.constructs import Site
from chattmpl.engine import HUGGINGFACE, MINIJINJA, TGI

_NUMBER = re.compile(r"-?\d[\d.eE+-]*")


def _number_around(text: str, at: int) -> str:
    return next((m.group() for m in _NUMBER.finditer(text, max(0, at - 30)) if m.start() <= at <= m.end()), "")


def _numbers_differ(expected: str, got: str, at: int) -> bool:
    """Return whether two texts write the same number in two ways at an offset."""
    one, other = _number_around(expected, at), _number_around(got, at)
    try:
        return one != other and abs(float(one) - float(other)) <= 1e-9 * abs(float(one))
    except ValueError:
        return False


def _order_differs(expected: str, got: str, at: int) -> bool:
    """Return whether the paragraph around an offset has the same characters in another order."""
    one, other = ((text[max(text.rfind("\n", 0, at), 0) :].partition("\n\n"))[0] for text in (expected, got))
    return len(expected) == len(got) and sorted(one) == sorted(other)


def _space_differs(expected: str, got: str, at: int) -> bool:
    """Return whether only white space differs, including characters that not every engine counts as white space."""
    return "".join(expected.split()) == "".join(got.split()) or any(
        text[at : at + 1] in tuple("\u001c\u001d\u001e\u001f\u0085\ufeff") for text in (expected, got)
    )


def _escapes_differ(expected: str, got: str, at: int) -> bool:
    """Return whether one text has an HTML or JSON escape at an offset."""
    return any(re.match(r"&(?:#\d+|\w+);|\\u00", text[at : at + 6]) is not None for text in (expected, got))


@dataclass(frozen=True)
class EngineDifference:
    """A known difference between Jinja2 and other engines.

    Attributes:
        code: short name for programs.
        message: what the engine does, in one sentence; ``{word}`` is the match of ``error``, ``{text}`` the construct.
        hint: how to avoid it.
        find: returns the constructs in a template, given the match of ``error``.
        engines: names of the engines concerned; empty for all.
        error: pattern of the engine's error message; None if the difference shows in the text.
        texts: for a difference in the text: returns whether it can explain texts that differ from an offset on.
        together: the constructs have one cause and are reported once.
        in_texts_too: a difference with ``error`` can also show in the text.
        first_singly: rewrite the constructs one by one before all of them together.
    """

    code: str
    message: str
    hint: str
    find: Callable[[Code, str], Iterable[Site]]
    engines: tuple[str, ...] = ()
    error: str | None = None
    texts: Callable[[str, str, int], bool] | None = None
    together: bool = False
    in_texts_too: bool = False
    first_singly: bool = False


ENGINE_DIFFERENCES: tuple[EngineDifference, ...] = (
    EngineDifference(
        "generation-tag",
        "the engine does not support the generation tag",
        "serve the output of `chattmpl export --target inference`",
        constructs.generation,
        error=r"generation",
        together=True,
    ),
    EngineDifference(
        "trim-blocks",
        "the engine sets neither trim_blocks nor lstrip_blocks, and keeps the white space around this tag",
        "strip the white space in the template itself, with {%- and -%}",
        constructs.untrimmed,
        (TGI,),
        texts=_space_differs,
        together=True,
        first_singly=True,
    ),
    EngineDifference(
        "strip-characters",
        "the engine ignores the argument of `{text}` and strips all white space",
        "use a form without an argument, such as the filter trim",
        constructs.strips,
        (HUGGINGFACE,),
    ),
    EngineDifference(
        "safe",
        "Jinja2 escapes strings as HTML when they are added to one marked `safe`; the engine does not",
        "remove the filter: chat templates are rendered without autoescaping",
        constructs.safe,
        (MINIJINJA, HUGGINGFACE),
    ),
    EngineDifference(
        "escape",
        "`{text}` escapes other characters in the engine than in Jinja2",
        "remove the filter: a prompt is not HTML",
        constructs.escapes,
        (MINIJINJA, HUGGINGFACE),
        texts=_escapes_differ,
    ),
    EngineDifference(
        "string-is-sequence",
        "a string is not a sequence in the engine, so `{text}` is false",
        "test `is string` first",
        constructs.sequences,
        (MINIJINJA, HUGGINGFACE),
    ),
    EngineDifference(
        "none-is-iterable",
        "none is iterable in the engine, so `{text}` is true",
        "test for truth instead: `{% if tools %}` is false for none and for an empty list",
        constructs.iterables,
        (MINIJINJA, HUGGINGFACE),
        error=r"type none|of NullValue|null",
        in_texts_too=True,
    ),
    EngineDifference(
        "numbers",
        "the engine formats numbers differently, such as 1.0 as 1 and 1e-05 as 0.00001",
        "pass such values as strings",
        constructs.json,
        (HUGGINGFACE, MINIJINJA),
        texts=_numbers_differ,
    ),
    EngineDifference(
        "order-of-keys",
        "the engine orders integer keys before all others, as JavaScript does",
        "rename the keys",
        constructs.json,
        (HUGGINGFACE,),
        texts=_order_differs,
    ),
    EngineDifference(
        "white-space",
        "the engine strips other white space characters than Python",
        "remove these characters from the data",
        constructs.trims,
        (HUGGINGFACE, MINIJINJA),
        texts=_space_differs,
    ),
    EngineDifference(
        "string-filter",
        "`{text}` of a value that is not a string gives JSON in the engine and Python notation in Jinja2",
        "use tojson where the value may not be a string",
        constructs.as_strings,
        (HUGGINGFACE, MINIJINJA),
    ),
    EngineDifference(
        "printed-value",
        "the engine prints booleans, none, lists and objects as JSON, Jinja2 in Python notation",
        "use tojson where the value may not be a string",
        constructs.outputs,
        (HUGGINGFACE, MINIJINJA),
    ),
    EngineDifference(
        "plus-sign",
        "the engine does not support the sign + in a tag",
        "write the tag without the sign",
        constructs.plus_signs,
        (HUGGINGFACE,),
        error=r"[Uu]nexpected|[Uu]nknown|UnaryOperator|Expected",
        together=True,
    ),
    EngineDifference(
        "tojson-option",
        "the engine's own tojson has no option {word}",
        "remove the option; `chattmpl lint --fix` does where its value is the default",
        constructs.json_options,
        (MINIJINJA,),
        error=r"unknown keyword argument '(\w+)'",
    ),
    EngineDifference(
        "unknown-tag",
        "the engine does not support the tag {word}",
        "use simpler Jinja",
        constructs.tags,
        error=r"(?:Unknown statement type|unknown statement|unknown tag):? '?(\w+)",
        together=True,
    ),
    EngineDifference(
        "loop-over-no-list",
        "the engine cannot loop over this when it is {word}; Jinja2 can",
        "test that it is a list before the loop",
        constructs.loops,
        (HUGGINGFACE, MINIJINJA),
        error=r"iterable or object type in for loop: got (\w+?)Value|(none|undefined) is not iterable",
    ),
    EngineDifference(
        "length-of-nothing",
        "the engine cannot take the length of none or of an undefined value",
        "test that the value is defined first",
        constructs.length,
        (HUGGINGFACE, MINIJINJA),
        error=r"length of value of type|filter \"(?:length|count)\" to type",
    ),
    EngineDifference(
        "filter-of-other-type",
        "the engine has no `{word}` for values of this type; Jinja2 does",
        "test the type of the value first",
        constructs.filtered,
        (HUGGINGFACE, MINIJINJA),
        error=r"Unknown \w+ filter: (\w+)|Cannot apply filter \"(\w+)\" to type",
    ),
    EngineDifference(
        "membership-of-nothing",
        "`in` with an undefined value is an error in the engine",
        "test that the value is defined first",
        constructs.membership,
        (HUGGINGFACE, MINIJINJA),
        error=r"operation (?:not )?in on undefined",
    ),
    EngineDifference(
        "method",
        "the engine has no method `{text}`",
        "use a filter or an operator instead",
        constructs.calls,
        (HUGGINGFACE, MINIJINJA),
        error=r"Cannot call something that is not a function|has no method named|unknown method",
    ),
    EngineDifference(
        "number-as-key",
        "the engine accepts only strings as keys of an object",
        "use strings as keys",
        constructs.number_keys,
        (HUGGINGFACE,),
        error=r"Object keys must be strings",
        together=True,
    ),
    EngineDifference(
        "operator",
        "the engine does not support the operator {word} for these types",
        "avoid this operator",
        constructs.operators,
        (HUGGINGFACE, MINIJINJA),
        error=r"[Uu]nknown operator \"([^\"]+)\" between|unable to calculate \w+ (\S+) \w+|tried to use (\S+) operator",
    ),
    EngineDifference(
        "length-of-characters",
        "the engine counts UTF-16 code units, Jinja2 counts characters",
        "do not compute with the lengths of texts",
        constructs.lengths,
        (HUGGINGFACE,),
    ),
)
"""In the order in which they are tried, the most certain first."""

REFUSALS: tuple[tuple[str, str, str], ...] = (
    (
        r"can only concatenate|unsupported operand type\(s\) for \+",
        "adds-no-string",
        "Jinja2 cannot add a value that is not a string to a string; the engine converts it",
    ),
    (r"is not iterable", "loops-over-none", "Jinja2 cannot loop over this value; the engine treats it as empty"),
    (r"not JSON serializable", "json-of-nothing", "Jinja2 cannot write this value as JSON; the engine can"),
    (r"has no attribute|is undefined", "undefined", "this is undefined in Jinja2; the engine continues"),
)
"""Errors of Jinja2 where an engine renders: pattern of Jinja2's message, code, message."""
