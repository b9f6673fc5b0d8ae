"""Take merged series and resolved references; give `crawl_db` and `index`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from dcmdask.dicom.values import TEXTS
from dcmdask.table_types import CrawlDbTable, IndexTable, SeriesTable, WholeTable
from dcmdask.tables.arrow import Order, values_of
from dcmdask.tables.schema import CRAWL_DB, INDEX, KEY

Targets = dict[tuple[Any, ...], list[tuple[str, str]]]
_ORDER: Order = [(name, "ascending") for name in KEY]


def with_references(series: WholeTable, targets: Targets) -> SeriesTable:
    """Return the merged series with the series each of them refers to.

    Parameters
    ----------
    series : pyarrow.Table
        From `dcmdask.tables.series.merge_series`.
    targets : dict
        `dcmdask.tables.schema.KEY` to sorted (SeriesInstanceUID, Modality) pairs.

    Returns
    -------
    pyarrow.Table
        Sorted by key; ``ReferencedSeriesUID`` and ``ReferencedModality`` are lists of one length,
        null where nothing is referred to.
    """
    series = series.sort_by(_ORDER)
    keys = zip(*(series[name].to_pylist() for name in KEY), strict=True)
    found = [targets.get(key) for key in keys]
    uids = [[uid for uid, _ in pairs] if pairs else None for pairs in found]
    # A target without Modality sorts as empty text; in a table what is missing is null.
    modalities = [[modality or None for _, modality in pairs] if pairs else None for pairs in found]
    series = series.append_column("ReferencedModality", pa.array(modalities, TEXTS))
    return SeriesTable(series.append_column("ReferencedSeriesUID", pa.array(uids, TEXTS)))


def build_crawl_db(series: SeriesTable) -> CrawlDbTable:
    """Return `dcmdask.tables.schema.CRAWL_DB` of what `with_references` gives."""
    return CrawlDbTable(series.select(CRAWL_DB.names).cast(CRAWL_DB))


def build_index(series: SeriesTable, project_ids: Mapping[str, int]) -> IndexTable:
    """Return `dcmdask.tables.schema.INDEX` of what `with_references` gives.

    Parameters
    ----------
    series : pyarrow.Table
        Merged series with their references.
    project_ids : mapping
        ProjectID of every case.
    """
    numbers = pa.array([project_ids[case] for case in values_of(series["case"])], pa.int64())
    table = series.append_column("ProjectID", numbers)
    table = table.rename_columns(
        ["instances" if name == "instance_count" else name for name in table.column_names]
    )
    return IndexTable(table.select(INDEX.names).cast(INDEX))
