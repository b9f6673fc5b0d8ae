"""Take the instances of a crawl in any order; give the rows of its case tables, by ranges.

What many files are one row of is never held, nor sorted: of every piece of the instances those stay
that a row takes a value from, and these are reduced again. So a case of ten million loose files
costs as many rows here as the crawl has pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.assemble.spill import Key, Shelf, Stream, sort_text
from dcmdask.table_types import (
    CaseRowsTable,
    CaseSeriesTable,
    CountsTable,
    FirstsTable,
    InstancesTable,
)
from dcmdask.tables import cases

Ranges = Callable[[str, Mapping[str, Stream], Key], Iterator[dict[str, Stream]]]
"""Takes a name, streams and a key; gives the ranges of the key."""


def case_row_ranges(
    instances: Stream,
    project_ids: Mapping[str, int],
    ranges: Ranges,
    scratch: Callable[[str], Path],
    *,
    by_file: bool,
    most: int,
) -> Iterator[CaseRowsTable]:
    """Yield `dcmdask.tables.schema.CASE_ROWS`, sorted by ProjectID, FileName, path over all ranges.

    Parameters
    ----------
    instances : Stream
        `dcmdask.tables.cases.COLUMNS` of all instances.
    project_ids : mapping
        ProjectID of every case.
    ranges : callable
        How streams are cut.
    scratch : callable
        Gives a folder by a name.
    by_file : bool
        Whether every loose file is a row.
    most : int
        Rows that are held.
    """
    if instances.rows <= most:
        yield cases.build_case_rows(InstancesTable(instances.table()), project_ids, by_file=by_file)
        return

    def key_of(rows: Any) -> Any:
        return sort_text(*cases.row_keys(rows, project_ids, by_file=by_file))

    firsts, series = _reduced(instances, scratch, by_file=by_file, most=most)
    streams = {"firsts": firsts, "counts": _counted(series, ranges, scratch, most)}
    streams["loose"] = _loose(instances) if by_file else Stream.of(cases.FIRSTS.empty_table())
    for one in ranges("cases", streams, Key(cases.PLACE_COLUMNS, key_of)):
        few = _folded(one["firsts"].read(cases.FIRSTS.names), most)
        yield cases.join_case_rows(
            few,
            CountsTable(one["counts"].table()),
            FirstsTable(one["loose"].table()),
            project_ids,
        )


def _reduced(
    instances: Stream, scratch: Callable[[str], Path], *, by_file: bool, most: int
) -> tuple[Stream, Stream]:
    """Reduce the instances piece by piece; give what rows take values from, and their series."""
    firsts = Shelf(scratch("firsts"), cases.FIRSTS, most)
    series = Shelf(scratch("case-series"), cases.SERIES, most)
    for piece in _pieces(instances.read(cases.COLUMNS), instances.schema, most):
        rows = cases.with_ages(InstancesTable(piece))
        joint = cases.parted(rows)[0] if by_file else rows
        firsts.put(cases.first_values(joint))
        series.put(cases.series_of(joint))
    return firsts.stream(), series.stream()


def _pieces(batches: Iterable[pa.RecordBatch], schema: pa.Schema, most: int) -> Iterator[pa.Table]:
    """Yield all rows in pieces of so many or a little more: what is reduced together stays less."""
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        held.append(batch)
        rows += batch.num_rows
        if rows >= most:
            yield pa.Table.from_batches(held, schema)
            held, rows = [], 0
    yield pa.Table.from_batches(held, schema)


def _counted(series: Stream, ranges: Ranges, scratch: Callable[[str], Path], most: int) -> Stream:
    """Count the series of every row: a series of a row lies in one range."""
    counts = Shelf(scratch("case-counts"), cases.COUNTS, most)
    for one in ranges(
        "case-ranges", {"series": series}, Key.by("case", "archive", "SeriesInstanceUID")
    ):
        counts.put(cases.count_series(CaseSeriesTable(one["series"].table())))
    return counts.stream()


def _loose(instances: Stream) -> Stream:
    """Return the loose files among the instances."""

    def read(columns: Any) -> Iterator[pa.RecordBatch]:
        for batch in instances.read(cases.COLUMNS):
            loose = batch.filter(pc.is_null(batch["archive"]))
            rows = cases.with_ages(InstancesTable(pa.Table.from_batches([loose])))
            yield from rows.select(list(columns)).to_batches()

    return Stream(cases.FIRSTS, instances.rows, read)


def _folded(batches: Iterable[pa.RecordBatch], most: int) -> FirstsTable:
    """Reduce some batches, few at a time: a row of a crawl of many pieces has many."""
    folded = FirstsTable(cases.FIRSTS.empty_table())
    for piece in _pieces(batches, cases.FIRSTS, most):
        folded = cases.first_values(FirstsTable(pa.concat_tables([folded, piece])))
    return folded
