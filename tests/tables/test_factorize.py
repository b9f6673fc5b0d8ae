"""Equal values have equal codes, in order of appearance, however a column is cut."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmdask.tables.factorize import codes_of, count_distinct, first_rows, map_distinct, starts_of

_REAL = st.none() | st.sampled_from([0.0, -0.0, 1.5, 1.5 + 2**-52])
_WORD = st.none() | st.sampled_from(["", "a", "b", "ab"])
_KINDS = [
    (_WORD, pa.string()),
    (st.none() | st.integers(0, 3), pa.int64()),
    (_REAL, pa.float64()),
    (st.none() | st.lists(_REAL, max_size=3), pa.list_(pa.float64())),
    (st.none() | st.lists(_WORD, max_size=3), pa.list_(pa.string())),
    (st.none() | st.dates(), pa.date32()),
]


def column(values: list[Any], kind: pa.DataType, cuts: list[int]) -> pa.ChunkedArray:
    """Give a column in pieces."""
    edges = [0, *sorted(cuts), len(values)]
    whole = pa.array(values, kind)
    pieces = [whole.slice(one, other - one) for one, other in itertools.pairwise(edges)]
    return pa.chunked_array(pieces, kind)


@st.composite
def _drawn_columns(draw: st.DrawFn) -> tuple[list[tuple[Any, ...]], list[pa.ChunkedArray]]:
    """Give rows, and the same as columns, each cut in its own way."""
    kinds = draw(st.lists(st.sampled_from(_KINDS), min_size=1, max_size=3))
    rows = draw(st.lists(st.tuples(*(values for values, _ in kinds)), max_size=12))
    cuts = st.lists(st.integers(0, len(rows)), max_size=3)
    columns = [
        column([row[number] for row in rows], kind, draw(cuts))
        for number, (_, kind) in enumerate(kinds)
    ]
    return rows, columns


@given(_drawn_columns())
def test_codes_are_the_order_of_appearance(
    drawn: tuple[list[tuple[Any, ...]], list[pa.ChunkedArray]],
) -> None:
    """Null is a value, zero has one sign, lists are equal if they have equal items."""
    rows, columns = drawn
    known: list[tuple[Any, ...]] = []
    expected = []
    for row in rows:
        if row not in known:
            known.append(row)
        expected.append(known.index(row))
    assert expected == codes_of(*columns).tolist()


@given(_drawn_columns())
def test_a_function_is_asked_once_for_each_combination(
    drawn: tuple[list[tuple[Any, ...]], list[pa.ChunkedArray]],
) -> None:
    """Every row has what the function makes of it, and no combination is asked for twice."""
    rows, columns = drawn
    asked = []

    def ask(*values: Any) -> str:
        asked.append(values)
        return repr(values)

    found = map_distinct(ask, pa.string(), *columns).to_pylist()
    assert len(asked) == len({repr(row) for row in rows})
    assert found == [ask(*row) for row in rows]


@given(st.lists(st.integers(0, 4)))
def test_first_rows_and_runs(values: list[int]) -> None:
    """Where each value first stands, and where it is another than in the row before."""
    codes = codes_of(np.array(values, np.int64))
    assert list(dict.fromkeys(values)) == [values[row] for row in first_rows(codes)]
    runs = [n for n, value in enumerate(values) if not n or value != values[n - 1]]
    assert runs == starts_of(codes).tolist()


@pytest.mark.parametrize("cuts", [[], [1], [2, 4]])
def test_distinct_values_of_groups(cuts: list[int]) -> None:
    """Each value counts once in its group, null in none; a group may have none."""
    values = column(["a", "a", "b", None, None, "a"], pa.string(), cuts)
    group = np.array([0, 0, 0, 0, 1, 3])
    assert [2, 0, 0, 1] == count_distinct(values, group, 4).tolist()
