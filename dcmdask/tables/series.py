"""Take instances; give the rows of `crawl_db`, whatever the order they come in.

Sorting finds the representative of every series, the first of its rows; what varies is what differs
from the representative. Rows themselves are not moved: only their positions are sorted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.dicom.values import INTEGER, TEXT, TEXTS
from dcmdask.table_types import DescribedTable, InstancesTable, MergedTable, WholeTable
from dcmdask.tables.arrow import Array, Column, values_of
from dcmdask.tables.factorize import (
    Codes,
    codes_of,
    count_distinct,
    first_rows,
    rows_with,
    starts_of,
)
from dcmdask.tables.schema import CRAWL_DB, DEFAULT_SUBSERIES, KEY, VARYING, in_archive

COLUMNS = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "AcquisitionNumber",
    "InstanceNumber",
    "SOPInstanceUID",
    "path",
    "url",
    "folder",
    "case",
    *VARYING,
)
"""Columns of the instances that the merge needs."""

_RANK = ("InstanceNumber", "SOPInstanceUID", "path", "url")
"""By path before URL: the same files give the same catalog, in a folder and in a bucket."""

_LATER = ("ReferencedModality", "ReferencedSeriesUID")

MERGED = pa.schema(
    [
        *(field for field in CRAWL_DB if field.name not in _LATER),
        pa.field("case", TEXT),
        pa.field("folder", TEXT),
        pa.field("archived", pa.bool_()),
    ]
)
"""A merged series: `dcmdask.tables.schema.CRAWL_DB` without what is resolved later, and where it lies.

