"""The first bytes of many files at once: what a source fills and the columnar scan walks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dcmdask.types import Failure, Window

WINDOW: Final = 8 * 1024
"""Bytes of a window; even, as every element of a well-formed file begins at an even offset."""

AHEAD: Final = 256
"""Bytes behind the last row, so that looking a little ahead of any position stays inside."""


_PREFIX_AT: Final = 128
META_AT: Final = 132
"""Where the file meta group begins, behind the prefix."""


def has_prefix(head: bytes) -> bool:
    """Tell whether a file begins as PS3.10 section 7.1 says: a free preamble, then ``DICM``."""
    return head[_PREFIX_AT:META_AT] == b"DICM"


@dataclass(slots=True)
class Windows:
    """The first bytes of some files in one buffer.

    Attributes
    ----------
    buffer : numpy.ndarray of uint8
        Rows of `WINDOW` bytes, at least twice as many as files: the second half is for second
        windows. A few bytes more at the end.
    filled : numpy.ndarray of int64
        Bytes of each row that hold something, shape (2 * files,).
    whole : numpy.ndarray of bool
        Whether the file ends with its first window, shape (files,).
    """

    buffer: npt.NDArray[np.uint8]
    filled: npt.NDArray[np.int64]
    whole: npt.NDArray[np.bool_]

    @classmethod
    def empty(cls, files: int, buffer: npt.NDArray[np.uint8] | None = None) -> Self:
        """Make room for the windows of some files, in a buffer that is there if it is large enough.

        What an earlier use left in the buffer does no harm: nothing beyond `filled` is looked at.
        """
        size = 2 * files * WINDOW + AHEAD
        if buffer is None or len(buffer) < size:
            # Not zeroed by hand: pages that no second window needs are never touched.
            buffer = np.zeros(size, np.uint8)
        return cls(buffer, np.zeros(2 * files, np.int64), np.zeros(files, bool))

    @property
    def files(self) -> int:
        """How many files there is room for."""
        return len(self.whole)

    def first(self, files: int) -> Self:
        """Return the windows of the first files only; their rows stay where they are."""
        return type(self)(self.buffer, self.filled[: 2 * files], self.whole[:files])

    def row(self, number: int) -> memoryview:
        """Return a row to read into."""
        return memoryview(self.buffer.data)[number * WINDOW : (number + 1) * WINDOW]


More = Callable[[Sequence[tuple[int, int, memoryview]]], list[int]]
"""(file, offset, row), many of them, to bytes read: reads on at an offset of each file, into a row.
None where the file ends before it or cannot be read: then it is for the reader that takes one at a
time."""


def _expect_nothing(_files: Sequence[int]) -> None:
    """Do nothing about files that will be opened again."""


@dataclass(frozen=True, slots=True)
class Heads:
    """Files that begin as DICOM does, with their first windows.

    Attributes
    ----------
    places : pyarrow.Table
        The columns of `dcmdask.tables.schema.INSTANCES` that say where each file is.
    windows : Windows
        Their first bytes.
    more : More
        How a header that outgrows its first window is read on.
    reopen : callable
        File to a context that gives its `Window`, for a reader that takes one at a time, or the
        failure that it has become.
    expect : callable
        Told which files will be opened again, in order, so that they may be fetched ahead.

    Notes
    -----
    `more` and `reopen` work until the next thing is asked of the source.
    """

    places: pa.Table
    windows: Windows
    more: More
    reopen: Callable[[int], AbstractContextManager[Window | Failure]]
    expect: Callable[[Sequence[int]], None] = _expect_nothing
