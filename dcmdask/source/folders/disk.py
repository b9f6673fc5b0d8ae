"""Take rows of folders of this machine; read their first windows, and open them."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dcmdask.config import RemoteOptions
from dcmdask.dicom.windows import Heads
from dcmdask.errors import HeaderError
from dcmdask.source.heads import AT_ONCE, READ_FLAGS, read_heads, read_into
from dcmdask.source.places import HERE
from dcmdask.source.source_reader import FirstWindows, Lot, ReadObserver
from dcmdask.types import NO_ROW, Kind


class Disk:
    """Files of this machine.

    Attributes
    ----------
    at_once, is_near, shown : int, bool, Shown
        As `SourceReader` has them.
    """

    at_once = AT_ONCE
    is_near = True
    shown = HERE

    def __init__(self, _container: str | None, _options: RemoteOptions) -> None:
        self._buffer: npt.NDArray[np.uint8] | None = None

    def begin_heads(
        self, rows: pa.Table, numbers: Sequence[int | None], observer: ReadObserver
    ) -> Callable[[], FirstWindows]:
        """Return what reads the first windows when asked: nothing is gained by beginning before.

        The buffer of the windows is used again by the next ones.
        """

        def read() -> FirstWindows:
            locations = rows["location"].to_pylist()
            wanted = [
                None if number is None else location
                for location, number in zip(locations, numbers, strict=True)
            ]
            called = [-1 if number is None else number for number in numbers]
            windows, kept, count = read_heads(wanted, called, observer.begin, self._buffer)
            self._buffer = windows.buffer
            observer.count(count)
            return FirstWindows(windows, kept)

        return read

    def open(
        self, row: Mapping[str, Any], _head: bytes | None, _observer: ReadObserver
    ) -> IO[bytes]:
        """Open a file; raises `HeaderError` where it is none any more."""
        handle = os.open(os.fsdecode(row["location"]), READ_FLAGS)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            words = "something else has taken its place since it was listed"
            raise HeaderError(Kind.VANISHED, words)
        return cast(IO[bytes], io.FileIO(handle, closefd=True))

    def heads(self, lot: Lot, observer: ReadObserver) -> Heads:
        """Return some files: each is opened again when more of it is asked for."""

        def more(wanted: Sequence[tuple[int, int, memoryview]]) -> list[int]:
            return [read_on(*one) for one in wanted]

        def read_on(spot: int, offset: int, row: memoryview) -> int:
            observer.begin(lot.numbers[spot])
            try:
                count = _read_more(lot.rows["location"][spot].as_py(), offset, row)
            except OSError:
                lot.refused(spot)
                count = 0
            # Back among the others: row and beat both change, so that a look now and then sees it.
            observer.begin(NO_ROW)
            observer.beat()
            observer.count(count)
            return count

        return Heads(lot.places, lot.windows, more, lot.reopen)

    def check(self) -> None:
        """Do nothing: each file says by itself that it is away."""


def _read_more(location: bytes, offset: int, row: memoryview) -> int:
    """Read on in a file; give how many bytes."""
    handle = os.open(location, READ_FLAGS)
    try:
        return read_into(handle, offset, row)
    finally:
        os.close(handle)
