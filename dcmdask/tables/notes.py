"""Take notes as partitions made them; return them as they are published, and count instances."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.table_types import NotedTable, NotesTable
from dcmdask.tables.arrow import Array, values_of
from dcmdask.tables.schema import NOTES

_INSTANCE = ("url", "case", "path", "note")


def urls_of_series(noted: pa.RecordBatch) -> Array:
    """Return the URLs of instances of which something counts only if they are representatives."""
    urls: Array = pc.unique(noted["url"].filter(noted["of_series"]))
    return urls


def published(noted: NotedTable, representatives: Array) -> NotesTable:
    """Return `dcmdask.tables.schema.NOTES`, sorted by all of its columns.

    Parameters
    ----------
    noted : pyarrow.Table
        `dcmdask.tables.schema.NOTED`.
    representatives : pyarrow.Array
        URLs of at least the representatives that `urls_of_series` names.
    """
    chosen = pc.is_in(noted["url"], value_set=representatives)
    said = noted.filter(pc.or_(pc.invert(noted["of_series"]), chosen)).select(NOTES.names)
    return NotesTable(said.sort_by([(name, "ascending") for name in NOTES.names]))


def instances_of_each(notes: NotesTable) -> Counter[str]:
    """Count the instances that have a note of each kind; all notes of an instance are here."""
    once = notes.select(_INSTANCE).group_by(list(_INSTANCE)).aggregate([])
    return Counter(values_of(once["note"]))
