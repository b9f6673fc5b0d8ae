"""What Arrow's arrays and columns are called in signatures, and what its stubs say too little of.

pyarrow brings no types; `pyarrow-stubs` tells mypy of them. There, an array is generic in what it
holds, and here in nothing: a column's type is in its table's schema, which no checker reads. At run
time nothing of pyarrow can be subscripted, so the first names are for annotations only. The functions
are those of pyarrow for which the stubs are too narrow.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, TypeVar

import numpy.typing as npt
import pyarrow as pa

Array: TypeAlias = "pa.Array[Any]"
"""Values of one type, in one piece."""

Column: TypeAlias = "pa.ChunkedArray[Any]"
"""Of a table: values of one type, in any number of pieces."""

Order: TypeAlias = list[tuple[str, Literal["ascending", "descending"]]]
"""What a table is sorted by."""


AnyTable = TypeVar("AnyTable", bound="pa.Table")
"""A table of whichever name, which is kept (`dcmdask.table_types`)."""


def values_of(column: Array | Column) -> list[Any]:
    """Return what stands in a column as Python objects.

    To the stubs any of them may be None, whatever the column: which ones are is not theirs to know.
    """
    return column.to_pylist()


def nulls(count: int, kind: pa.DataType) -> Array:
    """Return so many nulls; the stubs know no type whose class is not known."""
    any_kind: Any = kind
    none: Array = pa.nulls(count, any_kind)
    return none


def buffer_of(numbers: npt.NDArray[Any]) -> pa.Buffer:
    """Return the memory of an array of NumPy's; to the stubs it is none before Python 3.12."""
    memory: Any = numbers
    return pa.py_buffer(memory)
