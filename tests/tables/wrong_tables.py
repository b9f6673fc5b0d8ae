"""Calls with the wrong table, for mypy and never run: it is told to pass over what it must refuse.

An error that is not there any more is one itself (``warn_unused_ignores``), and ends the checks.
"""

from __future__ import annotations

from dcmdask.formats.imgtools import index_rows, render_sop_map
from dcmdask.table_types import (
    DescribedTable,
    FirstsTable,
    FoundTable,
    IndexTable,
    InstancesTable,
    ListedTable,
    NotedTable,
    NumberedTable,
    ResolvedTable,
    SeriesTable,
    WholeTable,
)
from dcmdask.tables import cases, index, notes, references, series
from dcmdask.tables.privacy.tables import Names
from dcmdask.types import HeaderTables


def merging(instances: InstancesTable, described: DescribedTable) -> None:
    """Of instances and what describes them."""
    series.merge_series(3, described)  # type: ignore[arg-type]
    series.merge_series(instances, "no table")  # type: ignore[arg-type]
    series.merge_series(described, described)  # type: ignore[arg-type]
    series.merge_series(instances, instances.select(["url"]))  # type: ignore[arg-type]
    index.with_references(series.merge_series(instances, described), {})  # type: ignore[arg-type]


def indexing(whole: WholeTable, merged: SeriesTable, resolved: ResolvedTable) -> None:
    """Of series before and after their references are known."""
    index.build_index(whole, {})  # type: ignore[arg-type]
    index.build_crawl_db(resolved)  # type: ignore[arg-type]
    index.with_references(resolved, {})  # type: ignore[arg-type]
    index_rows(merged)  # type: ignore[arg-type]
    references.published(merged)  # type: ignore[arg-type]


def resolving(listed: ListedTable, named: NumberedTable, found: FoundTable) -> None:
    """Of references on their way."""
    references.count_found(listed, found)  # type: ignore[arg-type]
    references.Resolver(found, named, found)  # type: ignore[arg-type]
    references.referred_series(named)  # type: ignore[arg-type]


def others(instances: InstancesTable, lines: IndexTable, firsts: FirstsTable) -> None:
    """Of the tables that hang on no other."""
    cases.build_case_rows(firsts, {})  # type: ignore[arg-type]
    cases.desensitized(lines)  # type: ignore[arg-type]
    notes.instances_of_each(instances)  # type: ignore[arg-type]
    render_sop_map(lines, [])  # type: ignore[arg-type]
    Names(lines)  # type: ignore[arg-type]


def read(tables: HeaderTables, noted: NotedTable) -> None:
    """Of what a partition's windows gave."""
    series.representatives(tables.described)  # type: ignore[arg-type]
    notes.published(tables.references, noted["url"].combine_chunks())  # type: ignore[arg-type]
