"""Take a table; give JSON records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from dcmdask.outputs.text import as_json

# A record a line: half the bytes and half the time of an indented one, and `grep` finds it.
_encode = json.JSONEncoder(ensure_ascii=False).encode


def render_records(table: pa.Table, columns: Sequence[str]) -> bytes:
    """Give rows as a list of objects, UTF-8; an absent value is null."""
    if not table.num_rows:
        return b"[]\n"
    rows = zip(*(_values(table[name]) for name in columns), strict=True)
    records = ",\n".join(_encode(dict(zip(columns, row, strict=True))) for row in rows)
    return f"[\n{records}\n]\n".encode()


def _values(column: pa.ChunkedArray) -> list[Any]:
    values: list[Any] = column.to_pylist()
    if pa.types.is_integer(column.type) or pa.types.is_string(column.type):
        return values
    return [as_json(value) for value in values]
