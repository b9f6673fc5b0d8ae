"""Take a table; give JSON records."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa

from dcmdask.outputs.text import as_json


def render_records(table: pa.Table, columns: Sequence[str]) -> bytes:
    """Give rows as a list of objects, UTF-8; an absent value is null."""
    rows = zip(*(table[name].to_pylist() for name in columns), strict=True)
    records = [dict(zip(columns, map(as_json, row), strict=True)) for row in rows]
    return json.dumps(records, ensure_ascii=False, indent=2).encode("utf-8", "replace") + b"\n"
