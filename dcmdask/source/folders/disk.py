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

from dcmdask.errors import HeaderError
from dcmdask.source.heads import AT_ONCE, READ_FLAGS, read_heads, read_into
from dcmdask.source.origin import FirstWindows, Hearing
from dcmdask.types import Kind


class Disk:
    """Files of this machine.

    Attributes
    ----------
    at_once : int
        Rows whose first windows are read together.
    """

    at_once = AT_ONCE

    def __init__(self) -> None:
        self._buffer: npt.NDArray[np.uint8] | None = None

    def begin_heads(
        self, rows: pa.Table, numbers: Sequence[int | None], hearing: Hearing
    ) -> Callable[[], FirstWindows]:
        """Give what reads the first windows when it is asked: nothing is gained by beginning before.

        The buffer of the windows is used again by the next ones.
        """

        def read() -> FirstWindows:
            locations = rows["location"].to_pylist()
            wanted = [
                None if number is None else location
                for location, number in zip(locations, numbers, strict=True)
            ]
            called = [-1 if number is None else number for number in numbers]
            windows, kept, count = read_heads(wanted, called, hearing.begin, self._buffer)
            self._buffer = windows.buffer
            hearing.count(count)
            return FirstWindows(windows, kept)

        return read

    def open(self, row: Mapping[str, Any], _head: bytes | None, _hearing: Hearing) -> IO[bytes]:
        """Open a file; raises `HeaderError` where it is none any more."""
        handle = os.open(os.fsdecode(row["location"]), READ_FLAGS)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            words = "something else has taken its place since it was listed"
            raise HeaderError(Kind.VANISHED, words)
        return cast(IO[bytes], io.FileIO(handle, closefd=True))


def read_more(location: bytes, offset: int, row: memoryview) -> int:
    """Read on in a file; give how many bytes."""
    handle = os.open(location, READ_FLAGS)
    try:
        return read_into(handle, offset, row)
    finally:
        os.close(handle)
