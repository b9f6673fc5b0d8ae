"""Take manifest rows; read the first bytes of many files, one open and one read each."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.dicom.windows import WINDOW, Windows
from dcmdask.source.places import HERE, Shown
from dcmdask.tables.schema import INSTANT, ROW
from dcmdask.types import Place

AT_ONCE = 4096
"""Files of one lockstep: a step costs little more for four thousand than for one."""

READ_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOCTTY", 0)
    # Should a FIFO have taken the place of a listed file: opening it does not wait.
    | getattr(os, "O_NONBLOCK", 0)
)

_PREFIX_AT = slice(128, 132)
_PREFIX = b"DICM"
_PLACE_FIELDS: list[pa.Field[Any]] = [
    *(pa.field(name, pa.string()) for name in ("url", "case", "path", "folder", "file_name")),
    pa.field("archive", pa.string()),
    pa.field("size", pa.int64()),
    pa.field("modified", INSTANT),
    pa.field("etag", pa.string()),
    ROW,
]
_PLACE_SCHEMA = pa.schema(_PLACE_FIELDS)


def read_into(handle: int, offset: int, row: memoryview) -> int:
    """Read into a row from an offset of an open file; give how many bytes."""
    if hasattr(os, "preadv"):
        return os.preadv(handle, [row], offset)
    os.lseek(handle, offset, os.SEEK_SET)
    found = os.read(handle, len(row))
    row[: len(found)] = found
    return len(found)


def read_heads(
    locations: Sequence[bytes | None],
    numbers: Sequence[int],
    begin: Callable[[int], None],
    buffer: npt.NDArray[np.uint8] | None,
) -> tuple[Windows, list[int], int]:
    """Read the first windows of some files; keep those with a DICM prefix.

    Parameters
    ----------
    locations : sequence of bytes or None
        Paths as the system wants them; None is passed over.
    numbers : sequence of int
        What each of them is called.
    begin : callable
        Told the number of each before it is opened.
    buffer : numpy.ndarray or None
        Room that may be used again.

    Returns
    -------
    windows : Windows
        Of the files that were kept, row after row.
    kept : list of int
        Their positions in `locations`. All others, also those that could not be opened, are for
        the reader that takes one file at a time.
    count : int
        Bytes read.
    """
    room = Windows.empty(len(locations), buffer)
    kept: list[int] = []
    count = 0
    row = room.row(0)
    for number, location, called in zip(itertools.count(), locations, numbers, strict=False):
        if location is None:
            continue
        begin(called)
        try:
            handle = os.open(location, READ_FLAGS)
        except OSError:
            continue
        try:
            found = read_into(handle, 0, row)
        except OSError:
            continue
        finally:
            os.close(handle)
        count += found
        if row[_PREFIX_AT] == _PREFIX and found > _PREFIX_AT.stop:
            spot = len(kept)
            room.filled[spot] = found
            room.whole[spot] = found < WINDOW
            kept.append(number)
            row = room.row(spot + 1)
    return room.first(len(kept)), kept, count


def place_columns(
    manifest: pa.Table, roots: tuple[str, ...], numbers: Sequence[int], shown_as: Shown = HERE
) -> pa.Table | None:
    """Return the place columns of loose files, all at once.

    Parameters
    ----------
    manifest : pyarrow.Table
        Rows of `dcmdask.tables.schema.MANIFEST`.
    roots : tuple of str
        Names of the source roots, by number.
    numbers : sequence of int
        What each row is called.
    shown_as : Shown
        How all the rows are named.

    Returns
    -------
    pyarrow.Table or None
        None where a path needs more care than columns can give: bytes that are no UTF-8, or
        another separator than ``/``.
    """
    if os.sep != "/" and shown_as.container is None:
        return None
    try:
        location = manifest["location"].cast(pa.string())
    except pa.ArrowInvalid:
        return None
    path = manifest["path"]
    root = pa.array(roots).take(manifest["root"].combine_chunks())
    parent = pc.replace_substring_regex(path, r"(?s)/?[^/]*$", "")
    below = pc.binary_join_element_wise(root, parent, "/")
    columns = {
        "url": pc.binary_join_element_wise(shown_as.before, location, ""),
        "case": manifest["case"],
        "path": path,
        "folder": pc.if_else(pc.equal(parent, ""), root, below),
        "file_name": pc.replace_substring_regex(path, r"(?s)^.*/", ""),
        "archive": pa.nulls(manifest.num_rows, pa.string()),
        "size": manifest["size"],
        "modified": manifest["modified"].cast(INSTANT),
        "etag": manifest["etag"] if shown_as.has_tags else pa.nulls(manifest.num_rows, pa.string()),
        "row": pa.array(numbers, ROW.type),
    }
    return pa.table(columns, schema=_PLACE_SCHEMA)


def place_table(places: list[Place]) -> pa.Table:
    """Return places as columns."""
    columns: dict[str, list[Any]] = {
        name: [getattr(place, name) for place in places] for name in _PLACE_SCHEMA.names
    }
    return pa.table(columns, schema=_PLACE_SCHEMA)
