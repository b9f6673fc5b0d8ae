"""Take entries of a listing; keep them in pieces, and give the rows of a partition back.

Only one piece is held at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from dcmdask.config import AS_USUAL, RemoteOptions
from dcmdask.errors import OutputError
from dcmdask.remote.address import is_url
from dcmdask.state.folder import Folder, StoreFolder, home_of, keep, read_whole
from dcmdask.system.modes import private_file
from dcmdask.system.writing import writing
from dcmdask.table_types import ManifestTable
from dcmdask.tables.schema import MANIFEST
from dcmdask.types import Partition

PIECE_ROWS = 4_096
"""Manifest rows after which a piece is written, where the next partition ends: what the driver holds
of a listing, and what a reader waits for."""

_BATCH_ROWS = 1_000


class PieceWriter:
    """Writes the manifest in pieces, so that no more than one of them is held.

    Parameters
    ----------
    folder : Folder
        Where pieces go.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._rows: list[tuple[Any, ...]] = []
        self._pieces = 0

    @property
    def rows(self) -> int:
        """Rows that are held."""
        return len(self._rows)

    def add(self, row: tuple[Any, ...]) -> None:
        """Add one row of `dcmdask.tables.schema.MANIFEST`."""
        self._rows.append(row)

    def flush(self) -> str:
        """Write what is held as a piece; give its path or URL."""
        name = f"{self._pieces:05d}.arrow"
        path = home_of(self._folder) / name
        columns = dict(zip(MANIFEST.names, zip(*self._rows, strict=True), strict=True))
        table = pa.table({name: list(c) for name, c in columns.items()}, schema=MANIFEST)
        with (
            writing(path),
            pa.OSFile(str(private_file(path)), "wb") as sink,
            pa.ipc.new_file(sink, MANIFEST) as writer,
        ):
            writer.write_table(table, max_chunksize=_BATCH_ROWS)
        self._rows = []
        self._pieces += 1
        if isinstance(self._folder, StoreFolder):
            keep(self._folder, [name])
            return f"{self._folder.url}/{name}"
        return str(path)


def read_manifest(partition: Partition, options: RemoteOptions = AS_USUAL) -> ManifestTable:
    """Return the manifest rows of a partition; reads only the batches that hold them.

    Parameters
    ----------
    partition : Partition
        Which.
    options : RemoteOptions
        How its piece is reached, where that is in a store.

    Raises
    ------
    OutputError
        The manifest is not there: on a cluster, where OUT is not seen by every worker.
    """
    return _rows(partition.piece, partition.start, partition.stop, options)


def read_beside(partition: Partition, options: RemoteOptions = AS_USUAL) -> ManifestTable:
    """Return the manifest rows that are read for the names in them only; as `read_manifest`."""
    start, stop = partition.beside
    return (
        _rows(partition.piece, start, stop, options)
        if stop
        else ManifestTable(MANIFEST.empty_table())
    )


def _rows(piece: str, start: int, stop: int, options: RemoteOptions) -> ManifestTable:
    first, last = start // _BATCH_ROWS, (stop - 1) // _BATCH_ROWS
    with _piece(piece, options) as source, pa.ipc.open_file(source) as reader:
        batches = [reader.get_batch(number) for number in range(first, last + 1)]
        table = ManifestTable(pa.Table.from_batches(batches, schema=MANIFEST))
        return table.slice(start - first * _BATCH_ROWS, stop - start)


@contextmanager
def _piece(place: str, options: RemoteOptions) -> Iterator[Any]:
    if is_url(place):
        yield pa.BufferReader(read_whole(place, options))
        return
    if not os.path.exists(place):
        remedy = "OUT must lie where every worker sees it, and stay until the run ends"
        raise OutputError(place, "the manifest is not there", remedy)
    with pa.memory_map(place) as source:
        yield source