Its folder is on disk wherever any of its instances is, as other tools open no member of an archive.
"""

WHOLE = pa.schema([*MERGED, ("series_instances", INTEGER)])
"""A merged series, and the instances that it has in all its acquisitions together."""

COUNTED = (*KEY[:3], "SOPInstanceUID")
"""Columns of the instances that `with_whole_series` needs."""


def with_subseries(instances: InstancesTable) -> InstancesTable:
    """Return the instances that belong to a series, with their SubSeries."""
    kept = rows_with(instances, "SeriesInstanceUID")
    sub = pc.fill_null(kept["AcquisitionNumber"], DEFAULT_SUBSERIES)
    return kept.append_column("SubSeries", sub)


def representatives(instances: InstancesTable) -> npt.NDArray[np.int64]:
    """Return the position of the least instance of every series.

    Parameters
    ----------
    instances : pyarrow.Table
        At least `dcmdask.tables.schema.KEY` with AcquisitionNumber for SubSeries, and what the
        representative is the least of; in any order.
    """
    needed = instances.select([*KEY[:3], "AcquisitionNumber", *_RANK])
    rows = with_subseries(needed.append_column("_row", pa.array(np.arange(needed.num_rows))))
    _, chosen = _grouped(rows)
    spots: npt.NDArray[np.int64] = rows["_row"].take(pa.array(chosen)).to_numpy()
    return spots


def merge_series(instances: InstancesTable, described: DescribedTable) -> MergedTable:
    """Merge instances into series.

    Parameters
    ----------
    instances : pyarrow.Table
        `COLUMNS` of all instances of some series, in any order.
    described : pyarrow.Table
        `dcmdask.tables.schema.DESCRIBED`; holds at least every representative.

    Returns
    -------
    pyarrow.Table
        `MERGED`: a row a series, sorted by `dcmdask.tables.schema.KEY`; ``case`` of the representative,
        ``folder`` the first, but one in an archive (``archived``) only where all are.
    """
    rows = with_subseries(instances)
    group, chosen = _grouped(rows)
    if not len(chosen):
        return MergedTable(MERGED.empty_table())
    first = rows.take(pa.array(chosen))
    folders, least, archived = _folders(rows, group)
    columns: dict[str, Any] = {name: first[name] for name in KEY}
    columns |= _deep_columns(first, described)
    columns["instance_count"] = count_distinct(rows["SOPInstanceUID"], group, len(chosen))
    columns["folders"] = folders
    columns["representative_url"] = first["url"]
    columns["varying"] = _varying(rows, group, chosen)
    columns["case"] = first["case"]
    columns["folder"] = least
    columns["archived"] = archived
    return MergedTable(pa.table({name: columns[name] for name in MERGED.names}, MERGED))


def merge_pieces(
    pieces: Callable[[], Iterator[InstancesTable]], described: DescribedTable
) -> MergedTable:
    """Merge series whose instances come in pieces, for those too large to be held.

    Every piece is merged together with the representatives of all, which is what its rows are
    compared with; then counts, folders and what varies are put together.

    Parameters
    ----------
    pieces : callable
        Gives `COLUMNS` of some instances at a time, as often as it is called; those of one series
        and one SOPInstanceUID in one piece.
    described : pyarrow.Table
        As for `merge_series`.

    Returns
    -------
    pyarrow.Table
        What `merge_series` would give of all pieces.
    """
    few = (piece.take(pa.array(representatives(piece))) for piece in pieces())
    least = InstancesTable(pa.concat_tables(few))
    least = least.take(pa.array(representatives(least)))
    merged = [
        merge_series(InstancesTable(pa.concat_tables([piece, least])), described)
        for piece in pieces()
    ]
    counts = np.sum([one["instance_count"].to_numpy() for one in merged], axis=0)
    # A representative was counted with every piece.
    named = pc.is_valid(least["SOPInstanceUID"]).to_numpy(zero_copy_only=False)
    folders = _united([one["folders"] for one in merged])
    varying = [
        [name for name in VARYING if name in found]
        for found in _united([one["varying"] for one in merged])
    ]
    columns: dict[str, Any] = dict(zip(MERGED.names, merged[0].columns, strict=True))
    columns["instance_count"] = counts - named * (len(merged) - 1)
    columns["folders"] = folders
    columns["varying"] = varying
    places = [min(own) for own in zip(*map(_places, merged), strict=True)]
    columns["archived"] = [archived for archived, _ in places]
    columns["folder"] = [folder for _, folder in places]
    return MergedTable(pa.table(columns, MERGED))


def _places(merged: MergedTable) -> list[tuple[bool, str]]:
    return list(zip(values_of(merged["archived"]), values_of(merged["folder"]), strict=True))


def with_whole_series(
    merged: MergedTable, pieces: Callable[[], Iterator[InstancesTable]]
) -> WholeTable:
    """Count the instances of series over all their acquisitions, of which one may be in two.

    Parameters
    ----------
    merged : pyarrow.Table
        `MERGED`.
    pieces : callable
        Gives `COUNTED` of the instances of these series; those of one SOPInstanceUID in one piece.

    Returns
    -------
    pyarrow.Table
        `WHOLE`.
    """
    keys = merged.select(KEY[:3])
    series = codes_of(*keys.columns)
    counts = merged["instance_count"]
    if len(first_rows(series)) < len(series):
        total = np.zeros(len(series), np.int64)
        for rows in pieces():
            both = pa.concat_tables([keys, rows.select(KEY[:3])])
            group = codes_of(*both.columns)[len(series) :]
            total += count_distinct(rows["SOPInstanceUID"], group, len(total))
        counts = pa.chunked_array([total[series]])
    return WholeTable(merged.append_column("series_instances", counts))


def _united(columns: list[Column]) -> list[list[str]]:
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    return [sorted(set().union(*lists)) for lists in rows]


def _grouped(rows: InstancesTable) -> tuple[Codes, Codes]:
    """Return the series of each row, numbered in order of key, and the least row of each series."""
    keys = [(name, "ascending") for name in (*KEY, *_RANK)]
    order = pc.sort_indices(rows, sort_keys=keys).to_numpy()
    starts = starts_of(codes_of(*(rows[name] for name in KEY))[order])
    sizes = np.diff(starts, append=len(order))
    group = np.empty(len(order), np.int64)
    group[order] = np.repeat(np.arange(len(starts)), sizes)
    return group, order[starts]


def _varying(rows: InstancesTable, group: Codes, chosen: Codes) -> Array:
    """Name, for every series, the attributes that are not the same in all its instances."""
    found: list[list[str]] = [[] for _ in chosen]
    for name in VARYING:
        codes = codes_of(rows[name])
        differs = codes != codes[chosen][group]
        for number in np.flatnonzero(np.bincount(group[differs])):
            found[number].append(name)
    return pa.array(found, TEXTS)


def _folders(rows: InstancesTable, group: Codes) -> tuple[Array, Array, Array]:
    """List the folders of every group, each once, sorted; give one of each, and if it is archived."""
    places = rows.select(["folder", "path", "url"])
    first = first_rows(codes_of(group, places["folder"]))
    places = places.take(pa.array(first))
    pairs = pa.table(
        {"group": group[first], "folder": places["folder"], "archived": in_archive(places)}
    )
    pairs = pairs.sort_by([("group", "ascending"), ("folder", "ascending")])
    starts = np.concatenate([[0], np.cumsum(np.bincount(pairs["group"].to_numpy()))])
    folders = pa.ListArray.from_arrays(pa.array(starts, pa.int32()), _one(pairs["folder"]))
    pairs = pairs.sort_by([(name, "ascending") for name in ("group", "archived", "folder")])
    least = pairs.take(pa.array(starts[:-1]))
    return folders, _one(least["folder"]), _one(least["archived"])


def _one(column: Array | Column) -> Array:
    if not isinstance(column, pa.ChunkedArray):
        return column
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _deep_columns(first: InstancesTable, described: DescribedTable) -> dict[str, Any]:
    """Return the deep metadata of representatives, in their order."""
    wanted = identity_of(first)
    spots = pc.index_in(wanted, value_set=identity_of(described))
    rows = described.take(spots)
    return {name: rows[name] for name in described.column_names if name not in (*KEY, "url")}


def identity_of(table: InstancesTable | DescribedTable) -> Array:
    """Return what tells one described instance from another: URL and `dcmdask.tables.schema.KEY`.

    With the whole key: members of an archive may share a name.
    """
    keys = (pc.fill_null(table[name].cast(pa.string()), "") for name in KEY)
    return _one(pc.binary_join_element_wise(table["url"], *keys, "\n"))
