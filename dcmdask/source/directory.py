"""Take a zip of any number of members; give it as archives of a few thousand members each.

`zipfile` reads the whole central directory and makes an object of every member, at ten times the
bytes that it takes in the file. Of a large directory it is shown one part after the other, each as
a zip of its own: the same bytes, a part of the directory, and an end that says so.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator, Sequence
from typing import IO, cast

from dcmdask.source.origin import Span, expect
from dcmdask.source.streams import Over, Sized

LARGE = 4 * 1024 * 1024
"""Bytes of a directory that is read at once: some fifty thousand members."""

_PART = 1024 * 1024
_ENTRY = 46
_SIGNATURE = b"PK\x01\x02"
_LENGTHS = struct.Struct("<3H")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")


def open_zips(stream: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    """Open a zip, in as many parts as its directory needs.

    Parameters
    ----------
    stream : file
        Of the archive; its position changes.

    Yields
    ------
    zipfile.ZipFile
        With some of the members, in order.

    Raises
    ------
    zipfile.BadZipFile
        The end or the directory is damaged.
    """
    watch = _Watch(stream)
    try:
        archive = zipfile.ZipFile(cast(IO[bytes], watch))
    except _LargeDirectoryError as large:
        start, size = large.start, large.size
    else:
        archive.fp = stream
        yield archive
        return
    stop = start + size
    at = start
    while at < stop:
        stream.seek(at)
        piece = stream.read(min(_PART, stop - at))
        used = _whole_entries(piece)
        tail = piece[:used] + _end_of(used, watch.offset, start + used)
        yield zipfile.ZipFile(cast(IO[bytes], _Part(stream, start, tail)))
        at += used


class _LargeDirectoryError(Exception):
    """The directory of a zip is not to be read at once."""

    def __init__(self, start: int, size: int) -> None:
        super().__init__()
        self.start = start
        self.size = size


class _Watch(Over):
    """A zip that does not give a large directory; it notes where that is said to begin.

    Attributes
    ----------
    offset : int
        As the end records say it: less than the true one where something stands before the zip.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(stream)
        self.offset = 0

    def read(self, count: int = -1) -> bytes:
        if count > LARGE:
            raise _LargeDirectoryError(self._stream.tell(), count)
        found = self._stream.read(count)
        at = found.rfind(b"PK\x05\x06")
        if found.startswith(b"PK\x06\x06") and len(found) == _END64.size:
            self.offset = _END64.unpack(found)[-1]
        elif 0 <= at <= len(found) - _END.size:
            self.offset = _END.unpack_from(found, at)[-2]
        return found


class _Part(Sized):
    """The bytes of a zip before its directory, then another end."""

    def __init__(self, stream: IO[bytes], start: int, tail: bytes) -> None:
        super().__init__(start + len(tail))
        self._stream = stream
        self._start = start
        self._tail = tail

    def expect(self, spans: Sequence[Span]) -> None:
        """Tell what will be read."""
        expect(self._stream, spans)

    def read(self, count: int = -1) -> bytes:
        inside = self._at - self._start
        if inside < 0:
            self._stream.seek(self._at)
            piece = self._stream.read(-inside if count < 0 else min(count, -inside))
        else:
            piece = self._tail[inside:] if count < 0 else self._tail[inside : inside + count]
        self._at += len(piece)
        return piece


def _whole_entries(piece: bytes) -> int:
    """Give how many bytes whole entries take; the one behind them is cut."""
    at = 0
    while at + _ENTRY <= len(piece) and piece.startswith(_SIGNATURE, at):
        behind = at + _ENTRY + sum(_LENGTHS.unpack_from(piece, at + 28))
        if behind > len(piece):
            break
        at = behind
    if not at:
        raise zipfile.BadZipFile("the directory holds something else")
    return at


def _end_of(size: int, offset: int, at: int) -> bytes:
    """Give the end records (APPNOTE 4.3.14 to 4.3.16) of a directory; `at` is where they stand."""
    record = _END64.pack(b"PK\x06\x06", _END64.size - 12, 45, 45, 0, 0, 0, 0, size, offset)
    locator = _LOCATOR.pack(b"PK\x06\x07", 0, at, 1)
    few, many = 0xFFFF, 0xFFFFFFFF
    return record + locator + _END.pack(b"PK\x05\x06", 0, 0, few, few, many, many, 0)
