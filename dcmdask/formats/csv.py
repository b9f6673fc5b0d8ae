"""Take a table; give CSV (RFC 4180, UTF-8), as it is or made for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.formats.spreadsheet import is_taken_for_more
from dcmdask.formats.text import LARGE, Lines, as_cell, holds_any, joined, texts_of
from dcmdask.tables.arrow import Array, Column

_BOM = "\ufeff"
_AS_TEXT = "'"
_SPECIAL = '",\r\n'


def render_header(columns: Sequence[str], *, excel: bool) -> bytes:
    """Return the first line of a CSV file."""
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\r\n").writerow(columns)
    return ((_BOM if excel else "") + stream.getvalue()).encode()


def render_lines(
    table: pa.Table, columns: Sequence[str], *, excel: bool, end: str = "\r\n"
) -> Lines:
    """Return the lines of some rows.

    Column by column and not with `csv.writer`, which takes 10 times as long and more: every cell
    becomes a Python object.

    Parameters
    ----------
    table : pyarrow.Table
        Rows in the order they are to have.
    columns : sequence of str
        Which columns, in which order.
    excel : bool
        Put an apostrophe before text that a spreadsheet would take for something else: see
        `dcmdask.formats.spreadsheet`.
    end : str
        What ends a line.
    """
    *cells, last = (_cells(table[name], excel=excel) for name in columns)
    if not cells:
        # Readers skip an empty line.
        last = pc.if_else(pc.equal(last, ""), pa.scalar('""', LARGE), last)
    comma = pa.scalar(",", LARGE)
    return Lines.of(pc.binary_join_element_wise(*cells, joined(last, end), comma))


def _cells(column: Column, *, excel: bool) -> Array:
    """Return a column as it stands in the file."""
    texts: Array = pc.fill_null(texts_of(column, as_cell), "")
    if excel and (pa.types.is_string(column.type) or pa.types.is_list(column.type)):
        texts = pc.if_else(is_taken_for_more(texts), joined(_AS_TEXT, texts), texts)
    if not holds_any(texts, _SPECIAL.encode()):
        return texts
    quoted = joined('"', pc.replace_substring(texts, '"', '""'), '"')
    special = pc.match_substring_regex(texts, f"[{_SPECIAL}]")
    escaped: Array = pc.if_else(special, quoted, texts)
    return escaped
