# ruff: noqa: E501 — templates stand on one line, for line breaks are output
"""The fast path gives the result of the exact path or defers the row; compiled templates render what Jinja2 renders."""

from __future__ import annotations

import contextlib
import functools
import unicodedata
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import TemplateRuntimeError, UndefinedError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from chattmpl import Conversation, Template
from chattmpl.conversation.shapes import parse_record, read_record
from chattmpl.conversation.strategies import conversations, texts
from chattmpl.errors import BudgetError, ChatTmplError
from support.extras import need
from support.reference import CLOCK

need("gigatoken", "numpy")

from chattmpl.data.encoder import Encoder, Rejection, Row  # noqa: E402
from chattmpl.data.fast.batch_masks import TextStream, mask_tokens, parse_markers  # noqa: E402
from chattmpl.data.fast.limits import RenderRefused  # noqa: E402
from chattmpl.data.fast.markers import CLOSE, MARKERS, OPEN, SEPARATOR, Unsupported, split_markers, with_markers  # noqa: E402
from chattmpl.data.fast.renderers import CompiledRenderer, Renderer, raise_exception, tojson  # noqa: E402
from chattmpl.data.fast.rows import prepare_row  # noqa: E402
from chattmpl.data.fast.text_checks import BOUNDARY, ControlTokenScanner, has_unassigned_characters  # noqa: E402

pytestmark = pytest.mark.data

FAMILIES = ("hybrid", "llama3", "gpt_oss")

HOSTILE = st.sampled_from(
    [
        *("\ud800", "\udfff", "\x00", "\x01", "\x02 \x01", "\x03", "\x1c", "\r\n", "\r", ""),
        *("e\u0301", "\u0323\u0307", "İ", "▁", "\U0001fae8", "\u0c5c"),
        *("<|im_end|>", "<|im_", "im_end|>", "<|im_end|", "<", ">", "<think>", "</think>", "</thi", "nk>"),
    ]
)


@functools.cache
def encoders(family: str) -> tuple[Encoder, Encoder]:
    """Return a fast and an exact encoder."""
    fast = Encoder(family, "demo", fast="require", check_every=0, clock=CLOCK)
    return fast, Encoder(family, "demo", fast="off", clock=CLOCK)


def told(result: Row | Rejection) -> Any:
    """All that a result says, to compare."""
    if isinstance(result, Rejection):
        return result
    return result.input_ids.tolist(), result.mask.tolist(), result.straddles, result.escaped, result.text


class SandboxedRenderer(Renderer):
    """Jinja2's sandbox with the settings of transformers, to compare with."""

    name = "jinja2"

    def __init__(self, source: str, now: Callable[[], datetime]) -> None:
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        environment.filters["tojson"] = tojson
        environment.globals.update({"raise_exception": raise_exception, **MARKERS})
        environment.globals["strftime_now"] = lambda format: now().strftime(format)
        self._template = environment.from_string(source)

    def write(self, variables: dict[str, Any], pieces: list[str], size: int = 0) -> None:
        pieces.append(self._template.render(variables))


def with_hostile(record: dict[str, Any], pieces: list[str], at: int) -> dict[str, Any]:
    """Return a conversation with hostile text in one of its messages."""
    messages = [dict(message) for message in record["messages"]]
    if messages:
        message = messages[at % len(messages)]
        key = "reasoning_content" if at % 3 == 0 and message["role"] == "assistant" else "content"
        message[key] = "".join(pieces)
    return {**record, "messages": messages}


@pytest.mark.filterwarnings("ignore::chattmpl.data.encoder.UnreadDataWarning")
@pytest.mark.parametrize("family", FAMILIES)
@given(st.lists(conversations(), min_size=1, max_size=4), st.lists(HOSTILE | texts(1), max_size=3), st.integers(0, 20))
def test_both_paths_give_the_same_rows_and_the_same_refusals(
    family: str, records: list[dict[str, Any]], pieces: list[str], at: int
) -> None:
    records = [*records, with_hostile(records[0], pieces, at)]
    fast, exact = encoders(family)
    assert list(map(told, fast.encode_many(records))) == list(map(told, exact.encode_many(records)))


