"""Take a table; give JSON records."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.formats.text import LARGE, Lines, as_json, holds_any, is_ascii, joined, texts_of
from dcmdask.tables.arrow import Array, Column, values_of

encode = json.JSONEncoder(ensure_ascii=False).encode
"""Give a value as JSON; the library escapes what JSON wants escaped, and nothing else."""

_CONTROLS = bytes(range(0x20))
_SPECIAL = r'["\\\x00-\x1f]'
_NOT_ASCII_ITSELF = r'["\\]|[^ -~]'
_ASCII_SPECIAL = b'"\\\x7f' + _CONTROLS

_INDENT = 4


def render_records(table: pa.Table, columns: Sequence[str]) -> Lines:
    """Return rows as objects, UTF-8, a record a line; an absent value is null.

    Half the bytes of indented ones, and `grep` finds them. `as_list` makes a file of them.
    """
    return Lines.of(joined("{", *members(table, columns, ", "), "},\n"))


def as_list(
    records: Lines, start: int, stop: int, *, begins: bool = True, ends: bool = True
) -> bytes:
    """Return a JSON file, the list of records `start` to `stop`; or a piece of it.

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


def as_texts(column: Column) -> Array:
    """Return a column as JSON."""
    if pa.types.is_string(column.type):
        texts = quoted(texts_of(column, str))
    else:
        texts = texts_of(column, _form)
    whole: Array = pc.fill_null(texts, "null")
    return whole


def _form(value: Any) -> str:
    return encode(as_json(value))


def members(
    table: pa.Table,
    columns: Sequence[str],
    between: str,
    texts: Callable[[Column], Array] = as_texts,
) -> list[Array | str]:
    """Return the members of an object a row, to be joined: names and values in turns."""
    parts: list[Array | str] = []
    for name in columns:
        parts += [f"{between if parts else ''}{encode(name)}: ", texts(table[name])]
    return parts


def as_python_writes(depth: int) -> Callable[[Column], Array]:
    """Return what gives a column as ``json.dump(..., indent=4)`` writes it; an absent value is "".

    Parameters
    ----------
    depth : int
        How many objects the values stand in.
    """
    lines = json.JSONEncoder(indent=_INDENT)
    start = "\n" + " " * _INDENT * depth

    def form(value: Any) -> str:
        # In a JSON text a line break is one of the layout: those of values are escaped.
        return lines.encode(as_json(value)).replace("\n", start)

    def texts(column: Column) -> Array:
        if pa.types.is_string(column.type):
            written = quoted_in_ascii(texts_of(column, str))
        else:
            written = texts_of(column, form)
        whole: Array = pc.fill_null(written, '""')
        return whole

    return texts


def quoted(texts: Array) -> Array:
    """Return texts as JSON strings; an absent one stays absent."""
    strings = joined('"', texts, '"')
    if not holds_any(texts, b'"\\' + _CONTROLS):
        return strings
    return _escaped(strings, texts, _SPECIAL, encode)


def quoted_in_ascii(texts: Array) -> Array:
    """Return texts as JSON strings in which what is no ASCII is escaped, as `json.dumps` does."""
    strings = joined('"', texts, '"')
    if is_ascii(texts) and not holds_any(texts, _ASCII_SPECIAL):
        return strings
    return _escaped(strings, texts, _NOT_ASCII_ITSELF, json.dumps)


def _escaped(strings: Array, texts: Array, which: str, form: Callable[[str], str]) -> Array:
    special = pc.fill_null(pc.match_substring_regex(texts, which), False)
    escaped = [form(text) for text in values_of(texts.filter(special))]
    whole: Array = pc.replace_with_mask(strings, special, pa.array(escaped, LARGE))
    return whole
