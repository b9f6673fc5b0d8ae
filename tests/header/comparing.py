"""Takes files as bytes; scans them and holds what is accepted against the reader of record."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dcmdask.dicom.windows import WINDOW, Windows
from dcmdask.errors import HeaderError
from dcmdask.header.columnar import Scan, scan_windows
from dcmdask.header.light import LightHeader, scan_header
from dcmdask.tables.schema import LIGHT
from dcmdask.types import Place, Window


def scan(files: list[bytes], garbage: int = 0) -> Scan:
    """Scan some files given as bytes, second windows included, in a buffer full of garbage."""
    windows = Windows.empty(len(files))
    windows.buffer[:] = garbage
    for number, content in enumerate(files):
        head = content[:WINDOW]
        windows.row(number)[: len(head)] = head
        windows.filled[number] = len(head)
        windows.whole[number] = len(content) <= WINDOW

    def more(wanted: Sequence[tuple[int, int, memoryview]]) -> list[int]:
        return [read_on(*one) for one in wanted]

    def read_on(number: int, offset: int, row: memoryview) -> int:
        found = files[number][offset : offset + WINDOW]
        row[: len(found)] = found
        return len(found)

    return scan_windows(windows, more)


def by_record(content: bytes) -> LightHeader | None:
    """Give the light attributes as the reader of record has them."""
    place = Place("", "", "", "", "", None, len(content), None)
    window = Window(place, content[:WINDOW], lambda at, count: content[at : at + count], 1 << 30)
    try:
        return scan_header(window)
    except HeaderError:
        return None


def compare(files: list[bytes]) -> Scan:
    """Scan some files and hold all that is accepted against the reader of record."""
    found = scan(files)
    # An element of a wanted tag, over and over, wherever a file holds nothing.
    other = scan(files, garbage=0x28)
    assert found.accepted.tolist() == other.accepted.tolist()
    assert found.columns == other.columns
    assert found.reasons == other.reasons
    columns = {word: found.columns[word].to_pylist() for word in LIGHT}
    for row, number in enumerate(np.flatnonzero(found.accepted).tolist()):
        expected = by_record(files[number])
        assert expected is not None
        assert expected.values == {word: columns[word][row] for word in LIGHT}
        said = {remark for remark, rows in found.remarks if row in rows}
        assert set(expected.remarks) == said
    return found
