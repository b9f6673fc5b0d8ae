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
    rows = zip(*(table[name].to_pylist() for name in columns), strict=True)
    return _lines([_cell(value, excel=excel) for value in row] for row in rows).encode(
        "utf-8", "replace"
    )


def render_csv(table: pa.Table, columns: Sequence[str], *, excel: bool) -> bytes:
    """Give a whole CSV file."""
    return render_header(columns, excel=excel) + render_rows(table, columns, excel=excel)


def _cell(value: Any, *, excel: bool) -> str:
    text = as_cell(value)
    if excel and isinstance(value, (str, list)) and text.startswith(_RUN_AS_FORMULA):
        return f"'{text}"
    return text


def _lines(rows: Any) -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\r\n").writerows(rows)
    return stream.getvalue()
