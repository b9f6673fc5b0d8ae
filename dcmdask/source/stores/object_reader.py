"""Take rows of a container of a store; fetch their first windows, many at a time, and open them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dcmdask.config import RemoteOptions
from dcmdask.dicom.windows import META_AT, WINDOW, Heads, Windows, has_prefix
from dcmdask.errors import HeaderError
from dcmdask.remote.client import changed
from dcmdask.remote.remote import Read, Remote, open_remote
from dcmdask.remote.sealing import unsealed
from dcmdask.source.archives.member_stream import LARGEST_HEADER
from dcmdask.source.places import Shown
from dcmdask.source.source_reader import FirstWindows, Lot, ReadObserver, deep_reach
from dcmdask.source.stores.ranges import RangeFile
from dcmdask.types import PASSING, Failure, Kind, Place, Window

AT_ONCE = 2048
"""Objects whose first windows are read together: while they are scanned, the next ones are fetched."""

_REOPENED = 128
"""Files of which more than the first window is fetched ahead."""


class Bucket:
    """A container of a store.

    Parameters
    ----------
    container : str
        Its URL.
    options : RemoteOptions
        How it is reached.

    Attributes
    ----------
    at_once, is_near, shown : int, bool, Shown
        As `SourceReader` has them.
    remote : Remote
        It.
    """

    at_once = AT_ONCE
    is_near = False

    def __init__(self, container: str, options: RemoteOptions) -> None:
        self.shown = Shown(container)
        self.remote: Remote = open_remote(container, options)
        self._gap = options.join_gap
        self._storage = options.storage
        # One is scanned while the other is filled.
        self._buffers: deque[npt.NDArray[np.uint8] | None] = deque([None, None])

    def begin_heads(
        self, rows: pa.Table, numbers: Sequence[int | None], observer: ReadObserver
    ) -> Callable[[], FirstWindows]:
        """Begin to fetch the first windows of some rows; give what waits for them.

        The buffer of the windows is used again by those behind the next ones.
        """
        room = Windows.empty(len(numbers), self._buffers.popleft())
        self._buffers.append(room.buffer)
        chosen = [spot for spot, number in enumerate(numbers) if number is not None]
        sizes, etags = (rows[name].to_pylist() for name in ("size", "etag"))
        listed = list(zip(self.keys(rows), sizes, etags, strict=True))
        arriving = _Arriving(room, chosen, sizes, observer)
        reads = (_first_read(*listed[spot]) for spot in chosen)
        done = self.remote.get_many(reads, arriving.take)

        def wait() -> FirstWindows:
            for future in done:
                future.result()
            return arriving.in_order()

        return wait

    def keys(self, rows: pa.Table) -> list[str]:
        """Return by what some rows are reached: their locations, or more that is secret."""
        columns = (rows[name].to_pylist() for name in ("location", "access"))
        return [self._key(*one) for one in zip(*columns, strict=True)]

    def _key(self, location: bytes, access: bytes | None) -> str:
        return location.decode() if access is None else unsealed(access, self._storage)

    def open(self, row: Mapping[str, Any], head: bytes | None, observer: ReadObserver) -> IO[bytes]:
        """Open an object: nothing is asked of the store but a size that no listing told."""
        file = self._file(row, observer)
        if head:
            file.hold(0, head)
        return cast(IO[bytes], file)

    def _file(self, row: Mapping[str, Any], observer: ReadObserver) -> RangeFile:
        key, size, etag = self._key(row["location"], row["access"]), row["size"], row["etag"]
        if size is None:
            found = self.remote.head(key)
            if found.size is None:
                words = "the store does not tell its size"
                raise HeaderError(Kind.UNEXPECTED, words)
            size, etag = found.size, etag or found.etag
        return RangeFile(self.remote, key, size, etag, self._gap, observer.count, observer.beat)

    def heads(self, lot: Lot, observer: ReadObserver) -> Heads:
        """Return some objects: what is likely to be needed of them is fetched ahead."""
        reading = ReadingOn(self, lot.rows, lot.windows, observer, lot.refused)

        @contextmanager
        def reopen(spot: int) -> Iterator[Window | Failure]:
            place = Place(**lot.places.slice(spot, 1).to_pylist()[0])
            with reading.opened(spot) as (head, fetch):
                yield Window(place, head, fetch, LARGEST_HEADER)

        return Heads(lot.places, lot.windows, reading.more, reopen, reading.expect)

    def check(self) -> None:
        """Raise `StoreError` where the store was down."""
        self.remote.check()


class _Arriving:
    """First windows that come in any order, from any thread.

    Parameters
    ----------
    room : Windows
        Where those are put that begin as DICOM does.
    chosen : list of int
        The positions of the rows that are read, in the order of the reads.
    sizes : list
        Of all rows, as they were listed.
    observer : ReadObserver
        Whom to tell.
    """

    def __init__(
        self, room: Windows, chosen: list[int], sizes: list[int | None], observer: ReadObserver
    ) -> None:
        self._room = room
        self._chosen = chosen
        self._sizes = sizes
        self._observer = observer
        self._kept: list[int] = []
        self._heads: dict[int, bytes | HeaderError] = {}
        self._lock = threading.Lock()

    def take(self, number: int, found: bytes | HeaderError) -> None:
        """Take what came of a read."""
        spot = self._chosen[number]
        self._observer.beat()
        if not isinstance(found, HeaderError):
            self._observer.count(len(found))
            if _is_other(len(found), self._sizes[spot]):
                found = changed()
        if isinstance(found, HeaderError):
            self._heads[spot] = found
        elif len(found) > META_AT and has_prefix(found):
            self._keep(spot, found)
        else:
            self._heads[spot] = found

    def _keep(self, spot: int, found: bytes) -> None:
        with self._lock:
            place = len(self._kept)
            self._kept.append(spot)
        self._room.row(place)[: len(found)] = found
        self._room.filled[place] = len(found)
        self._room.whole[place] = len(found) < WINDOW

    def in_order(self) -> FirstWindows:
        """Return what came, in the order of the rows; when all has come."""
        return FirstWindows(_in_order(self._room, self._kept), sorted(self._kept), self._heads)


def _in_order(room: Windows, kept: list[int]) -> Windows:
    """Put windows that came in any order into that of their rows: the same part comes of it."""
    order = np.argsort(kept)
    count = len(order)
    rows = room.buffer[: count * WINDOW].reshape(count, WINDOW)
    rows[:] = rows[order]
    room.filled[:count] = room.filled[:count][order]
    room.whole[:count] = room.whole[:count][order]
    return room.first(count)


def _first_read(key: str, size: int | None, etag: str | None) -> Read:
    # Without a tag it is the length alone that tells another object from the one that was listed.
    stop = WINDOW if size is None or etag is None else min(size, WINDOW)
    return key, 0, stop, etag


def _is_other(length: int, size: int | None) -> bool:
    """Tell whether a first window shows that the object is of another size than was listed."""
    return size is not None and length != min(size, WINDOW)


class ReadingOn:
    """How some objects are read on whose first windows are there.

    Parameters
    ----------
    bucket : Bucket
        Where they are.
    rows : pyarrow.Table
        Of the manifest, those of the windows.
    windows : Windows
        The windows.
    observer : ReadObserver
        Whom to tell.
    refused : callable
        Told the position of a row of which the store refused a read.
    """

    def __init__(
        self,
        bucket: Bucket,
        rows: pa.Table,
        windows: Windows,
        observer: ReadObserver,
        refused: Callable[[int], None],
    ) -> None:
        self._bucket = bucket
        self._rows = rows
        self._windows = windows
        self._observer = observer
        self._refused = refused
        self._waiting: deque[int] = deque()
        self._files: dict[int, RangeFile] = {}

    def more(self, wanted: Sequence[tuple[int, int, memoryview]]) -> list[int]:
        """Fetch second windows, all at once: file, offset and the row that it goes to."""
        counts = [0] * len(wanted)
        keys = self._bucket.keys(self._rows)
        etags = self._rows["etag"].to_pylist()

        def take(number: int, found: bytes | HeaderError) -> None:
            file, _, row = wanted[number]
            self._observer.beat()
            if isinstance(found, HeaderError):
                self._refused(file)
                return
            self._observer.count(len(found))
            row[: len(found)] = found
            counts[number] = len(found)

        reads = [
            (keys[file], offset, offset + len(row), etags[file]) for file, offset, row in wanted
        ]
        for future in self._bucket.remote.get_many(reads, take):
            future.result()
        return counts

    def expect(self, numbers: Sequence[int]) -> None:
        """Take which files will be opened, in order: what they are likely to need comes ahead."""
        self._waiting = deque(n for n in numbers if deep_reach(self._windows, n) > WINDOW)
        self._top_up()

    def _head(self, number: int) -> bytes:
        return bytes(self._windows.row(number)[: self._windows.filled[number]])

    def _top_up(self) -> None:
        while self._waiting and len(self._files) < _REOPENED:
            number = self._waiting.popleft()
            with suppress(HeaderError):
                file = self._open(number)
                file.expect([(WINDOW, deep_reach(self._windows, number))])
                self._files[number] = file

    def _open(self, number: int) -> RangeFile:
        row = self._rows.slice(number, 1).to_pylist()[0]
        return cast(RangeFile, self._bucket.open(row, None, self._observer))

    @contextmanager
    def opened(self, number: int) -> Iterator[tuple[bytes, Callable[[int, int], bytes] | None]]:
        """Give the first window of a file, and what reads on in it."""
        file = self._files.pop(number, None)
        self._top_up()
        head = self._head(number)
        if self._windows.whole[number]:
            yield head, None
            return

        def fetch(offset: int, count: int) -> bytes:
            nonlocal file
            try:
                file = file or self._open(number)
                return file.read_at(offset, count)
            except HeaderError as error:
                if error.kind in PASSING:
                    self._refused(number)
                raise

        try:
            yield head, fetch
        finally:
            if file is not None:
                file.close()
