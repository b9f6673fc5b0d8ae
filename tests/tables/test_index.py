"""`crawl_db` and `index` are made of merged series and their targets."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from dcmdask.tables.index import build_crawl_db, build_index, with_references
from dcmdask.tables.schema import CRAWL_DB, INDEX, table_of

_LATER = ("ReferencedModality", "ReferencedSeriesUID")
_MERGED = pa.schema(
    [
        *(field for field in CRAWL_DB if field.name not in _LATER),
        ("case", pa.string()),
        ("folder", pa.string()),
        ("series_instances", pa.int64()),
    ]
)


def merged(*rows: dict[str, Any]) -> pa.Table:
    """Give merged series of one study, CT unless they say otherwise."""
    common = {"StudyInstanceUID": "1.2", "Modality": "CT", "SubSeries": 1, "case": "a"}
    return table_of([{**common, **row} for row in rows], _MERGED)


def test_series_get_their_targets_as_aligned_lists() -> None:
    """Both lists have one length; a series that refers to nothing has null, not an empty list."""
    series = merged(
        {"SeriesInstanceUID": "1.3"}, {"SeriesInstanceUID": "1.9", "Modality": "RTSTRUCT"}
    )
    targets = {("1.2", "1.9", "RTSTRUCT", 1): [("1.3", "CT"), ("1.4", ""), ("1.5", "PT")]}
    found = with_references(series, targets).select(["SeriesInstanceUID", *_LATER]).to_pylist()
    assert found == [
        {"SeriesInstanceUID": "1.3", "ReferencedModality": None, "ReferencedSeriesUID": None},
        {
            "SeriesInstanceUID": "1.9",
            "ReferencedModality": ["CT", None, "PT"],
            "ReferencedSeriesUID": ["1.3", "1.4", "1.5"],
        },
    ]


def test_targets_go_to_one_object_of_a_shared_series_uid() -> None:
    """The whole key decides: a CT is not given what the RTSTRUCT of its series UID refers to."""
    series = merged(
        {"SeriesInstanceUID": "1.3", "Modality": "RTSTRUCT"},
        {"SeriesInstanceUID": "1.3"},
        {"SeriesInstanceUID": "1.3", "SubSeries": 2},
    )
    targets = {("1.2", "1.3", "RTSTRUCT", 1): [("1.3", "CT")]}
    table = with_references(series, targets)
    expected = [("CT", 1, None), ("CT", 2, None), ("RTSTRUCT", 1, ["1.3"])]
    names = ("Modality", "SubSeries", "ReferencedSeriesUID")
    assert expected == [tuple(row.values()) for row in table.select(names).to_pylist()]


def test_rows_are_sorted_by_key() -> None:
    """Study, series, modality, SubSeries as a number; null last."""
    keys = [
        ("1.2", "1.3", "CT", 10),
        ("1.2", "1.3", "CT", 2),
        (None, "1.1", "CT", 1),
        ("1.1", "1.9", None, 1),
        ("1.1", "1.9", "CT", 1),
    ]
    names = ("StudyInstanceUID", "SeriesInstanceUID", "Modality", "SubSeries")
    table = with_references(merged(*(dict(zip(names, key, strict=True)) for key in keys)), {})
    expected = [keys[4], keys[3], keys[1], keys[0], keys[2]]
    assert expected == [tuple(row.values()) for row in table.select(names).to_pylist()]


def test_the_index_has_numbers_of_cases() -> None:
    """ProjectID is that of the series' case; `instances` its count; the schema is declared."""
    series = merged(
        {
            "SeriesInstanceUID": "1.3",
            "PatientID": "7",
            "instance_count": 4,
            "series_instances": 7,
            "folder": "in/a/x",
            "folders": ["in/a/x", "in/a/y"],
        },
        {"SeriesInstanceUID": "1.4", "case": "b", "instance_count": 1},
    )
    table = build_index(with_references(series, {}), {"a": 5, "b": 2})
    assert table.schema.equals(INDEX)
    assert table.to_pylist()[0] == {
        "PatientID": "7",
        "StudyInstanceUID": "1.2",
        "SeriesInstanceUID": "1.3",
        "Modality": "CT",
        "SubSeries": 1,
        "ReferencedModality": None,
        "ReferencedSeriesUID": None,
        "instances": 4,
        "folder": "in/a/x",
        "ProjectID": 5,
        "case": "a",
        "folders": ["in/a/x", "in/a/y"],
        "series_instances": 7,
    }
    assert table["ProjectID"].to_pylist() == [5, 2]


def test_the_crawl_db_has_the_declared_columns() -> None:
    """What only the index wants is left out; what a series does not have is null."""
    table = build_crawl_db(with_references(merged({"SeriesInstanceUID": "1.3", "Rows": 4}), {}))
    assert table.schema.equals(CRAWL_DB)
    row = table.to_pylist()[0]
    assert (row["SeriesInstanceUID"], row["Rows"], row["Columns"]) == ("1.3", 4, None)


def test_no_series_give_empty_tables() -> None:
    """A source without DICOM has tables of the declared shape."""
    series = with_references(merged(), {})
    assert build_index(series, {}).equals(INDEX.empty_table())
    assert build_crawl_db(series).equals(CRAWL_DB.empty_table())
