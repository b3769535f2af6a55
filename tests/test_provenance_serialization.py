"""JSON, Python notation and HTML with origins, compared with `json.dumps`, `str` and Jinja."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattmpl import Rendering, Template
from chattmpl.errors import RenderError
from chattmpl.provenance.containers import InputTracer
from chattmpl.provenance.origin import Origin
from chattmpl.provenance.serialization import to_json, to_text
from chattmpl.provenance.text import UNKNOWN, concat, runs_of, with_origin
from support.reference import transformers_render

TEXT = st.text("ab'\"\\\n\té日\u2028🎈\x7f<&>", max_size=8)
SCALARS = st.one_of(TEXT, st.integers(-(10**20), 10**20), st.floats(), st.booleans(), st.none())
DATA: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=12,
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "ensure_ascii": st.booleans(),
        "indent": st.sampled_from([None, 0, 1, 4, -1, "", "\t", True]),
        "separators": st.sampled_from([None, (",", ":"), ("; ", " = ")]),
        "sort_keys": st.booleans(),
    },
)


def wrapped(value: Any) -> Any:
    return InputTracer().wrap(value, 0, "field")


def runs(text: str) -> Iterator[tuple[str, Origin | None]]:
    position = 0
    for length, origin, _ in runs_of(text):
        yield str.__getitem__(text, slice(position, position + length)), origin
        position += length


def by_field(text: str) -> list[tuple[str, str | None]]:
    return [(part, origin.field if origin else None) for part, origin in runs(text)]


@given(DATA, OPTIONS)
def test_json_is_that_of_json_dumps(value: Any, options: dict[str, Any]) -> None:
    given_options = {"ensure_ascii": False, **options}
    expected = json.dumps(value, **given_options)
    assert to_json(value, **given_options) == expected
    assert to_json(wrapped(value), **given_options) == expected


@given(DATA)
def test_text_is_that_of_str(value: Any) -> None:
    assert to_text(value) == str(value)
    assert to_text(wrapped(value)) == str(value)
    assert to_text([(value,), (value, value), ()]) == str([(value,), (value, value), ()])


@given(DATA, OPTIONS)
def test_no_character_of_a_field_is_taken_for_the_templates_own(value: Any, options: dict[str, Any]) -> None:
    whole = wrapped([value])
    for text in (to_json(whole, **options), to_text(whole)):
        assert all(origin is not None and origin.message == 0 for _, origin in runs(text))


@given(st.dictionaries(st.text("xyz", min_size=1), st.text("ab'\"\n🎈", min_size=1), min_size=1, max_size=4))
def test_a_value_keeps_its_own_origin_inside_json_and_text(value: dict[str, str]) -> None:
    for text, written in (
        (to_json(wrapped(value)), lambda v: json.dumps(v, ensure_ascii=False)),
        (to_text(wrapped(value)), repr),
    ):
        found = {field: part for part, field in by_field(text) if field != "field"}
        assert found == {f"field.{key}": written(item)[1:-1] for key, item in value.items()}


def test_brackets_quotes_and_keys_have_the_origin_of_their_object() -> None:
    assert by_field(to_json(wrapped({"k": ["v", 1]}))) == [
        ('{"k": ', "field"),
        ('["', "field.k"),
        ("v", "field.k[0]"),
        ('", ', "field.k"),
        ("1", "field.k[1]"),
        ("]", "field.k"),
        ("}", "field"),
    ]


def test_the_templates_own_brackets_around_a_field_are_its_own() -> None:
    assert by_field(to_json({"own": wrapped("v")})) == [('{"own": "', None), ("v", "field"), ('"}', None)]
    assert by_field(to_text(["own", wrapped("v")])) == [("['own', '", None), ("v", "field"), ("']", None)]


def test_a_string_in_pieces_is_escaped_piece_by_piece() -> None:
    mixed = concat([wrapped('a"'), "\n", with_origin("'b", Origin(1, "other"))])
    assert by_field(to_json(mixed)) == [('"', None), ('a\\"', "field"), ("\\n", None), ("'b", "other"), ('"', None)]
    assert to_text([mixed]) == str(["a\"\n'b"])
    assert by_field(to_text([mixed]))[1:4] == [('a"', "field"), ("\\n", None), ("\\'b", "other")]


@given(st.lists(st.tuples(st.text("'\"\\a\n", max_size=3), st.booleans()), max_size=5))
def test_the_notation_of_a_string_in_pieces_is_that_of_the_whole(parts: list[tuple[str, bool]]) -> None:
    text = concat([with_origin(part, Origin(0, "x")) if ours else part for part, ours in parts])
    assert to_text([text]) == str(["".join(part for part, _ in parts)])
    assert to_json([text]) == json.dumps(["".join(part for part, _ in parts)])


@pytest.mark.parametrize("value", [5, 2.5, True, None, (1,), range(3), {}.keys(), {"a": 1}.items(), [].__class__])
def test_what_is_computed_is_never_taken_for_the_templates_own(value: Any) -> None:
    own = {UNKNOWN, None} if isinstance(value, tuple) else {UNKNOWN}
    assert {origin for _, origin in runs(to_text(value))} <= own
    assert UNKNOWN in {origin for _, origin in runs(to_text([value]))}
    assert to_text([value]) == str([value])


def test_a_view_of_a_field_names_it() -> None:
    origins = [origin for _, origin in runs(to_text(wrapped({"a": "v"}).values()))]
    assert [(origin.derived, origin.field) for origin in origins if origin] == [(True, "field.a")]


@pytest.mark.parametrize("value", [{1, 2}, b"x", {"a": {1}}, {(1, 2): 3}, object()])
def test_what_json_cannot_express_is_a_type_error_as_with_json_dumps(value: Any) -> None:
    with pytest.raises(TypeError, match=r"is not JSON serializable|keys must be"):
        to_json(value)


def test_keys_that_are_no_strings_are_written_as_json_dumps_writes_them() -> None:
    value = {1: "a", 2.5: "b", None: "c", False: "d"}
    assert to_json(value) == json.dumps(value)


def test_a_list_that_contains_itself_is_an_error() -> None:
    loop: list[Any] = []
    loop.append(loop)
    for write in (to_json, to_text):
        with pytest.raises(RenderError, match="contains itself"):
            write(loop)


MESSAGES = [{"role": "user", "content": "<a>&日"}]
EXPRESSIONS = (
    "m.content + ('<' | safe)",
    "('<' | safe) + m.content",
    "('<' | safe) ~ m.content",
    "m.content ~ ('<' | safe)",
    "(m.content | e) + '<'",
    "'<' + (m.content | escape)",
    "(m.content | e) + (m.content | safe)",
    "(m.content | e) | e",
    "(m.content | e) | forceescape",
    "'%s' % (m.content | e)",
    "('%s<' | safe) % m.content",
    "('%s%s' | safe) % (m.content, 1)",
    "('%s' | safe) % m.content + '<'",
    "(m.content | e) | trim",
    "(m.content | e) | replace('a', '<')",
    "(m.content | e) | tojson",
    "[m.content | e, '<'] | join",
    "('<' | e).join([m.content, m.content])",
    "(m.content | e).upper()",
    "(m.content | safe)[1:]",
    "(m.content | safe) * 2",
    "m | string | e",
)


def render(expression: str) -> Rendering:
    return Template.from_source(f"{{% for m in messages %}}{{{{ {expression} }}}}{{% endfor %}}").render(MESSAGES)


@pytest.mark.upstream
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_markup_is_what_it_is_in_transformers(expression: str) -> None:
    rendering = render(expression)
    assert rendering.text == transformers_render(rendering.template.source, MESSAGES)[0]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_no_character_of_a_field_passes_for_the_templates_own_text(expression: str) -> None:
    rendering = render(expression)
    for span in rendering.spans:
        assert "日" not in rendering.text[span.start : span.end] or not span.literal


@pytest.mark.parametrize("expression", EXPRESSIONS[:9])
def test_what_is_added_to_markup_keeps_its_origin(expression: str) -> None:
    rendering = render(expression)
    of_content = "".join(rendering.text[s.start : s.end] for s in rendering.spans if s.field == "content")
    template_text = "".join(rendering.text[s.start : s.end] for s in rendering.spans if s.literal)
    assert of_content.startswith(("<a>&日", "&lt;a&gt;&amp;日", "&amp;lt;"))
    assert template_text in ("", "<", "&lt;")
    assert len(of_content) + len(template_text) == len(rendering.text)
    assert rendering.lost == ()
