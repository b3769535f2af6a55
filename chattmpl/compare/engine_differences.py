"""What is known of how engines differ: each fact says where to look, and by what it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from chattmpl.compare import constructs, evidence
from chattmpl.compare.code import Code
from chattmpl.compare.constructs import Site

MINIJINJA, HUGGINGFACE, TGI = "minijinja", "huggingface-jinja", "tgi"
_ALL = (MINIJINJA, HUGGINGFACE, TGI)


@dataclass(frozen=True)
class Fact:
    """One known difference.

    Attributes:
        code: a short name for programs.
        says: what the engine does, in one sentence; ``{word}`` is what ``error`` caught, ``{text}`` the construct.
        hint: the way out.
        find: the constructs in a template, given what ``error`` caught.
        engines: which engines.
        error: found in what the engine says where it fails; None for a fact that shows in the text.
        texts: for a fact that shows in the text, whether two texts may differ by it from an offset on.
        together: the constructs have one cause, and are reported once.
    """

    code: str
    says: str
    hint: str
    find: Callable[[Code, str], Iterable[Site]]
    engines: tuple[str, ...] = _ALL
    error: str | None = None
    texts: Callable[[str, str, int], bool] | None = None
    together: bool = False


FACTS: tuple[Fact, ...] = (
    Fact(
        "generation-tag",
        "the engine does not know the generation tag",
        "serve what `chattmpl export --target inference` writes",
        constructs.generation,
        error=r"generation",
        together=True,
    ),
    Fact(
        "trim-blocks",
        "the engine sets neither trim_blocks nor lstrip_blocks, and keeps the white space around this tag",
        "take the white space away in the template itself, with {%- and -%}",
        constructs.untrimmed,
        (TGI,),
        texts=evidence.space_differs,
        together=True,
    ),
    Fact(
        "strip-characters",
        "the engine ignores the argument of `{text}` and strips all white space",
        "use a form that needs no argument, such as the filter trim",
        constructs.strips,
        (HUGGINGFACE,),
    ),
    Fact(
        "safe",
        "in Jinja2 what is added to a string marked `safe` is escaped as HTML, in the engine it is not",
        "drop the filter: nothing in a chat template is escaped without it",
        constructs.safe,
        (MINIJINJA, HUGGINGFACE),
    ),
    Fact(
        "escape",
        "the engine escapes other characters in `{text}` than Jinja2",
        "drop the filter: a prompt is not HTML",
        constructs.escapes,
        (MINIJINJA, HUGGINGFACE),
        texts=evidence.escaped,
    ),
    Fact(
        "string-is-sequence",
        "for the engine a string is no sequence, so `{text}` is false",
        "ask `is string` first",
        constructs.sequences,
        (MINIJINJA, HUGGINGFACE),
    ),
    Fact(
        "none-is-iterable",
        "for the engine none can be iterated, so `{text}` is true",
        "ask for what is meant: `{% if tools %}` is false for none and for an empty list",
        constructs.iterables,
        (MINIJINJA, HUGGINGFACE),
        error=r"type none|of NullValue|null",
    ),
    Fact(
        "numbers",
        "the engine prints numbers in its own way, such as 1.0 as 1 and 1e-05 as 0.00001",
        "pass such values as strings",
        constructs.json,
        (HUGGINGFACE, MINIJINJA),
        texts=evidence.numbers_differ,
    ),
    Fact(
        "order-of-keys",
        "the engine puts keys that are whole numbers before the others, as JavaScript does",
        "name keys otherwise",
        constructs.json,
        (HUGGINGFACE,),
        texts=evidence.order_differs,
    ),
    Fact(
        "white-space",
        "the engine takes other characters for white space than Python when it strips",
        "clean such characters out of the data",
        constructs.trims,
        (HUGGINGFACE, MINIJINJA),
        texts=evidence.space_differs,
    ),
    Fact(
        "string-filter",
        "`{text}` of a value that is no string is JSON in the engine, and Python's notation in Jinja2",
        "use tojson where the value may be no string",
        constructs.as_strings,
        (HUGGINGFACE, MINIJINJA),
    ),
    Fact(
        "printed-value",
        "the engine prints booleans, none, lists and objects as JSON, Jinja2 as Python does",
        "use tojson where the value may be no string",
        constructs.outputs,
        (HUGGINGFACE, MINIJINJA),
    ),
    Fact(
        "plus-sign",
        "the engine does not know the sign + in a tag",
        "write the tag without it",
        constructs.plus_signs,
        (HUGGINGFACE,),
        error=r"[Uu]nexpected|[Uu]nknown|UnaryOperator|Expected",
        together=True,
    ),
    Fact(
        "unknown-tag",
        "the engine does not know the tag {word}",
        "write it in plainer Jinja",
        constructs.tags,
        error=r"(?:Unknown statement type|unknown statement|unknown tag):? '?(\w+)",
        together=True,
    ),
    Fact(
        "loop-over-no-list",
        "the engine cannot loop over this where it is {word}, which Jinja2 can",
        "ask whether it is a list before the loop",
        constructs.loops,
        (HUGGINGFACE, MINIJINJA),
        error=r"iterable or object type in for loop: got (\w+?)Value|(none|undefined) is not iterable",
    ),
    Fact(
        "length-of-nothing",
        "the engine has no length for what is none or undefined",
        "ask whether it is there first",
        constructs.length,
        (HUGGINGFACE, MINIJINJA),
        error=r"length of value of type|filter \"(?:length|count)\" to type",
    ),
    Fact(
        "filter-of-other-type",
        "the engine has no `{word}` for a value of this type, which Jinja2 has",
        "ask for the value's type first",
        constructs.filtered,
        (HUGGINGFACE, MINIJINJA),
        error=r"Unknown \w+ filter: (\w+)|Cannot apply filter \"(\w+)\" to type",
    ),
    Fact(
        "membership-of-nothing",
        "for the engine it is an error to look into something that is undefined",
        "ask whether it is defined first",
        constructs.membership,
        (HUGGINGFACE, MINIJINJA),
        error=r"operation (?:not )?in on undefined",
    ),
    Fact(
        "method",
        "the engine has no method `{text}`",
        "use a filter or an operator in its place",
        constructs.calls,
        (HUGGINGFACE, MINIJINJA),
        error=r"Cannot call something that is not a function|has no method named|unknown method",
    ),
    Fact(
        "number-as-key",
        "in the engine only strings can be keys of an object",
        "use strings as keys",
        constructs.number_keys,
        (HUGGINGFACE,),
        error=r"Object keys must be strings",
        together=True,
    ),
    Fact(
        "operator",
        "the engine does not know the operator {word} for these types",
        "write it without this operator",
        constructs.operators,
        (HUGGINGFACE, MINIJINJA),
        error=r"[Uu]nknown operator \"([^\"]+)\" between|unable to calculate \w+ (\S+) \w+|tried to use (\S+) operator",
    ),
    Fact(
        "length-of-characters",
        "the engine counts UTF-16 units, Jinja2 characters",
        "do not compute with lengths of texts",
        constructs.lengths,
        (HUGGINGFACE,),
    ),
)
"""In the order in which they are tried, the surest first."""

REFUSALS: tuple[tuple[str, str, str], ...] = (
    (
        r"can only concatenate|unsupported operand type\(s\) for \+",
        "adds-no-string",
        "Jinja2 cannot add what is no string to a string; the engine writes it in its own way",
    ),
    (r"is not iterable", "loops-over-none", "Jinja2 cannot loop over what is no list; the engine takes it for empty"),
    (r"not JSON serializable", "json-of-nothing", "Jinja2 has no JSON for this value; the engine writes something"),
    (r"has no attribute|is undefined", "undefined", "for Jinja2 this is undefined; the engine goes on"),
)
"""What Jinja2 refuses and an engine renders: found in Jinja2's complaint, a code, and what to say."""
