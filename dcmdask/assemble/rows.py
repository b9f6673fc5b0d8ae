"""The rows that outputs are made of: what they are, and in which order they come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from dcmdask.assemble.spill import Stream
from dcmdask.dicom.values import TEXTS
from dcmdask.formats import imgtools
from dcmdask.tables import references, schema, series


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """A table that may be larger than memory: it comes piece by piece.

    Attributes
    ----------
    schema : pyarrow.Schema
        Of every piece.
    key : tuple of str
        Columns that the pieces are ranges of, in order: rows that are equal in them are in one piece.
    """

    schema: pa.Schema
    key: tuple[str, ...]


INSTANCES = Rows(schema.INSTANCES, ("url", "SOPInstanceUID"))
"""All instances, sorted. Of their columns only those come that an output takes."""

PARTS = Rows(schema.INSTANCES, ())
"""All instances as the parts hold them: for what publishes those as they are. No piece comes."""

NAMED_INSTANCES = Rows(
    pa.schema([schema.INSTANCES.field(name) for name in references.TARGET_COLUMNS]),
    ("SOPInstanceUID",),
)
"""Instances that have a SOPInstanceUID, at every place; in a piece in any order."""

SERIES = Rows(schema.CRAWL_DB, ("StudyInstanceUID", "SeriesInstanceUID"))
"""Merged series and what they refer to, sorted by `dcmdask.tables.schema.KEY`."""

INDEX = Rows(schema.INDEX, SERIES.key)
"""The same series, as the index has them."""

INDEX_LINES = Rows(imgtools.INDEX_ROWS, SERIES.key)
"""The same, a row each that a series refers to."""

SERIES_AND_INSTANCES = Rows(
    pa.schema(
        [*series.WHOLE, ("ReferencedModality", TEXTS), ("ReferencedSeriesUID", TEXTS)],
    ),
    ("SeriesInstanceUID",),
)
"""Series by UID, in a piece sorted as the others; their instances are `Piece.instances`."""

REFERENCES = Rows(schema.REFERENCES, ("SourceSOPInstanceUID",))
"""Resolved references."""

FAILURES = Rows(schema.FAILURES, ("url", "case", "path"))
"""Files and members that gave no instance, sorted by all columns."""

NOTES = Rows(schema.NOTES, ("url", "case", "path"))
"""What is there but not whole, sorted by all columns."""

CASES = Rows(schema.CASES, ("ProjectID",))
"""Cases, with counts, sorted; one piece."""

CASE_ROWS = Rows(schema.CASE_ROWS, ("ProjectID", "FileName", "path"))
"""Rows of the case tables, sorted."""

HIDDEN_CASE_ROWS = Rows(schema.CASE_ROWS, CASE_ROWS.key)
"""The same, with pseudonyms for the names of patients."""


class Piece:
    """Some of the rows, for all outputs that take them.

    Parameters
    ----------
    rows : pyarrow.Table
        Of the declared schema.
    instances : sequence of Stream
        Of `SERIES_AND_INSTANCES`: `dcmdask.formats.imgtools.INSTANCE_COLUMNS` of the instances of
        these series, in pieces where one series has more than are held.
    """

    def __init__(self, rows: pa.Table, instances: Sequence[Stream] = ()) -> None:
        self.rows = rows
        self.instances = instances
        self._rendered: dict[tuple[Any, ...], Any] = {}

    def rendered(self, render: Callable[..., Any], *words: Any) -> Any:
        """Return what a function makes of the rows: once, for all outputs that ask for the same."""
        key = (render, *words)
        if key not in self._rendered:
            self._rendered[key] = render(self.rows, *words)
        return self._rendered[key]
