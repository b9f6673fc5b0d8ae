"""Take a table; give CSV (RFC 4180, UTF-8), as it is or made for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from dcmdask.outputs.text import as_cell

_BOM = "\ufeff"
_RUN_AS_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def render_header(columns: Sequence[str], *, excel: bool) -> bytes:
    """Give the first line of a CSV file."""
    return ((_BOM if excel else "") + _lines([columns])).encode()


def render_rows(table: pa.Table, columns: Sequence[str], *, excel: bool) -> bytes:
    """Give the lines of some rows.

    Parameters
    ----------
    table : pyarrow.Table
        Rows in the order they are to have.
    columns : sequence of str
        Which columns, in which order.
    excel : bool
        Put an apostrophe before text that a spreadsheet would run as a formula.
    """
    cells = (_cells(table[name], excel=excel) for name in columns)
    return _lines(zip(*cells, strict=True)).encode()


def render_csv(table: pa.Table, columns: Sequence[str], *, excel: bool) -> bytes:
    """Give a whole CSV file."""
    return render_header(columns, excel=excel) + render_rows(table, columns, excel=excel)


def _cells(column: pa.ChunkedArray, *, excel: bool) -> list[Any]:
    """Give a column as the writer takes it."""
    values: list[Any] = column.to_pylist()
    if pa.types.is_integer(column.type) or (pa.types.is_string(column.type) and not excel):
        # The writer has a number as its digits and None as an empty cell: 4 times as fast.
        return values
    if not pa.types.is_nested(column.type):
        # Dates, and text for a spreadsheet: a column holds few different ones.
        known = {value: _cell(value, excel=excel) for value in set(values)}
        return [known[value] for value in values]
    return [_cell(value, excel=excel) for value in values]


def _cell(value: Any, *, excel: bool) -> str:
    text = as_cell(value)
    if excel and isinstance(value, (str, list)) and text.startswith(_RUN_AS_FORMULA):
        return f"'{text}"
    return text


def _lines(rows: Any) -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\r\n").writerows(rows)
    return stream.getvalue()
