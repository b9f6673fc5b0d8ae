"""Take typed values; give them as files for people write them: DICOM's own form for dates and times.

Columns are written as columns: what is the same for every row costs once, not a row at a time.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.tables.arrow import Array, Column
from dcmdask.tables.factorize import map_distinct

LARGE = pa.large_string()
"""Text of any length: that of all rows together may exceed 2 GiB."""


def as_json(value: Any) -> Any:
    """Return a value that JSON knows; dates as YYYYMMDD and times as HHMMSS.FFFFFF (PS3.5 6.2)."""
    if isinstance(value, dt.date):
        return f"{value.year:04d}{value.month:02d}{value.day:02d}"
    if isinstance(value, dt.time):
        return value.strftime("%H%M%S.%f") if value.microsecond else value.strftime("%H%M%S")
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return value


def as_cell(value: Any) -> str:
    """Return a value as the text of a CSV cell; an absent one is empty."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ";".join(as_cell(item) for item in value)
    return str(as_json(value))


def texts_of(column: Column, form: Callable[[Any], str]) -> Array:
    """Return a column as text; an absent value stays absent.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        Text and integers are written as they are.
    form : callable
        Gives the text of any other value.
    """

    def text(value: Any) -> str | None:
        return None if value is None else form(value)

    if pa.types.is_string(column.type) or pa.types.is_integer(column.type):
        return large(column)
    return map_distinct(text, LARGE, column)


def large(column: Column) -> Array:
    """Return text or integers as one array of text."""
    return column.cast(LARGE).combine_chunks()


def joined(*parts: Array | str) -> Array:
    """Join texts row by row; those that are the same in every row as plain text."""
    columns = [pa.scalar(part, LARGE) if isinstance(part, str) else part for part in parts]
    lines: Array = pc.binary_join_element_wise(*columns, pa.scalar("", LARGE))
    return lines


def holds_any(texts: Array, characters: bytes) -> bool:
    """Tell whether any of the characters stands in any of the texts.

    Names and UIDs rarely hold what must be escaped: this is 6 times as fast as asking every row, and more.
    """
    content = bytes(Lines.of(texts).content)
    return any(character in content for character in characters)


def is_ascii(texts: Array) -> bool:
    """Tell whether all of the texts are ASCII."""
    return bytes(Lines.of(texts).content).isascii()


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of a file in one piece of memory, of which any run of rows is a slice.

    Attributes
    ----------
    content : memoryview
        UTF-8.
    ends : numpy.ndarray of int64
        Where each row ends, after a 0.
    """

    content: memoryview
    ends: npt.NDArray[np.int64]

    @classmethod
    def of(cls, texts: Array) -> Lines:
        """Take texts as they lie in memory; none of them should be absent."""
        if not len(texts):
            return cls(memoryview(b""), np.zeros(1, np.int64))
        buffers: list[Any] = texts.buffers()
        _, offsets, content = buffers
        ends = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
        whole = memoryview(content if content is not None else b"")
        return cls(whole[ends[0] : ends[-1]], ends - ends[0])

    def between(self, start: int, stop: int, *, trimmed: int = 0) -> memoryview:
        """Return the lines of rows `start` to `stop`, without the last so many bytes."""
        return self.content[self.ends[start] : self.ends[stop] - trimmed]

    def __len__(self) -> int:
        return len(self.ends) - 1
