"""What the fetcher wants of every kind of source: the small Protocol that a reader of one fulfils."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import IO, Any, Protocol

import pyarrow as pa

from dcmdask.dicom.windows import Heads, Windows
from dcmdask.errors import HeaderError
from dcmdask.source.places import Shown
from dcmdask.types import Failure, Window

Span = tuple[int, int]
"""Start and stop of a range, bytes."""


@dataclass(frozen=True, slots=True)
class ReadObserver:
    """Whom a reader tells what it does.

    Attributes
    ----------
    begin : callable
        Told the number of each row before it is opened.
    beat : callable
        Told that something came.
    count : callable
        Told of bytes that came; from any thread.
    """

    begin: Callable[[int], None]
    beat: Callable[[], None]
    count: Callable[[int], None]


@dataclass(frozen=True, slots=True)
class FirstWindows:
    """The first windows of some rows.

    Attributes
    ----------
    windows : Windows
        Of those that begin as DICOM does, row after row.
    kept : list of int
        Their positions among the rows. All others are for the reader that takes one at a time.
    heads : dict
        Position to the first bytes of others, where they came along; or to why there are none.
    """

    windows: Windows
    kept: list[int]
    heads: Mapping[int, bytes | HeaderError] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lot:
    """Files whose first windows are there, and begin as DICOM does.

    Attributes
    ----------
    rows : pyarrow.Table
        Of the manifest.
    numbers : list of int
        What each is called.
    windows : Windows
        Of the files, row after row.
    places : pyarrow.Table
        Where they are, as the tables say it.
    reopen : callable
        Position to a context that opens that file by itself, as if it had no first window.
    refused : callable
        Told the position of a file of which a read was refused.
    """

    rows: pa.Table
    numbers: list[int]
    windows: Windows
    places: pa.Table
    reopen: Callable[[int], AbstractContextManager[Window | Failure]]
    refused: Callable[[int], None]


class SourceReader(Protocol):
    """Reads the files of a root.

    Attributes
    ----------
    at_once : int
        Rows whose first windows are read together.
    is_near : bool
        Whether nothing is gained by opening a file before it is its turn. What is read of such a file
        is counted by whoever reads; any other counts by itself.
    shown : Shown
        How the tables name its files.
    """

    at_once: int
    is_near: bool
    shown: Shown

    def begin_heads(
        self, rows: pa.Table, numbers: Sequence[int | None], observer: ReadObserver
    ) -> Callable[[], FirstWindows]:
        """Begin to read the first windows of some rows; give what waits for them.

        Parameters
        ----------
        rows : pyarrow.Table
            Of the manifest.
        numbers : sequence of int or None
            What each is called; None for one that is passed over.
        observer : ReadObserver
            Whom to tell.
        """
        ...

    def open(self, row: Mapping[str, Any], head: bytes | None, observer: ReadObserver) -> IO[bytes]:
        """Open the file of a row, whose first bytes may be there already.

        Raises
        ------
        OSError, HeaderError
            It cannot be opened.
        """
        ...

    def heads(self, lot: Lot, observer: ReadObserver) -> Heads:
        """Return some files with how each of them is read on."""
        ...

    def check(self) -> None:
        """Raise `StoreError` where the place was down: whoever met that may not have passed it on."""
        ...


_SECOND = 24 * 1024
"""Bytes of a header that are fetched ahead behind its first window, for one that is read deeply."""

_PIXEL_DATA = b"\xe0\x7f\x10\x00"


def deep_reach(windows: Windows, number: int) -> int:
    """Return how many bytes of a file are likely to be needed by who reads its header deeply."""
    filled = int(windows.filled[number])
    # Where the pixel data begin in the first window, so does whatever a header has.
    if windows.whole[number] or _PIXEL_DATA in bytes(windows.row(number)[:filled]):
        return filled
    return filled + _SECOND


def expect(stream: IO[bytes], spans: Sequence[Span]) -> None:
    """Tell a file what will be read of it, if it is one that fetches ahead."""
    if spans and (ahead := getattr(stream, "expect", None)) is not None:
        ahead(spans)
