"""Take rows of a DICOMweb service; fetch their metadata, many at a time, and give them as headers.

One request an instance, of WADO-RS (PS3.18 section 10.4.1.1.2): no pixel data leave the service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import IO, Any

import pyarrow as pa

from dcmdask.config import RemoteOptions
from dcmdask.dicom.windows import WINDOW, Heads, Windows
from dcmdask.errors import HeaderError
from dcmdask.remote.address import DICOMWEB
from dcmdask.remote.remote import Remote
from dcmdask.source.archives.member_stream import LARGEST_HEADER
from dcmdask.source.dicomweb.json_model import LARGEST
from dcmdask.source.dicomweb.metadata import file_of
from dcmdask.source.dicomweb.service import open_service
from dcmdask.source.places import Shown
from dcmdask.source.source_reader import FirstWindows, Lot, ReadObserver
from dcmdask.tables.arrow import values_of
from dcmdask.types import Failure, Place, Window

AT_ONCE = 64
"""Instances whose headers are held at a time, and as many that are fetched meanwhile: that of an image of
a thousand frames has megabytes."""


class DicomwebReader:
    """Instances of a DICOMweb service.

    Parameters
    ----------
    container : str
        URL of the host.
    options : RemoteOptions
        How it is reached.

    Attributes
    ----------
    at_once, is_near, shown : int, bool, Shown
        As `SourceReader` has them.
    """

    at_once = AT_ONCE
    is_near = False

    def __init__(self, container: str, options: RemoteOptions) -> None:
        # Where an instance can be retrieved. Tags are ours, of what may name a patient.
        self.shown = Shown(container.removeprefix(DICOMWEB), has_tags=False)
        self._remote: Remote = open_service(container, options)
        self._files: dict[int, bytes] = {}

    def begin_heads(
        self, rows: pa.Table, numbers: Sequence[int | None], observer: ReadObserver
    ) -> Callable[[], FirstWindows]:
        """Begin to fetch the metadata of some rows; give what waits for them."""
        chosen = [spot for spot, number in enumerate(numbers) if number is not None]
        locations = values_of(rows["location"])
        files: dict[int, bytes | HeaderError] = {}

        def take(number: int, found: bytes | HeaderError) -> None:
            observer.beat()
            if not isinstance(found, HeaderError):
                observer.count(len(found))
            files[chosen[number]] = _file_of(found)

        reads = ((_key(locations[spot]), 0, LARGEST, None) for spot in chosen)
        done = self._remote.get_many(reads, take)

        def wait() -> FirstWindows:
            for future in done:
                future.result()
            return self._first(files, numbers)

        return wait

    def _first(
        self, files: Mapping[int, bytes | HeaderError], numbers: Sequence[int | None]
    ) -> FirstWindows:
        windows = Windows.empty(len(files), None)
        kept: list[int] = []
        refused: dict[int, bytes | HeaderError] = {}
        self._files = {}
        for spot in sorted(files):
            file = files[spot]
            if isinstance(file, HeaderError):
                refused[spot] = file
                continue
            place, head = len(kept), file[:WINDOW]
            windows.row(place)[: len(head)] = head
            windows.filled[place] = len(head)
            windows.whole[place] = len(file) < WINDOW
            kept.append(spot)
            self._files[numbers[spot] or 0] = file
        return FirstWindows(windows.first(len(kept)), kept, refused)

    def heads(self, lot: Lot, _observer: ReadObserver) -> Heads:
        """Return some instances: all that there is of them is here."""
        files = [self._files[number] for number in lot.numbers]

        def more(wanted: Sequence[tuple[int, int, memoryview]]) -> list[int]:
            return [_copy(files[spot][at : at + len(row)], row) for spot, at, row in wanted]

        @contextmanager
        def reopen(spot: int) -> Iterator[Window | Failure]:
            place = Place(**lot.places.slice(spot, 1).to_pylist()[0])
            file = files[spot]
            yield Window(place, file[:WINDOW], _fetch_of(file), LARGEST_HEADER)

        return Heads(lot.places, lot.windows, more, reopen)

    def open(
        self, row: Mapping[str, Any], _head: bytes | None, observer: ReadObserver
    ) -> IO[bytes]:
        """Fetch the metadata of one instance."""
        answer = self._remote.get(_key(row["location"]), 0, LARGEST)
        observer.count(len(answer))
        return BytesIO(file_of(answer))

    def check(self) -> None:
        """Raise `StoreError` where the service was down."""
        self._remote.check()


def _key(location: bytes) -> str:
    return f"{location.decode()}/metadata"


def _file_of(answer: bytes | HeaderError) -> bytes | HeaderError:
    try:
        return answer if isinstance(answer, HeaderError) else file_of(answer)
    except HeaderError as error:
        return error


def _copy(found: bytes, row: memoryview) -> int:
    row[: len(found)] = found
    return len(found)


def _fetch_of(file: bytes) -> Callable[[int, int], bytes] | None:
    if len(file) < WINDOW:
        return None
    return lambda offset, count: file[offset : offset + count]
