"""Strings that remember where their characters came from, against plain strings and characters that say whose they are.

Each of three owners (two fields and the template itself) has letters, whitespace and line separators of its own, closed
under changes of case, so that the owner of every character of a result can be read off the character.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattmpl.provenance.origin import Origin, Statement
from chattmpl.provenance.text import UNKNOWN, Traced, as_traced, concat, derive, percent, runs_of, with_origin

FIRST, SECOND = Origin(0, "content"), Origin(1, "content")
LETTERS = {
    FIRST: "aAßsSſẞİiI\u0307 \n\x0c\x1c🎈",
    SECOND: "bBŉnNʼ\t\r\x85\x1d\u2029%",
    None: "ΣσςﬀfF\x0b\u2028\x1e-+0\0\1xX{}",
}
OWNER = {char: owner for owner, chars in LETTERS.items() for char in chars}


def pieces() -> st.SearchStrategy[str]:
    return st.one_of(
        st.text(LETTERS[FIRST], max_size=6).map(lambda text: with_origin(text, FIRST)),
        st.text(LETTERS[SECOND], max_size=6).map(lambda text: with_origin(text, SECOND)),
        st.text(LETTERS[None], max_size=6),
    )


def strings() -> st.SearchStrategy[str]:
    return st.lists(pieces(), min_size=1, max_size=5).map(lambda parts: as_traced(concat(parts)))


def plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(map(plain, value))
    return str.__getitem__(value, slice(None)) if isinstance(value, str) else value


Operation = Callable[[Any, Any, int], Any]

EXACT: dict[str, Operation] = {
    "a + b": lambda s, a, n: s + a,
    "plain + a": lambda s, a, n: plain("xF-") + s,
    "a * n": lambda s, a, n: s * (n % 4),
    "n * a": lambda s, a, n: (n % 4) * s,
    "a[n]": lambda s, a, n: s[n],
    "a[n:]": lambda s, a, n: s[n:],
    "a[:n]": lambda s, a, n: s[:n],
    "a[m:n]": lambda s, a, n: s[len(a) - 4 : n],
    "a[::2]": lambda s, a, n: s[n::2],
    "a[::-1]": lambda s, a, n: s[::-1],
    "a[::-3]": lambda s, a, n: s[:n:-3],
    "strip": lambda s, a, n: s.strip(),
    "strip chars": lambda s, a, n: s.strip(a),
    "lstrip": lambda s, a, n: s.lstrip(),
    "lstrip chars": lambda s, a, n: s.lstrip(a),
    "rstrip": lambda s, a, n: s.rstrip(),
    "rstrip chars": lambda s, a, n: s.rstrip(a),
    "removeprefix": lambda s, a, n: s.removeprefix(s[: n % 3]),
    "removesuffix": lambda s, a, n: s.removesuffix(s[len(s) - n % 3 :]),
    "partition": lambda s, a, n: s.partition(a[:1]),
    "rpartition": lambda s, a, n: s.rpartition(a[:1]),
    "split": lambda s, a, n: s.split(),
    "split at most": lambda s, a, n: s.split(None, n),
    "split at": lambda s, a, n: s.split(a[:1], maxsplit=n),
    "rsplit": lambda s, a, n: s.rsplit(),
    "rsplit at most": lambda s, a, n: s.rsplit(None, n),
    "rsplit at": lambda s, a, n: s.rsplit(a[:1], n),
    "splitlines": lambda s, a, n: s.splitlines(),
    "splitlines keepends": lambda s, a, n: s.splitlines(keepends=True),
    "replace": lambda s, a, n: s.replace(s[:1] or a, a),
    "replace at most": lambda s, a, n: s.replace(a[:1] or "x", a[1:], n),
    "join": lambda s, a, n: s.join([a, s, "", a]),
    "join chars": lambda s, a, n: a.join(s),
    "ljust": lambda s, a, n: s.ljust(len(s) + n, "x"),
    "rjust": lambda s, a, n: s.rjust(len(s) + n, "x"),
    "center": lambda s, a, n: s.center(len(s) + n, "x"),
    "zfill": lambda s, a, n: s.zfill(len(s) + n),
    "upper": lambda s, a, n: s.upper(),
    "casefold": lambda s, a, n: s.casefold(),
    "translate": lambda s, a, n: s.translate({ord("a"): "AAA", ord("b"): None, ord("f"): "", ord("n"): ord("N")}),
    "iterate": lambda s, a, n: list(s),
    "reverse": lambda s, a, n: list(reversed(s)),
}
"""Operations through which every character can be followed."""

DERIVING: dict[str, Operation] = {
    "lower": lambda s, a, n: s.lower(),
    "swapcase": lambda s, a, n: s.swapcase(),
    "capitalize": lambda s, a, n: s.capitalize(),
    "title": lambda s, a, n: s.title(),
    "expandtabs": lambda s, a, n: s.expandtabs(max(n, 0)),
    "replace nothing": lambda s, a, n: s.replace("", a, n),
    "%": lambda s, a, n: (s.replace("%", "").replace("{", "").replace("}", "") + "%s") % (a,),
    "% of plain": lambda s, a, n: percent("x%s-%s", (s, a)),
    "format": lambda s, a, n: (s.replace("{", "").replace("}", "") + "{}").format(a),
    "format_map": lambda s, a, n: as_traced("x{x:x>9}").format_map({"x": s}),
    "format spec": lambda s, a, n: format(s, f"x>{abs(n) + 1}"),
}
"""Operations whose result may be derived: some of its characters depend on others, or come from nowhere."""


def strings_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from strings_in(item)


def derived(value: Any) -> bool:
    return any(run[1] is not None and run[1].derived for text in strings_in(value) for run in runs_of(text))


def check_owners(text: str) -> None:
    runs = runs_of(text)
    assert sum(run[0] for run in runs) == len(text)
    position = 0
    for length, origin, _ in runs:
        for char in plain(text)[position : position + length]:
            owner = OWNER[char]
            if origin is not None and origin.derived:
                assert owner is None or owner in origin.sources or char in " %"
            else:
                assert origin is owner, (char, text)
        position += length


def outcome(operation: Operation, *args: Any) -> Any:
    try:
        return operation(*args)
    except (ValueError, LookupError, TypeError) as error:
        return type(error)


@given(strings(), strings(), st.lists(st.tuples(st.sampled_from(sorted(EXACT)), st.integers(-4, 9)), max_size=4))
def test_operations_that_move_characters_keep_the_origin_of_each(
    text: str, other: str, steps: list[tuple[str, int]]
) -> None:
    for name, number in steps:
        result = outcome(EXACT[name], text, other, number)
        assert plain(result) == outcome(EXACT[name], plain(text), plain(other), number), name
        assert not derived(result), name
        for part in strings_in(result):
            check_owners(part)
        parts = [part for part in strings_in(result) if part]
        text = as_traced(parts[number % len(parts)]) if parts else text


@given(strings(), strings(), st.sampled_from(sorted(DERIVING)), st.integers(-4, 9))
def test_operations_that_compute_characters_say_derived_and_name_their_sources(
    text: str, other: str, name: str, number: int
) -> None:
    result = outcome(DERIVING[name], text, other, number)
    assert plain(result) == outcome(DERIVING[name], plain(text), plain(other), number)
    if isinstance(result, str):
        check_owners(result)


@given(strings(), strings())
def test_a_slice_of_a_derived_string_stays_derived(text: str, other: str) -> None:
    made = percent("x%s", text + other)
    owners = {OWNER[char] for char in plain(text + other)} - {None}
    for part in (made[1:], made.upper(), made * 2, *made.split()):
        origins = {run[1] for run in runs_of(part)}
        assert not part or not owners or all(o is not None and owners <= {*o.sources} for o in origins)


@given(strings(), st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=3))
def test_statements_travel_with_the_characters_that_they_wrote(text: str, cuts: list[tuple[int, int]]) -> None:
    statements = [Statement(offset, 1, False) for offset in range(len(text))]
    runs = tuple(
        (1, run[1], statement)
        for statement, run in zip(statements, (r for r in runs_of(text) for _ in range(r[0])), strict=True)
    )
    written = as_traced(with_origin(plain(text), runs))
    expected = list(zip(plain(text), statements, strict=True))
    for start, end in cuts:
        written, expected = as_traced(written[start:end] + written[:start]), expected[start:end] + expected[:start]
    found = [run[2] for run in runs_of(written) for _ in range(run[0])]
    assert found == [statement for _, statement in expected]


@pytest.mark.parametrize("name", sorted(set(dir(str)) - set(dir(object)) - set(vars(Traced))))
def test_a_method_that_is_strs_own_returns_no_text(name: str) -> None:
    """Methods that are not overridden must not let text lose its origin."""
    method = getattr(with_origin("a b", FIRST), name)
    arguments: tuple[tuple[Any, ...], ...] = ((), ("a",), (1,))
    results = [outcome(lambda *args: method(*args), *args) for args in arguments]
    assert not [result for result in results if isinstance(result, str)]


def test_a_number_in_a_format_is_never_taken_for_the_templates_own_text() -> None:
    assert runs_of(percent("%d", 5)) == ((1, UNKNOWN, None),)
    assert runs_of(percent("%s", "own")) == ((3, None, None),)


def test_a_derived_origin_names_one_field_or_all_of_them() -> None:
    one = runs_of(derive("x", (with_origin("a", FIRST), with_origin("b", FIRST))))[0][1]
    both = runs_of(derive("x", (with_origin("a", FIRST), [with_origin("b", SECOND)])))[0][1]
    assert one is not None
    assert (one.message, one.field, one.sources) == (0, "content", (FIRST,))
    assert both is not None
    assert (both.message, both.field) == (None, "messages[0].content+messages[1].content")


def test_a_traced_string_is_a_string_for_everybody_else() -> None:
    text = with_origin("abc", FIRST)
    assert text == "abc"
    assert hash(text) == hash("abc")
    assert {"abc": 1}[text] == 1
    assert type(pickle.loads(pickle.dumps(text))) is str
    assert f"{text}!" == "abc!"
    assert sorted([text, "abd", "abb"]) == ["abb", "abc", "abd"]


def test_an_empty_string_has_no_origin() -> None:
    text = with_origin("a", FIRST)
    assert type(text[1:]) is str
    assert type(text.replace("a", "")) is str
    assert type(text * 0) is str


def test_a_split_of_many_pieces_takes_linear_time() -> None:
    many = concat([with_origin("a", FIRST) if index % 2 else "b " for index in range(20_000)])
    assert len(runs_of(many)) == 20_000
    assert [len(runs_of(part)) for part in many.split()][1:-1] == [2] * 9_999
    assert len(list(many)) == len(many)
