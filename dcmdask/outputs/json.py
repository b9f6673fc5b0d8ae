"""Take a table; give JSON records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.outputs.text import LARGE, Lines, as_json, holds_any, joined, texts_of

encode = json.JSONEncoder(ensure_ascii=False).encode
"""Give a value as JSON; the library escapes what JSON wants escaped, and nothing else."""

_CONTROLS = bytes(range(0x20))
_SPECIAL = r'["\\\x00-\x1f]'


def render_records(table: pa.Table, columns: Sequence[str]) -> Lines:
    """Give rows as objects, UTF-8, a record a line; an absent value is null.

    Half the bytes of indented ones, and `grep` finds them. `as_list` makes a file of them.
    """
    return Lines.of(joined("{", *members(table, columns, ", "), "},\n"))


def as_list(
    records: Lines, start: int, stop: int, *, begins: bool = True, ends: bool = True
) -> bytes:
    """Give a JSON file, the list of records `start` to `stop`; or a piece of it.

    Parameters
    ----------
    records : Lines
        From `render_records`.
    start, stop : int
        Which.
    begins, ends : bool
        Whether the list begins, and ends, with this piece. One that begins in a piece and does not
        end there has a record in it.
    """
    after = b"\n]\n" if ends else b""
    if start == stop:
        return b"[]\n" if begins else after
    content = records.between(start, stop, trimmed=len(",\n"))
    return b"".join([b"[\n" if begins else b",\n", content, after])


def members(table: pa.Table, columns: Sequence[str], between: str) -> list[pa.Array | str]:
    """Give the members of an object a row, to be joined: names and values in turns."""
    parts: list[pa.Array | str] = []
    for name in columns:
        parts += [f"{between if parts else ''}{encode(name)}: ", as_texts(table[name])]
    return parts


def as_texts(column: pa.ChunkedArray) -> pa.Array:
    """Give a column as JSON."""
    if pa.types.is_string(column.type):
        return pc.fill_null(quoted(texts_of(column, str)), "null")
    return pc.fill_null(texts_of(column, _form), "null")


def _form(value: Any) -> str:
    return encode(as_json(value))


def quoted(texts: pa.Array) -> pa.Array:
    """Give texts as JSON strings; an absent one stays absent."""
    strings = joined('"', texts, '"')
    if not holds_any(texts, b'"\\' + _CONTROLS):
        return strings
    special = pc.fill_null(pc.match_substring_regex(texts, _SPECIAL), False)
    escaped = [encode(text) for text in texts.filter(special).to_pylist()]
    return pc.replace_with_mask(strings, special, pa.array(escaped, LARGE))