@given(conversations())
def test_a_row_reaches_the_template_as_the_models_hand_it_on(record: dict[str, Any]) -> None:
    assert as_seen(lambda given: prepare_row(read_record(given).value), record) == as_seen(parse_record, record)


def as_seen(read: Any, record: Any) -> str:
    """Return the input of a template from a record, or the error."""
    try:
        result = read(record)
    except ChatTmplError as error:
        return str(error)
    if isinstance(result, Conversation):
        data = result.to_template_input()
        return repr([data["messages"], data["tools"], data["documents"]])
    return repr([result.messages, result.tools, result.documents])


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": "a", "thinking": "t"},
        {"role": "assistant", "content": None, "reasoning_content": "t", "name": None},
        {"reasoning_content": "t", "role": "assistant", "content": "a"},
        {"role": "assistant", "content": "a", "score": "high", "rating": 3},
        {"role": "assistant", "tool_calls": [{"name": "f", "arguments": {"a": None, "b": 1.0}}]},
        {
            "role": "assistant",
            "tool_calls": [{"id": None, "function": {"name": "f", "arguments": "{}"}}],
            "content": "",
        },
        {"role": "user", "content": ({"type": "text", "text": "a", "image": None},)},
    ],
)
def test_unusual_messages_reach_the_template_as_the_models_hand_them_on(message: dict[str, Any]) -> None:
    record = {"messages": [message], "tools": '[{"type": "function", "function": {"name": "f"}}]', "id": 7}
    expected, row = parse_record(record).to_template_input(), prepare_row(read_record(record).value)
    assert repr((row.messages, row.tools)) == repr((expected["messages"], expected["tools"]))


def test_sharegpt_rows_are_read_as_the_loaders_read_them() -> None:
    turns = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "yo"}]
    row = prepare_row(read_record({"conversations": turns}).value)
    assert [message["role"] for message in row.messages] == ["user", "assistant"]


# Markers


@pytest.mark.parametrize("tag", ["{% generation %}", "{%- generation -%}", "{%+ generation +%}", "{%- generation +%}"])
@pytest.mark.parametrize("end", ["{% endgeneration %}", "{%- endgeneration -%}", "{%+ endgeneration %}"])
@pytest.mark.parametrize("renderer", [CompiledRenderer, SandboxedRenderer])
def test_markers_stand_where_the_tags_stand(tag: str, end: str, renderer: Any) -> None:
    source = f"{{% for m in messages %}}\n  {tag} \n  {{{{ m.content }}}} \n {end} \n.{{% endfor %}}"
    template = Template.from_source(source)
    conversation = {"messages": [{"role": "assistant", "content": "yes"}] * 2}
    rendering = template.render(conversation)
    now = rendering.template.budget  # any object: no clock is read here
    text = renderer(with_markers(template.program), now).render(parse_record(conversation).to_template_input())
    plain, generated = split_markers(text)
    assert (plain, generated) == (rendering.text, rendering.generated)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{% set x %}{% generation %}a{% endgeneration %}{% endset %}{{ x }}", "inside a {% set %}"),
        ("{% macro f() %}{% generation %}a{% endgeneration %}{% endmacro %}{{ f() }}", "inside a {% macro %}"),
        ("{% for m in messages %}{% generation %}a{% break %}{% endgeneration %}{% endfor %}", "{% break %}"),
        ("{{ chattmpl_open }}", "names that begin with chattmpl_"),
    ],
)
def test_a_template_whose_tags_cannot_become_markers_is_refused(source: str, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason.replace("{", r"\{")):
        with_markers(Template.from_source(source).program)


def test_masks_are_placed_by_bytes() -> None:
    # "é" has two bytes; the tokens are "a", "é", "b"
    stream = _markers(f"a{OPEN}é{CLOSE}b", f"{OPEN}ab{CLOSE}", "b")
    placed = mask_tokens(stream, *_lengths([[1, 2, 1], [1, 1], [1]]), exclude=False)
    assert placed.mask.tolist() == [0, 1, 0, 1, 1, 0]
    assert placed.straddles.tolist() == [0, 0, 0]


