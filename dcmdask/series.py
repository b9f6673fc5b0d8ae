"""Take instances; give the rows of `crawl_db`, whatever the order they come in.

Grouping is by sorting: every row of a series sits beside the others, the representative first, and
what varies shows between neighbours.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.schema import CRAWL_DB, DEFAULT_SUBSERIES, KEY, VARYING
from dcmdask.values import INTEGER, NUMBERS, TEXTS

COLUMNS = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "AcquisitionNumber",
    "InstanceNumber",
    "SOPInstanceUID",
    "url",
    "folder",
    "case",
    *VARYING,
)
"""Columns of the instances that the merge needs."""

_RANK = ("InstanceNumber", "SOPInstanceUID", "url")
_MERGED_EXTRA = ("case", "folder")

Flags = npt.NDArray[np.bool_]


def with_subseries(instances: pa.Table) -> pa.Table:
    """Give the instances that belong to a series, with their SubSeries."""
    kept = instances.filter(pc.is_valid(instances["SeriesInstanceUID"]))
    sub = pc.fill_null(kept["AcquisitionNumber"], DEFAULT_SUBSERIES)
    return kept.append_column("SubSeries", sub)


def representatives(instances: pa.Table) -> npt.NDArray[np.int64]:
    """Give the position of the least instance of every series.

    Parameters
    ----------
    instances : pyarrow.Table
        At least `dcmdask.schema.KEY` with AcquisitionNumber for SubSeries, and what the
        representative is the least of; in any order.
    """
    numbered = instances.append_column("_row", pa.array(np.arange(instances.num_rows)))
    rows = with_subseries(numbered).select([*KEY, *_RANK, "_row"])
    order = pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in (*KEY, *_RANK)])
    rows = rows.take(order).combine_chunks()
    chosen: npt.NDArray[np.int64] = rows["_row"].to_numpy()[_starts(rows)]
    return chosen


def merge_series(instances: pa.Table, described: pa.Table) -> pa.Table:
    """Merge instances into series.

    Parameters
    ----------
    instances : pyarrow.Table
        `COLUMNS` of all instances of some series, in any order.
    described : pyarrow.Table
        `dcmdask.schema.DESCRIBED`; holds at least every representative.

    Returns
    -------
    pyarrow.Table
        A row a series, sorted by `dcmdask.schema.KEY`: `dcmdask.schema.CRAWL_DB` without what is
        resolved later, and ``case`` and ``folder`` of the representative and of the series.
    """
    rows = with_subseries(instances)
    order = pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in (*KEY, *_RANK)])
    rows = rows.take(order).combine_chunks()
    starts = _starts(rows)
    if not len(starts):
        return _merged_schema().empty_table()
    group = np.repeat(np.arange(len(starts)), np.diff([*starts, rows.num_rows]))
    first = rows.take(pa.array(starts))
    folders = _folders(rows, group)
    columns: dict[str, Any] = {name: first[name] for name in KEY}
    columns |= _deep_columns(first, described)
    columns["instance_count"] = _distinct(rows["SOPInstanceUID"], group, len(starts))
    columns["folders"] = folders
    columns["representative_url"] = first["url"]
    columns["varying"] = _varying(rows, starts)
    columns["case"] = first["case"]
    columns["folder"] = pc.list_element(folders, 0)
    return pa.table({name: columns[name] for name in _merged_schema().names}, _merged_schema())


def _merged_schema() -> pa.Schema:
    later = ("ReferencedModality", "ReferencedSeriesUID")
    fields = [field for field in CRAWL_DB if field.name not in later]
    return pa.schema([*fields, *((name, pa.string()) for name in _MERGED_EXTRA)])


def _starts(rows: pa.Table) -> list[int]:
    """Give the positions at which a series begins, rows being sorted by key."""
    if not rows.num_rows:
        return []
    changed = np.logical_or.reduce([_changes(rows[name]) for name in KEY])
    return [0, *(np.flatnonzero(changed) + 1).tolist()]


def _changes(column: pa.ChunkedArray) -> Flags:
    """Tell for every row but the first whether it differs from the one before; null is a value."""
    values = _comparable(column)
    before, after = values.slice(0, len(values) - 1), values.slice(1)
    differ = pc.fill_null(pc.not_equal(before, after), False)
    appear = pc.xor(pc.is_null(before), pc.is_null(after))
    return cast(Flags, pc.or_(differ, appear).to_numpy(zero_copy_only=False))


def _comparable(column: pa.ChunkedArray) -> pa.Array:
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    if pa.types.is_list(values.type):
        # Lists have no equality in Arrow; their text has. An empty value among others is one too,
        # and zero has one sign.
        items = pc.add(values.flatten(), 0) if values.type == NUMBERS else values.flatten()
        text = pc.fill_null(pc.cast(items, pa.string()), "")
        lengths = pc.fill_null(pc.list_value_length(values), 0)
        offsets = np.concatenate([[0], np.cumsum(lengths.to_numpy(zero_copy_only=False))])
        lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), text)
        return pc.if_else(pc.is_null(values), None, pc.binary_join(lists, "\\"))
    return values


def _varying(rows: pa.Table, starts: list[int]) -> pa.Array:
    """Name, for every series, the attributes that are not the same in all its instances."""
    inner = np.ones(rows.num_rows, dtype=bool)
    inner[starts] = False
    found: list[list[str]] = [[] for _ in starts]
    for name in VARYING:
        differs = np.zeros(rows.num_rows, dtype=bool)
        differs[1:] = _changes(rows[name])
        differs &= inner
        for number in np.flatnonzero(np.logical_or.reduceat(differs, starts)):
            found[number].append(name)
    return pa.array(found, TEXTS)


def _distinct(column: pa.ChunkedArray, group: npt.NDArray[np.int64], groups: int) -> pa.Array:
    """Count the distinct values of every group; null is none."""
    pairs = pa.table({"group": group, "value": column})
    counted = pairs.group_by("group").aggregate(
        [("value", "count_distinct", pc.CountOptions(mode="only_valid"))]
    )
    counts = np.zeros(groups, dtype=np.int64)
    counts[counted["group"].to_numpy()] = counted["value_count_distinct"].to_numpy()
    return pa.array(counts, INTEGER)


def _folders(rows: pa.Table, group: npt.NDArray[np.int64]) -> pa.Array:
    """List the folders of every group, each once, sorted."""
    pairs = pa.table({"group": group, "folder": rows["folder"]})
    distinct = pairs.group_by(["group", "folder"]).aggregate([])
    distinct = distinct.sort_by([("group", "ascending"), ("folder", "ascending")])
    sizes = np.bincount(distinct["group"].to_numpy())
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    values = distinct["folder"].combine_chunks()
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), _one(values))


def _one(column: Any) -> pa.Array:
    if not isinstance(column, pa.ChunkedArray):
        return column
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _deep_columns(first: pa.Table, described: pa.Table) -> dict[str, Any]:
    """Give the deep metadata of representatives, in their order."""
    wanted = _identity(first)
    spots = pc.index_in(wanted, value_set=_identity(described))
    rows = described.take(spots)
    return {name: rows[name] for name in described.column_names if name not in (*KEY, "url")}


def _identity(table: pa.Table) -> pa.Array:
    """Give what tells one described instance from another: its place and its series."""
    series = pc.fill_null(table["SeriesInstanceUID"], "")
    return _one(pc.binary_join_element_wise(table["url"], series, "\n"))


def series_ranges(counts: dict[str, int], largest: int) -> list[tuple[str, str]]:
    """Cut the series, in order of UID, into ranges of at most so many instances.

    Parameters
    ----------
    counts : dict
        Instances of every SeriesInstanceUID.
    largest : int
        Instances of one range; a series that is larger is a range by itself.

    Returns
    -------
    list of (str, str)
        First and last SeriesInstanceUID of each range.

    Examples
    --------
    >>> series_ranges({"1.2": 4, "1.3": 5, "1.1": 3}, 7)
    [('1.1', '1.2'), ('1.3', '1.3')]
    """
    ranges: list[tuple[str, str]] = []
    held = 0
    for uid in sorted(counts):
        if ranges and held + counts[uid] <= largest:
            ranges[-1] = (ranges[-1][0], uid)
            held += counts[uid]
        else:
            ranges.append((uid, uid))
            held = counts[uid]
    return ranges
