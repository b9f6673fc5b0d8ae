"""Take entries of a listing; keep them in pieces, and give the rows of a partition back.

Only one piece is held at a time.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa

from dcmdask.errors import OutputError
from dcmdask.schema import MANIFEST
from dcmdask.types import Partition
from dcmdask.writing import writing

PIECE_ROWS = 4_096
"""Manifest rows after which a piece is written, where the next partition ends: what the driver holds
of a listing, and what a reader waits for."""

_BATCH_ROWS = 1_000


class PieceWriter:
    """Writes the manifest in pieces, so that no more than one of them is held.

    Parameters
    ----------
    folder : pathlib.Path
        Where pieces go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: list[tuple[Any, ...]] = []
        self._pieces = 0

    @property
    def rows(self) -> int:
        """Rows that are held."""
        return len(self._rows)

    def add(self, row: tuple[Any, ...]) -> None:
        """Add one row of `dcmdask.schema.MANIFEST`."""
        self._rows.append(row)

    def flush(self) -> Path:
        """Write what is held as a piece; give its path."""
        path = self._folder / f"{self._pieces:05d}.arrow"
        columns = dict(zip(MANIFEST.names, zip(*self._rows, strict=True), strict=True))
        table = pa.table({name: list(c) for name, c in columns.items()}, schema=MANIFEST)
        with (
            writing(path),
            pa.OSFile(str(path), "wb") as sink,
            pa.ipc.new_file(sink, MANIFEST) as writer,
        ):
            writer.write_table(table, max_chunksize=_BATCH_ROWS)
        self._rows = []
        self._pieces += 1
        return path


def read_manifest(partition: Partition) -> pa.Table:
    """Give the manifest rows of a partition; reads only the batches that hold them.

    Raises
    ------
    OutputError
        The manifest is not there: on a cluster, where OUT is not seen by every worker.
    """
    if not os.path.exists(partition.piece):
        remedy = "OUT must lie where every worker sees it, and stay until the run ends"
        raise OutputError(partition.piece, "the manifest is not there", remedy)
    first, last = partition.start // _BATCH_ROWS, (partition.stop - 1) // _BATCH_ROWS
    with pa.memory_map(partition.piece) as source, pa.ipc.open_file(source) as reader:
        batches = [reader.get_batch(number) for number in range(first, last + 1)]
        table = pa.Table.from_batches(batches, schema=MANIFEST)
        begin = first * _BATCH_ROWS
        return table.slice(partition.start - begin, partition.stop - partition.start)