@pytest.mark.parametrize(("exclude", "mask"), [(False, [1, 1, 1]), (True, [0, 1, 0])])
def test_a_token_across_an_edge_is_counted_and_trained_or_not_as_asked(exclude: bool, mask: list[int]) -> None:
    stream = _markers(f"a{OPEN}bcd{CLOSE}e")
    placed = mask_tokens(stream, *_lengths([[2, 1, 2]]), exclude=exclude)
    assert placed.mask.tolist() == mask
    assert placed.straddles.tolist() == [2]


def test_tokens_that_do_not_add_up_to_the_text_are_seen() -> None:
    stream = _markers("ab", "cd")
    assert mask_tokens(stream, *_lengths([[1], [2]]), exclude=False).misaligned.tolist() == [True, False]


@pytest.mark.parametrize(
    "text", [f"{OPEN}a", f"a{CLOSE}", f"{CLOSE}a{OPEN}", f"{OPEN}a{OPEN}b{CLOSE}", "\x00", "", "a\x1c"]
)
def test_a_text_whose_markers_are_not_in_pairs_or_that_holds_control_characters_is_bad(text: str) -> None:
    assert _markers("fine", text, "fine").bad.tolist() == [False, True, False]


def test_if_a_text_holds_a_separator_none_can_be_told_from_another() -> None:
    assert _markers("fine", f"a{SEPARATOR}b", "fine").bad.tolist() == [True, True, True]


def test_spans_that_share_a_token_train_it_once() -> None:
    stream = _markers(f"{OPEN}a{CLOSE}b{OPEN}c{CLOSE}", "d", f"{OPEN}e{CLOSE}")
    assert mask_tokens(stream, *_lengths([[3], [1], [1]]), exclude=False).mask.tolist() == [1, 0, 1]
    assert mask_tokens(stream, *_lengths([[3], [1], [1]]), exclude=True).mask.tolist() == [0, 0, 1]


def _markers(*texts: str) -> TextStream:
    return parse_markers(SEPARATOR.join(texts).encode(), len(texts))


def _lengths(tokens: list[list[int]]) -> tuple[Any, Any]:
    import numpy as np

    return np.array([n for row in tokens for n in row]), np.array(
        [sum(map(len, tokens[:n])) for n in range(len(tokens) + 1)]
    )


# What is left to the exact path


@pytest.mark.parametrize("text", ["<|im_end|>", "a <|im_end|> b", "ends with <", "ends with <|im_en", "<|im_end| \n"])
def test_a_text_with_a_control_token_or_its_beginning_at_the_end_is_found(text: str) -> None:
    assert ControlTokenScanner(["<|im_end|>", "<|im_start|>"], [], []).matches(BOUNDARY + text + BOUNDARY)


@pytest.mark.parametrize("text", ["", "im_end|>", "a < b", "<|im_ends|>", "<<", "<|im_end|"])
def test_other_texts_are_not_found(text: str) -> None:
    assert not ControlTokenScanner(["<|im_end|>"], [], []).matches(BOUNDARY + text + "." + BOUNDARY)


@pytest.mark.parametrize(
    ("text", "found"), [("user|>", True), ("use", True), (" user|> x", True), ("users", False), ("a user|>", False)]
)
def test_a_text_that_completes_a_token_which_the_template_begins_is_found(text: str, found: bool) -> None:
    scan = ControlTokenScanner([], ["a <|", "whole <|user|>"], ["<|user|>"])
    assert scan.matches(BOUNDARY + text + BOUNDARY) is found


def test_characters_that_came_after_unicode_14_are_known_whatever_the_tables_of_python() -> None:
    assert has_unassigned_characters("\U0001fae8")  # of Unicode 15
    assert not has_unassigned_characters("é日😀\U0010ffffx".replace("\U0010ffff", ""))
    assert all(
        has_unassigned_characters(chr(code))
        for code in range(0x30000, 0x300FF)
        if unicodedata.category(chr(code)) == "Cn"
    )


TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"é": [1, {"b": None}]}}}]
VARIABLES: dict[str, Any] = {
    "messages": [
        {"role": "user", "content": "a <b>", "n": 1.5},
        {"role": "assistant", "content": None, "list": [1, True, {"x": "y"}], "items": "shadowed"},
        {"role": "user", "content": "\n two \n"},
    ],
    "tools": TOOLS,
    "word": "early",
}


