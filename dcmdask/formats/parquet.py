"""Take tables piece by piece; give one Parquet file, the same bytes however they were cut."""

from __future__ import annotations

from typing import BinaryIO, Self

import pyarrow as pa
import pyarrow.parquet as pq

ROWS_A_GROUP = 16_384
"""Rows of a row group: what is held of a table while it is written."""


class ParquetWriter:
    """Writes row groups of one size, whatever the size of the pieces.

    Parameters
    ----------
    stream : binary file
        Where to.
    schema : pyarrow.Schema
        Of the file; pieces are cast to it.
    """

    def __init__(self, stream: BinaryIO, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(stream, schema, compression="zstd")
        self._held = schema.empty_table()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_exception: object) -> None:
        if kind is None and self._held.num_rows:
            self._write(self._held)
        self._writer.close()

    def add(self, table: pa.Table) -> None:
        """Add rows behind those that are there."""
        self._held = pa.concat_tables([self._held, table.cast(self._schema)])
        while self._held.num_rows >= ROWS_A_GROUP:
            self._write(self._held.slice(0, ROWS_A_GROUP))
            self._held = self._held.slice(ROWS_A_GROUP)

    def _write(self, table: pa.Table) -> None:
        # In one piece: pages end where pieces do.
        self._writer.write_table(table.combine_chunks(), row_group_size=ROWS_A_GROUP)
