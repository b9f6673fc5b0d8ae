"""Take columns; number their distinct values, so that rows are compared and grouped as integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.tables.arrow import AnyTable, Array, Column, buffer_of

Codes = npt.NDArray[np.int64]


def codes_of(*columns: Any, exact: bool = False) -> Codes:
    """Return numbers to the values of a column, or combinations of several, as they first appear.

    Parameters
    ----------
    *columns : pyarrow.ChunkedArray or numpy.ndarray of int64
        Of one length. Null is a value, lists are equal if their items are.
    exact : bool
        Whether numbers are told apart that are equal and not written alike: the two zeros.

    Examples
    --------
    >>> codes_of(pa.chunked_array([["b", "a", None, "b"]])).tolist()
    [0, 1, 2, 0]
    >>> codes_of(np.array([1, 1, 2]), pa.chunked_array([[[0.0], [-0.0], [0.0]]])).tolist()
    [0, 0, 1]
    """
    codes, *others = (_codes(column, exact=exact) for column in columns)
    for other in others:
        # No overflow: either is smaller than the number of rows, far below 2 ** 31.
        codes = _codes(codes * (other.max(initial=0) + 1) + other)
    return codes


def _codes(column: Any, *, exact: bool = False) -> Codes:
    """Return the codes of one column; where it holds few values, 3 times as fast as by sorting."""
    if not isinstance(column, pa.ChunkedArray):
        column = pa.chunked_array([pa.array(column)])
    encoded = _comparable(column, exact=exact).dictionary_encode(null_encoding="encode")
    chunks: list[Any] = encoded.chunks
    indices = [chunk.indices.to_numpy() for chunk in chunks]
    return np.concatenate([np.empty(0, np.int64), *indices])


def _comparable(column: Column, *, exact: bool) -> Column:
    """Return values whose bytes are equal where they are."""
    if column.type == pa.float64() and exact:
        return pa.chunked_array([chunk.view(pa.int64()) for chunk in column.chunks], pa.int64())
    if pa.types.is_floating(column.type):
        added: Column = pc.add(column, 0)
        return added
    if not pa.types.is_list(column.type):
        return column
    # A list is the codes of its items, as bytes.
    items = codes_of(pc.list_flatten(column), exact=exact)
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    ends = np.append(0, np.cumsum(lengths, dtype=np.int64)) * items.itemsize
    content = [None, buffer_of(ends), buffer_of(items)]
    lists = pa.Array.from_buffers(pa.large_binary(), len(column), content)
    return pa.chunked_array([pc.if_else(pc.is_null(column).combine_chunks(), None, lists)])


def first_rows(codes: Codes) -> Codes:
    """Return the row at which each code first appears, in order of codes.

    Examples
    --------
    >>> first_rows(np.array([0, 0, 1, 0, 2])).tolist()
    [0, 2, 4]
    """
    return np.flatnonzero(np.diff(np.maximum.accumulate(codes), prepend=-1))


def starts_of(*codes: Codes) -> Codes:
    """Return the rows at which a run of equal codes, or combinations of several, begins.

    Examples
    --------
    >>> starts_of(np.array([0, 0, 1, 0]), np.array([0, 5, 5, 5])).tolist()
    [0, 1, 2, 3]
    """
    changes = np.logical_or.reduce([np.diff(own, prepend=-1) != 0 for own in codes])
    return np.flatnonzero(changes)


def count_distinct(column: Column, group: Codes, groups: int) -> Codes:
    """Count the distinct values of every group; null is none.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        Values.
    group : numpy.ndarray of int64
        The group of each row, from 0.
    groups : int
        How many there are.
    """
    first = first_rows(codes_of(group, column))
    there = pc.is_valid(column).to_numpy(zero_copy_only=False)
    return np.bincount(group[first[there[first]]], minlength=groups)


def map_distinct(function: Callable[..., Any], kind: pa.DataType, *columns: Any) -> Array:
    """Return what a function makes of every row, asking it once for each distinct combination.

    Examples
    --------
    >>> map_distinct(len, pa.int64(), pa.chunked_array([["a", "bc", "a"]])).to_pylist()
    [1, 2, 1]
    """
    codes = codes_of(*columns, exact=True)
    first = pa.array(first_rows(codes))
    rows = zip(*(column.take(first).to_pylist() for column in columns), strict=True)
    return pa.array([function(*row) for row in rows], kind).take(pa.array(codes))


def rows_with(table: AnyTable, name: str) -> AnyTable:
    """Return the rows that have a value in a column; where all have, nothing is copied."""
    column = table[name]
    return table.filter(pc.is_valid(column)) if column.null_count else table