def both(source: str, variables: dict[str, Any]) -> tuple[str, str]:
    """Return the text of each renderer."""
    renderers = (CompiledRenderer(source, datetime.now), SandboxedRenderer(source, datetime.now))
    return tuple(renderer.render(dict(variables)) for renderer in renderers)  # type: ignore[return-value]


@pytest.mark.parametrize(
    "source",
    [
        "{% for m in messages %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}"
        "{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}",
        "{% for m in messages if m.role == 'user' %}{{ m.content }}{{ loop.last }}{% else %}none{% endfor %}",
        "{% for m in messages if m.role == word %}{{ m }}{% else %}none {{ word }}{% endfor %}",
        "{% for m in nothing %}x{% else %}none{% endfor %}{% for c in 'abc' %}{{ c }}{% endfor %}",
        "{% for m in messages %}{% for c in m.list or [] %}{{ loop.index }}{{ c }}{% endfor %}{{ loop.last }}{% endfor %}",
        "{% for k, v in messages[0].items() %}{{ k }}={{ v }};{% endfor %}{{ messages[1]['items'] }}",
        "{% set a = 1 %}{% for m in messages %}{% set a = loop.index %}{{ a }}{% endfor %}{{ a }}",
        "{% set s = namespace(n=0, text='') %}{% for m in messages %}{% set s.n = s.n + 1 %}"
        "{% set s.text = s.text ~ m.role %}{% endfor %}{{ s.n }}{{ s.text }}{{ s.missing }}",
        "{% macro f(a, b='x') %}{{ a }}-{{ b }}-{{ word }};{% endmacro %}{{ f(1) }}{{ f(1, 2) }}{{ f(b=3, a=4) }}{{ f() }}",
        "{% macro f(n) %}{{ n }}{% if n %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}",
        "{% set word = 'late' %}{% macro f() %}{{ word }}{% endmacro %}{% set word = 'later' %}{{ f() }}",
        "{{ missing }}{{ missing is defined }}{{ word is defined }}{{ messages[9] }}{{ messages[0].a is defined }}",
        "{{ messages[1].content }}{{ messages[1].content is none }}{{ messages[1].content is string }}",
        "{{ messages[0] is mapping }}{{ messages is iterable }}{{ true is true }}{{ 1 is true }}{{ word is undefined }}",
        "{{ messages[0].content.split(' ')[-1].strip('<>') }}{{ word.upper() }}{{ word[1:] }}{{ word[-1] }}{{ word[9] }}",
        "{{ messages[0]['content'] | trim | replace('a', 'b') }}{{ messages | length }}{{ word | default('x') }}",
        "{{ messages | map(attribute='role') | join(',') }}{{ messages | selectattr('role', 'equalto', 'user') | list }}",
        "{{ tools | tojson }}{{ tools | tojson(indent=2) }}{{ tools[0] | tojson }}{{ messages[1].list | tojson }}",
        "{{ messages[0].get('role') }}{{ messages[0].get('z', 'd') }}{{ messages[0].keys() | list }}{{ 'x' ~ 1 ~ none }}",
        "{% set x %}a{{ word }}{% endset %}{{ x }}{% with y = 1 %}{{ y }}{% endwith %}{{ y }}{{ 'a' if missing else 'b' }}",
        "{% for m in messages %}{% if loop.index0 == 1 %}{% continue %}{% endif %}{{ m.role }}{% break %}{% endfor %}",
        "{{ messages[0].n + 1 }}{{ 7 // 2 }}{{ 'é' in word }}{{ [1, 2][::-1] }}{{ {'a': 1}.a }}{{ range(3) | list }}",
        "{% for m in messages %}{% set word = m.role %}{% endfor %}{{ word }}{% if word %}{% set q = 1 %}{% endif %}{{ q }}",
        "{{ 'it\\'s \"so\" {x} {{ \\\\ \\n %s' ~ word ~ '}' }}'\"{ {{ word }} }\\",
        "{% macro f(c) %}{% if c is string %}{{ c }}{% else %}{% for p in c %}<{{ p }}>{% endfor %}{% endif %}{% endmacro %}"
        "{{ f(word) }}{{ f([1, 2]) ~ f(missing) }}{{ f() }}{% set x = f(word) %}{{ x is string }}",
        "{% macro f(c) %}{% if c == 1 %}one{% elif c == 2 %}{% set d = c %}{{ d }}!{% endif %}{% endmacro %}{{ f(1) }}{{ f(2) }}{{ f(3) }}",
        "{% macro f(c) %}{% set d = c %}{% if d %}{% for i in [1] %}{{ i }}{% endfor %}{% else %}-{% endif %}{% endmacro %}{{ f(1) }}{{ f(0) }}",
        "{% set rest = messages[1:] %}{% for m in rest %}{% if m.role == 'user' or m['role'] == 'x' %}{{ m.role }}{% endif %}"
        "{% for m in rest %}{{ m.n }}{{ m.n is defined }}{% endfor %}{{ m.content }}{% endfor %}",
        "{% for m in messages if m.role == 'user' %}{{ m.role }}{% continue %}{% else %}none{% endfor %}",
        "{% for m in messages %}{% if loop.last %}{% break %}{% endif %}{% else %}none{% endfor %}",
        "{% for m in messages %}{% break %}{% else %}{% for n in [] %}{% else %}none{% endfor %}{% endfor %}",
        "{% if word == 'late' %}{{ word | default(nothing.at_all) }}{% endif %}{{ nothing | default(word) | default([1]) }}",
        "{% if missing %}a{% endif %}{% if not missing and word %}b{% endif %}{{ 'c' if missing or tools else 'd' }}"
        "{% for m in messages %}{% if m.n %}e{% endif %}{% if m.n and m['list'] or not m.list %}{{ m.n or m.list }}{% endif %}"
        "{% set late = m.late %}{% if late %}f{% endif %}{% if not tools[0].z %}{{ not tools[0].z }}{% endif %}{% endfor %}",
        "{% for m in messages %}{% set m = {'role': 'other'} %}{{ m.role }}{{ m.role }}{% endfor %}",
        "{% for m in messages if m.role != 'user' and m.role != 'x' %}{{ m.role }}{% for n in messages if n.role == m.role %}"
        "{{ n.role }}{{ n.role }}{% endfor %}{% endfor %}",
        "{% if missing %}{% set s = namespace(n=1) %}{% endif %}{{ s is defined }}",
        "{{ messages[0].content | trim }}{{ 5 | trim }}{{ messages[0].x | default(word) }}{{ messages[1].content | default('d', true) }}",
        "{{ 'a' if missing }}{{ messages[-1].role }}{{ messages[0:0][0] is defined }}{{ word[0] }}{{ word[-1] }}{{ word.index('r') }}",
        "{{ word ~ messages[0].content.find('a') ~ word.startswith('e') ~ word.split('a') ~ word.upper() }}",
        "{{ {'a': 'é\"', 'b': 2} | tojson }}{{ {'a': 1.5} | tojson }}{{ {} | tojson }}{{ {'a': [1]} | tojson }}{{ {'a': true} | tojson }}",
        "{{ strftime_now is defined }}{{ range is undefined }}{{ 'a{}b{:>4}'.format(word, 1) }}{{ word.format(1) ~ '{0}'.format('x') }}",
        "{% if tools %}{% macro f(t) %}{% for x in t %}{{ x.type }}{% endfor %}{% endmacro %}{{ f(tools) }}{{ f([]) }}{% endif %}{{ f(tools) }}",
        "{% if missing %}{% macro f(t) %}a{% endmacro %}{% else %}{% set x = 1 %}{% endif %}{{ x }}{{ 'b' if missing else 'c' }}",
        "{% set s = namespace(a=1) %}{% if s %}n{% endif %}{{ s }}{{ s is mapping }}{{ s is iterable }}{% set s.a = 2 %}{{ s.a }}",
        "{% for m in messages %}{% set c = m.role %}{% if c == 'user' %}{% set c = namespace(text='') %}{% set c.text = c.text ~ m.n %}"
        "{% set c = c.text %}{% endif %}{{ c }}{% set s = namespace(items=1) %}{% set s.items = 2 %}{% endfor %}{{ namespace() or 'x' }}",
        "{{ namespace(a=1) == namespace(a=1) }}{{ namespace({'a': 1}).a }}{% set s = namespace(a=1) %}{{ s.b is defined }}{{ [s][0].a }}",
        "{% for m in messages %}{% if m.role != 'user' %}{% macro f(x) %}{{ m.role }}{{ x }}{{ word }}{% endmacro %}{{ f(1) }}{% endif %}{% endfor %}",
        "{{ messages[0]['__class__'] }}{{ messages[0]['_' ~ '_class__'] }}",
    ],
)
def test_a_compiled_template_renders_what_the_sandbox_renders(source: str) -> None:
    compiled, sandboxed = both(source, VARIABLES)
    assert compiled == sandboxed


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ messages.__class__ }}", "private"),
        ("{{ ''.format_map({}) }}", "unknown function"),
        ("{{ messages.append(1) }}", "unknown function"),
        ("{{ messages[0].update({}) }}", "unknown function"),
        ("{{ messages[0].items }}", "method of dicts"),
        ("{% for m in messages %}{{ loop.cycle('a', 'b') }}{% endfor %}", "unknown function"),
        ("{% for m in messages %}{{ loop }}{% endfor %}", "loop as a value"),
        ("{% for m in messages %}{{ loop.depth }}{% endfor %}", "loop.depth"),
        ("{% macro f() %}{{ caller() }}{% endmacro %}{% call f() %}x{% endcall %}", "blocks"),
        ("{% macro f() %}{% endmacro %}{{ f(1) }}", "does not accept"),
        ("{% macro f() %}{% endmacro %}{% set g = f %}", "function as a value"),
        ("{% set range = 1 %}", "name of a function"),
        ("{% macro f(a, b=a) %}{% endmacro %}{{ f(1) }}", "another argument"),
        ("{{ dict(*messages) }}", "unpacks"),
        ("{% for m in messages recursive %}{% endfor %}", "recursive"),
        (
            "{% set s = namespace(seen=[]) %}{% for m in messages if m.role not in s.seen %}{{ m.role }}"
            "{% set s.seen = s.seen + [m.role] %}{% endfor %}",
            "may change",
        ),
        (
            "{% set s = namespace(n=0) %}{% macro few(m) %}{{ s.n < 2 }}{% endmacro %}"
            "{% for m in messages if few(m) == 'True' %}{% set s.n = s.n + 1 %}{% endfor %}",
            "may change",
        ),
        ("{% macro g() %}{% macro f() %}{% endmacro %}{% endmacro %}", "inside another scope"),
        ("{% macro f() %}{% endmacro %}{% macro f() %}{% endmacro %}", "defined twice"),
        ("{{ word | attr('upper') }}", "No filter named 'attr'"),
        ("{{ word | center(99) }}", "No filter named 'center'"),
        ("{{ word.zfill(99) }}", "unknown function"),
        ("{{ word.rsplit(tools[0].type) }}", "not constant"),
        ("{{ 2 ** 3 }}", r"uses \*\*"),
    ],
)
def test_what_is_not_known_to_be_harmless_is_not_compiled(source: str, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        CompiledRenderer(source, datetime.now)


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("{{ raise_exception('no') }}", RenderRefused, "^no$"),
        ("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}", BudgetError, "1 second$"),
        ("{{ missing | tojson }}", TypeError, "not JSON serializable"),
        (
            "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
            BudgetError,
            "1 second$",
        ),
    ],
)
def test_a_template_that_refuses_or_does_not_end_is_for_the_exact_path(
    source: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        CompiledRenderer(source, datetime.now).render({})


@pytest.mark.parametrize(
    "constant",
    ["10 ** 10 ** 9", "'a' * 10 ** 11", "'a' | center(10 ** 11)", "[1] * 10 ** 11", "0 ~ 'a' * 10 ** 11"],
)
@pytest.mark.parametrize("place", ["{{{{ {} }}}}", "{{% set x = {} %}}", "{{% if {} %}}a{{% endif %}}"])
def test_no_constant_is_computed_when_a_template_is_compiled(place: str, constant: str) -> None:
    with contextlib.suppress(Unsupported):
        CompiledRenderer("{% if messages %}" + place.format(constant) + "{% endif %}", datetime.now).render({})


@pytest.mark.parametrize("error", [MemoryError, functools.partial(BudgetError, "it took too long")])
def test_after_a_row_that_exceeds_the_bounds_the_exact_path_renders_the_others(
    error: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def write(self: CompiledRenderer, variables: dict[str, Any], pieces: list[str], size: int) -> None:
        calls.append(variables)
        if len(calls) == 3:
            raise error()
        pieces.append("text")

    path = Encoder("chatml", "demo", fast="require", check_every=0, clock=CLOCK)._fast
    assert path is not None
    monkeypatch.setattr(CompiledRenderer, "write", write)
    rows = [prepare_row({"messages": [{"role": "user", "content": str(number)}]}) for number in range(5)]
    batch = path.encode(rows)
    assert (batch.rows, sorted(batch.deferred), len(calls)) == ([0, 1], [2, 3, 4], 3)


@pytest.mark.parametrize(
    "source",
    [
        "{% set n = messages[0] %}{% set n.content = 1 %}",
        "{% for n in messages %}{% set n.content = 1 %}{% endfor %}",
        "{% set n = messages[0] %}{% set n.content %}a{% endset %}",
        "{% if word %}{% set n = namespace(a=1) %}{% else %}{% set n = messages[0] %}{% endif %}{% set n.content = 1 %}",
    ],
)
def test_a_message_is_not_changed_like_a_namespace(source: str) -> None:
    messages = [{"role": "user", "content": "a"}]
    with pytest.raises(TemplateRuntimeError, match="of a value that is no namespace"):
        CompiledRenderer(source, datetime.now).render({"messages": messages})
    assert messages == [{"role": "user", "content": "a"}]


def test_a_default_that_raises_does_so_where_it_is_not_needed() -> None:
    for make in (CompiledRenderer, SandboxedRenderer):
        with pytest.raises(RenderRefused, match=r"^no$"):
            make("{{ 'a' | default(raise_exception('no')) }}", datetime.now).render({})
        with pytest.raises(UndefinedError, match="is undefined"):
            make("{{ 'a' | default(nope.nope) }}", datetime.now).render({})


def test_a_variable_named_like_a_function_is_for_the_exact_path() -> None:
    with pytest.raises(RenderRefused, match=r"^$"):
        CompiledRenderer("{{ range(3) }}", datetime.now).render({"range": 1})


def test_a_variable_named_like_a_namespace_is_for_the_exact_path() -> None:
    source = "{% if x %}{% set s = namespace(n=0) %}{% endif %}{% set s.n = 1 %}{{ s.n }}"
    assert CompiledRenderer(source, datetime.now).render({"x": True}) == "1"
    with pytest.raises(RenderRefused, match=r"^$"):
        CompiledRenderer(source, datetime.now).render({"s": {"n": 0}})


def test_a_row_that_cannot_be_rendered_leaves_the_texts_of_others_alone() -> None:
    source = "{{ '{%' }} generation %}{% for m in messages %}{{ m.content }}{% if m.role == 'tool' %}{{ raise_exception('no') }}{% endif %}{% endfor %}"
    renderer = CompiledRenderer(source, datetime.now)
    pieces = ["before"]
    with pytest.raises(RenderRefused, match=r"^no$"):
        renderer.write({"messages": [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}]}, pieces)
    assert pieces[0] == "before"


def test_tools_are_written_anew_when_they_are_others() -> None:
    renderer = CompiledRenderer("{{ tools | tojson }}", datetime.now)
    for number in (1, 2, 1, 3):
        assert renderer.render({"tools": [{"n": number}]}) == f'[{{"n": {number}}}]'


@pytest.mark.parametrize(
    "macro",
    [
        "{% macro f(t) %}{% for x in t %}{{ x.function.name }}{% endfor %}{% endmacro %}",
        "{% macro f(t) %}{{ word }}{{ t | length }}{% endmacro %}",
        "{% set w = word %}{% macro f(t) %}{{ w }}{{ t[0].type }}{% endmacro %}",
        "{% set s = namespace(n=word) %}{% macro f(t) %}{{ s.n }}{% set s.n = s.n ~ 1 %}{{ t[0].type }}{% endmacro %}",
        "{% macro f(t) %}{% if t.x %}{% set late = 1 %}{% endif %}{{ late }}{{ t | length }}{% endmacro %}",
        "{% macro g(t) %}{{ word }}{% endmacro %}{% macro f(t) %}{{ g(t) }}{{ t | length }}{% endmacro %}",
        "{% macro f(t) %}{{ t | length }}{% if t[0].parts %}{{ f(t[0].parts) }}{% endif %}{% endmacro %}",
    ],
)
def test_a_macro_writes_anew_what_depends_on_more_than_the_tools(macro: str) -> None:
    source = macro + "{{ f(tools) }}{{ f(tools) }}"
    compiled, sandboxed = CompiledRenderer(source, datetime.now), SandboxedRenderer(source, datetime.now)
    tools = [{"type": "function", "function": {"name": "f"}, "parts": [{"x": 1}]}]
    for variables in ({"word": "a"}, {"word": "b"}, {"word": "b", "late": 7}, {"word": "b", "t": 1}):
        given = {"tools": tools, **variables}
        assert compiled.render(given) == sandboxed.render(given)


def test_what_a_macro_writes_of_the_tools_of_other_rows_is_remembered() -> None:
    source = (
        "{% macro f(start, t) %}{{ start }}{% for x in t %}{{ x }}{% endfor %}{% endmacro %}"
        "{{ f('a' ~ 'b', tools) }}{{ f('c', tools) }}"
    )
    renderer, counted = CompiledRenderer(source, datetime.now), []

    class Told:
        def __str__(self) -> str:
            counted.append(1)
            return "x"

    variables = {"tools": [Told()]}
    assert [renderer.render(variables) for _ in range(3)] == ["abxcx"] * 3
    assert len(counted) == 2
    assert renderer.render({"tools": [Told(), 1]}) == "abx1cx1"


def test_a_clock_that_moves_is_read_anew() -> None:
    moments = iter([datetime(2025, 1, 1), datetime(2025, 1, 2)])
    renderer = CompiledRenderer("{{ strftime_now('%d') }}", lambda: next(moments))
    assert [renderer.render({}), renderer.render({})] == ["01", "02"]


def test_a_clock_that_stands_still_tells_each_format() -> None:
    now = datetime(2025, 1, 2)
    renderer = CompiledRenderer("{{ strftime_now('%d') }}{{ strftime_now('%m') }}", lambda: now)
    assert [renderer.render({}), renderer.render({})] == ["0201", "0201"]


@pytest.mark.parametrize("family", ["qwen3", "gpt_oss", "llama3", "deepseek_r1"])
def test_shipped_families_are_compiled_and_render_the_same(family: str) -> None:
    program = Template.load(family).program
    compiled, sandboxed = (make(with_markers(program), datetime.now) for make in (CompiledRenderer, SandboxedRenderer))
    seen = 0

    @given(record=conversations())
    def compare(record: dict[str, Any]) -> None:
        nonlocal seen
        try:
            row = prepare_row(record)
            variables = {"messages": row.messages, "tools": row.tools, "documents": row.documents, **row.kwargs}
            text = sandboxed.render({**variables, "bos_token": "<s>", "add_generation_prompt": False})
        except (ChatTmplError, RenderRefused, TypeError):
            return
        seen += 1
        assert compiled.render({**variables, "bos_token": "<s>", "add_generation_prompt": False}) == text

    compare()
    assert seen > 10


def test_a_template_that_exceeds_its_budget_has_no_fast_path_after_one_try() -> None:
    loops = "{% for a in range(9999) %}{% for b in range(9999) %}{% set x = a * b %}{% endfor %}{% endfor %}"
    template = Template.from_source(loops + "{% for m in messages %}{% generation %}x{% endgeneration %}{% endfor %}")
    with pytest.raises(ChatTmplError, match=": the template ran for more than"):
        Encoder(template, "demo", fast="require").prepare()
