"""Packing by best fit decreasing."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.extras import need

need("numpy")

from chattmpl.data.lengths import best_fit, rows_needed  # noqa: E402

SIZES = st.integers(1, 60).flatmap(lambda size: st.tuples(st.lists(st.integers(1, size), max_size=80), st.just(size)))


def naive(lengths: list[int], size: int) -> int:
    """Return the number of rows of best fit decreasing, by trying every row."""
    spaces: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [index for index, space in enumerate(spaces) if space >= length]
        if fitting:
            spaces[min(fitting, key=lambda index: spaces[index])] -= length
        else:
            spaces.append(size - length)
    return len(spaces)


@given(SIZES)
def test_every_document_is_in_one_row_and_no_row_is_too_long(case: tuple[list[int], int]) -> None:
    lengths, size = case
    rows = best_fit(lengths, size)
    assert sorted(chain.from_iterable(rows)) == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in row) <= size for row in rows)


@given(SIZES)
def test_no_more_rows_are_needed_than_by_looking_at_every_row(case: tuple[list[int], int]) -> None:
    lengths, size = case
    assert len(best_fit(lengths, size)) == naive(lengths, size)


@given(SIZES)
def test_rows_and_documents_stand_in_the_order_of_the_input(case: tuple[list[int], int]) -> None:
    rows = best_fit(*case)
    assert rows == sorted(rows)
    assert all(row == sorted(row) for row in rows)


def test_the_least_space_that_takes_a_document_is_taken() -> None:
    assert best_fit([6, 5, 4, 3, 2], 10) == [[0, 2], [1, 3, 4]]


@pytest.mark.parametrize("lengths", [[11], [0], [3, -1]])
def test_a_document_that_does_not_go_into_a_row_is_refused(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="does not fit into rows of 10"):
        best_fit(lengths, 10)


def test_windows_are_packed_each_by_itself() -> None:
    assert rows_needed([6, 6, 4, 4, 4], 10, 2) == 4
    assert rows_needed([6, 6, 4, 4], 10, 2) == 3
    assert rows_needed([6, 6, 4, 4], 10, 4) == 2
