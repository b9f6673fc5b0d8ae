"""Makes windows over bytes that count what is fetched, and bytes of datasets in any encoding."""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass, field

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dcmdask.types import Place, Window

SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
HEAD = 8 * 1024
BUDGET = 64 * 1024 * 1024


@dataclass
class Store:
    """Bytes that are fetched in ranges; `zeros` more of them follow without being held."""

    data: bytes
    ranges: list[tuple[int, int]] = field(default_factory=list)
    fetched: int = 0

    def fetch(self, offset: int, count: int) -> bytes:
        """Give a range and note it."""
        found = self.data[offset : offset + count]
        self.ranges.append((offset, len(found)))
        self.fetched += len(found)
        return found


def place_of(name: str = "a.dcm", size: int | None = None) -> Place:
    """Give a place by its name."""
    return Place(f"file:///in/{name}", "case", f"case/{name}", "in/case", name, None, size, 0)


def window_of(
    data: bytes, *, head: int = HEAD, budget: int = BUDGET, sized: bool = True, name: str = "a.dcm"
) -> tuple[Window, Store]:
    """Give a window as a source makes it, and what counts its fetches."""
    store = Store(data)
    more = store.fetch if len(data) >= head else None
    place = place_of(name, len(data) if sized else None)
    return Window(place, data[:head], more, budget), store


def file_of(
    dataset: Dataset, syntax: str = ExplicitVRLittleEndian, *, undefined: bool = False
) -> bytes:
    """Give the bytes of a Part 10 file; `undefined` leaves all lengths of sequences open."""
    if undefined:
        leave_lengths_open(dataset)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", "1.2.3")
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "1.2.3")
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def leave_lengths_open(dataset: Dataset) -> None:
    """Make all sequences and items of a dataset end with delimiters."""
    for element in dataset:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
                leave_lengths_open(item)


def element(tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    """Give an element in explicit VR little endian; `length` may lie."""
    length = len(value) if length is None else length
    group, number = tag >> 16, tag & 0xFFFF
    if vr in ("OB", "OW", "SQ", "UN", "UT"):
        return struct.pack("<HH2sHL", group, number, vr.encode(), 0, length) + value
    return struct.pack("<HH2sH", group, number, vr.encode(), length & 0xFFFF) + value


def read_whole(data: bytes) -> Dataset:
    """Read all bytes with pydicom, no tricks."""
    return pydicom.dcmread(io.BytesIO(data), force=True)
