"""dcmdask: windows read and scanned many at once, what the scan leaves read one by one.

The values are Arrow columns of their types: dates, numbers, lists.
"""

from __future__ import annotations

import os
from functools import partial

import pyarrow as pa
from measure import Attribute, Counted, measure

from dcmdask.dicom.windows import WINDOW
from dcmdask.errors import HeaderError
from dcmdask.header.columnar import scan_windows
from dcmdask.header.light import scan_header
from dcmdask.header.reader import quiet_pydicom
from dcmdask.source.archives.member_stream import LARGEST_HEADER
from dcmdask.source.heads import AT_ONCE, READ_FLAGS, read_heads, read_into
from dcmdask.tables.schema import INSTANCES, LIGHT
from dcmdask.types import Place, Window

SCHEMA = pa.schema([INSTANCES.field(word) for word in LIGHT])
NOWHERE = Place("", "", "", "", "", archive=None, size=None, modified=None)
"""Where a file is does not matter here."""


def read(paths: list[str], _attributes: list[Attribute]) -> pa.Table:
    """Give the light attributes of all files; those that cannot be read are left out."""
    buffer = None
    tables = []
    for start in range(0, len(paths), AT_ONCE):
        some = [os.fsencode(path) for path in paths[start : start + AT_ONCE]]
        windows, kept, _ = read_heads(some, range(len(some)), lambda _number: None, buffer)
        buffer = windows.buffer
        begun = [some[number] for number in kept]
        scan = scan_windows(windows, partial(read_on, begun))
        tables.append(pa.table(scan.columns, schema=SCHEMA))
        scanned = {kept[number] for number in scan.accepted.nonzero()[0].tolist()}
        tables.append(read_singly([p for n, p in enumerate(some) if n not in scanned]))
    return pa.concat_tables(tables)


def read_on(paths: list[bytes], number: int, offset: int, row: memoryview) -> int:
    """Read on in one of some files."""
    handle = os.open(paths[number], READ_FLAGS)
    try:
        return read_into(handle, offset, row)
    finally:
        os.close(handle)


def read_singly(paths: list[bytes]) -> pa.Table:
    """Give the light attributes of files as pydicom reads them."""
    rows = []
    with quiet_pydicom():
        for path in paths:
            with open(path, "rb") as file:

                def fetch(offset: int, size: int) -> bytes:
                    file.seek(offset)
                    return file.read(size)

                window = Window(NOWHERE, file.read(WINDOW), fetch, LARGEST_HEADER)
                try:
                    rows.append(scan_header(window).values)
                except HeaderError:
                    continue
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def count(made: pa.Table, _paths: list[str], _attributes: list[Attribute]) -> Counted:
    """Count what is not null."""
    present = {word: len(made) - made[word].null_count for word in LIGHT}
    return Counted(present["SOPInstanceUID"], sum(present.values()))


if __name__ == "__main__":
    measure("dcmdask", read, count)
