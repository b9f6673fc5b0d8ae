"""Instances become series, whatever order and parts they come in."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import examples

from dcmdask.tables.schema import CRAWL_DB, DESCRIBED, INSTANCES, KEY, VARYING, table_of
from dcmdask.tables.series import (
    COLUMNS,
    merge_pieces,
    merge_series,
    representatives,
    with_subseries,
    with_whole_series,
)


def instance(sop: str | None = "1.1", number: int | None = 1, **values: Any) -> dict[str, Any]:
    """Give an instance row."""
    row = {
        "url": f"file:///{sop}",
        "case": "case",
        "folder": "in/case",
        "SOPInstanceUID": sop,
        "StudyInstanceUID": "study",
        "SeriesInstanceUID": "series",
        "Modality": "CT",
        "InstanceNumber": number,
        "PatientID": "P1",
        **values,
    }
    return {name: row.get(name) for name in INSTANCES.names}


def table(*rows: dict[str, Any]) -> pa.Table:
    """Give the columns of instances that the merge needs."""
    return table_of(rows, INSTANCES).select(dict.fromkeys(COLUMNS))


def describe(*rows: dict[str, Any]) -> pa.Table:
    """Give deep metadata of every instance: a value that tells which one it was."""
    described = []
    for row in rows:
        sub = 1 if row["AcquisitionNumber"] is None else row["AcquisitionNumber"]
        known = {name: row[name] for name in DESCRIBED.names if name in row}
        described.append(known | {"SubSeries": sub, "ProtocolName": f"of {row['url']}"})
    return table_of(described, DESCRIBED)


def merge(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    """Merge instances that are all described."""
    return merge_series(table(*rows), describe(*rows)).to_pylist()


# What a series is


def test_a_series_of_one() -> None:
    """One instance is a series with its key, count, folder and representative."""
    (row,) = merge(instance())
    expected = {
        "StudyInstanceUID": "study",
        "SeriesInstanceUID": "series",
        "Modality": "CT",
        "SubSeries": 1,
        "instance_count": 1,
        "folders": ["in/case"],
        "folder": "in/case",
        "case": "case",
        "representative_url": "file:///1.1",
        "varying": [],
        "PatientID": "P1",
    }
    assert expected == {name: row[name] for name in expected}


@pytest.mark.parametrize(
    "other",
    [
        {"StudyInstanceUID": "other"},
        {"StudyInstanceUID": None},
        {"SeriesInstanceUID": "other"},
        {"Modality": "RTSTRUCT"},
        {"Modality": None},
        {"AcquisitionNumber": 2},
        {"AcquisitionNumber": 0},
    ],
)
def test_what_differs_in_its_key_is_another_series(other: dict[str, Any]) -> None:
    """Study, series, modality and SubSeries make a series; null is a value of its own."""
    assert 2 == len(merge(instance("1.1"), instance("1.2", **other)))


def test_subseries_is_the_acquisition_or_one() -> None:
    """An absent AcquisitionNumber and 1 are the same SubSeries."""
    rows = merge(instance("1.1"), instance("1.2", AcquisitionNumber=1))
    assert [(1, 2)] == [(row["SubSeries"], row["instance_count"]) for row in rows]


def test_an_instance_without_series_uid_is_in_no_series() -> None:
    """Without SeriesInstanceUID there is nothing to be part of."""
    assert [] == merge(instance(SeriesInstanceUID=None))
    assert 0 == with_subseries(table(instance(SeriesInstanceUID=None))).num_rows


def test_nothing_is_no_series() -> None:
    """An empty table gives an empty one of the same columns."""
    merged = merge_series(table(), describe())
    assert 0 == merged.num_rows
    assert merge_series(table(instance()), describe(instance())).schema == merged.schema
    assert 0 == len(representatives(table_of([], INSTANCES)))


def test_columns_are_those_of_crawl_db() -> None:
    """The merge gives every column but what is resolved later, and three that say where it lies."""
    merged = merge_series(table(instance()), describe(instance()))
    later = ("ReferencedModality", "ReferencedSeriesUID")
    expected = [name for name in CRAWL_DB.names if name not in later]
    expected += ["case", "folder", "archived"]
    assert expected == merged.column_names


def test_rows_are_sorted_by_their_key() -> None:
    """Series stand in the order of study, UID, modality and SubSeries; null comes last."""
    rows = [
        instance("1.1", StudyInstanceUID=None),
        instance("1.2", Modality=None),
        instance("1.3", SeriesInstanceUID="a"),
        instance("1.4", AcquisitionNumber=2),
        instance("1.5", StudyInstanceUID="another"),
    ]
    found = [tuple(row[name] for name in KEY) for row in merge(*rows)]
    expected = [
        ("another", "series", "CT", 1),
        ("study", "a", "CT", 1),
        ("study", "series", "CT", 2),
        ("study", "series", None, 1),
        (None, "series", "CT", 1),
    ]
    assert expected == found


# The representative


@pytest.mark.parametrize(
    ("rows", "url"),
    [
        ([instance("1.2", 1), instance("1.1", 2)], "file:///1.2"),
        ([instance("1.2", 1), instance("1.1", 1)], "file:///1.1"),
        ([instance("1.1", 10), instance("1.2", 9)], "file:///1.2"),
        ([instance("1.1", None), instance("1.2", 9)], "file:///1.2"),
        ([instance("1.1", 1, url="b"), instance("1.1", 1, url="a")], "a"),
        ([instance(None, 1, url="a"), instance("1.1", 1, url="b")], "b"),
        ([instance("1.1", -1), instance("1.2", 0)], "file:///1.1"),
    ],
    ids=("number", "SOP UID", "as numbers", "null number last", "url", "null UID last", "negative"),
)
def test_the_representative_is_the_least(rows: list[dict[str, Any]], url: str) -> None:
    """The least by InstanceNumber, SOPInstanceUID and url describes its series."""
    for order in (rows, rows[::-1]):
        (row,) = merge(*order)
        assert (url, f"of {url}") == (row["representative_url"], row["ProtocolName"])
        chosen = representatives(table_of(order, INSTANCES))
        assert [url] == [order[number]["url"] for number in chosen]


def test_a_representative_that_nobody_described_has_nulls() -> None:
    """Where deep metadata are missing, the row stands with nulls."""
    merged = merge_series(table(instance()), describe()).to_pylist()
    assert [(None, "series", 1)] == [
        (row["ProtocolName"], row["SeriesInstanceUID"], row["instance_count"]) for row in merged
    ]


def test_a_file_described_for_two_series_serves_each() -> None:
    """Deep metadata are found by place and series: one url cannot serve another series."""
    rows = [instance("1.1", url="a"), instance("1.2", url="a", SeriesInstanceUID="other")]
    key = {**{name: rows[0][name] for name in KEY[:3]}, "SubSeries": 1}
    described = table_of(
        [
            {**key, "url": "a", "SeriesInstanceUID": uid, "ProtocolName": uid}
            for uid in ("other", "series")
        ],
        DESCRIBED,
    )
    merged = merge_series(table(*rows), described)
    assert ["other", "series"] == merged["ProtocolName"].to_pylist()


# What varies, folders, counts


@pytest.mark.parametrize("name", [name for name in VARYING if name != "PatientID"])
def test_each_attribute_may_vary(name: str) -> None:
    """An attribute that differs between two of three instances is named, null being a value."""
    kind = INSTANCES.field(name).type
    values: list[Any] = ["a", "b"]
    if pa.types.is_list(kind):
        values = [[1.0, 2.0], [1.0, 3.0]]
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        values = [1, 2]
    elif pa.types.is_date(kind):
        values = [0, 1]
    for one, other in ((values[0], values[1]), (values[0], None), (None, values[0])):
        rows = [instance(f"1.{spot}", spot, **{name: one}) for spot in (1, 2)]
        (row,) = merge(*rows, instance("1.3", 3, **{name: other}))
        expected = [name] if name not in KEY else []
        assert expected == row["varying"]
    (row,) = merge(*rows)
    assert [] == row["varying"]


def test_what_varies_is_judged_in_each_series_alone() -> None:
    """Two series that differ from each other are each constant."""
    rows = merge(
        instance("1.1", PatientID="P1"), instance("1.2", SeriesInstanceUID="other", PatientID="P2")
    )
    assert [[], []] == [row["varying"] for row in rows]


@pytest.mark.parametrize(
    ("one", "other", "varies"),
    [
        ([1.0, None], [2.0, None], True),
        ([1.0, None], [1.0, None], False),
        ([1.0, None], [None, 1.0], True),
        ([1.0], [1.0, None], True),
        ([0.0, 1.0], [-0.0, 1.0], False),
        ([0.1, 0.2], [0.1, 0.2], False),
        ([0.1], [0.1 + 2**-55], True),
        (None, [1.0], True),
    ],
)
def test_lists_are_compared_by_value(one: Any, other: Any, varies: bool) -> None:
    """Nulls among values count, signs of zero do not, and no digit is lost."""
    (row,) = merge(instance("1.1", PixelSpacing=one), instance("1.2", PixelSpacing=other))
    assert varies == ("PixelSpacing" in row["varying"])


def test_what_varies_is_judged_over_all_parts() -> None:
    """Instances come in parts; the same values in two of them are the same."""
    rows = [instance(f"1.{number}", PixelSpacing=[0.5 * number, 0.5]) for number in (1, 2, 2)]
    for first, second, varying in ((0, 1, ["PixelSpacing"]), (1, 2, [])):
        parts = [table(rows[first]), table(rows[second])]
        merged = merge_series(pa.concat_tables(parts), describe())
        assert [varying] == merged["varying"].to_pylist()


def test_folders_are_named_once_and_sorted() -> None:
    """A series that spans folders lists them; its folder is the first."""
    rows = [instance(f"1.{number}", folder=name) for number, name in enumerate("cbacab")]
    (row,) = merge(*rows)
    assert (["a", "b", "c"], "a") == (row["folders"], row["folder"])


def test_the_case_is_that_of_the_representative() -> None:
    """A series that spans cases belongs to that of its least instance."""
    (row,) = merge(instance("1.2", 2, case="a"), instance("1.1", 1, case="b"))
    assert "b" == row["case"]


def test_duplicates_count_once() -> None:
    """The same instance at three places is one; an instance without UID is none."""
    rows = [instance("1.1", url=url) for url in "abc"]
    (row,) = merge(*rows, instance("1.2"), instance(None, url="d"))
    assert 2 == row["instance_count"]


# Order and parts


TEXT = st.sampled_from(("a", "b", None))
LIST = st.sampled_from(([1.0, 2.0], [1.0, None], [1.0], None))
ROW = st.fixed_dictionaries(
    {
        "url": st.text("abcdef", min_size=1, max_size=3),
        "case": st.sampled_from(("x", "y")),
        "folder": st.sampled_from(("in/x", "in/y", "in/é", "in/a.zip")),
        "SOPInstanceUID": st.sampled_from(("1.1", "1.2", "1.10", None)),
        "InstanceNumber": st.sampled_from((1, 2, 10, None)),
        "StudyInstanceUID": TEXT,
        "SeriesInstanceUID": TEXT,
        "Modality": st.sampled_from(("CT", "MR", None)),
        "AcquisitionNumber": st.sampled_from((1, 2, None)),
        "PatientID": TEXT,
        "Rows": st.sampled_from((1, 2, None)),
        "SliceThickness": st.sampled_from((0.5, 1.0, None)),
        "PixelSpacing": LIST,
        "SeriesDescription": TEXT,
    }
)
ROWS = st.lists(ROW, max_size=12, unique_by=lambda row: row["url"])


def filled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give rows with every column; their places are those of members where the folder is an archive."""
    found = []
    for row in rows:
        is_member = row["folder"].endswith(".zip")
        path = f"{row['folder']}{'!' if is_member else '/'}{row['url']}"
        url = f"zip://{row['url']}::file:///a.zip" if is_member else row["url"]
        found.append(
            {name: {**row, "path": path, "url": url}.get(name) for name in INSTANCES.names}
        )
    return found


@settings(max_examples=examples(60))
@given(ROWS, st.data())
def test_no_result_depends_on_order_or_parts(
    drawn: list[dict[str, Any]], data: st.DataObject
) -> None:
    """Instances shuffled and cut into parts, each with its own least described, merge alike."""
    rows = filled(drawn)
    whole = merge_series(table(*rows), describe(*rows))
    shuffled = data.draw(st.permutations(rows))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    bounds = zip([0, *cuts], [*cuts, len(rows)], strict=True)
    parts = [shuffled[start:stop] for start, stop in bounds]
    least = [
        part[number] for part in parts for number in representatives(table_of(part, INSTANCES))
    ]
    cut = pa.concat_tables([table(*part) for part in parts])
    assert whole.equals(merge_series(cut, describe(*data.draw(st.permutations(least)))))


@settings(max_examples=examples(50))
@given(ROWS, st.sets(st.sampled_from(["1.3.1", "1.3.2", "1.3.3"])))
def test_ranges_merge_alike(drawn: list[dict[str, Any]], apart: set[str]) -> None:
    """Series merged range by range are those merged at once."""
    rows = filled(drawn)
    whole = merge_series(table(*rows), describe(*rows))
    groups: dict[str | None, list[dict[str, Any]]] = {}
    for row in rows:
        uid = row["SeriesInstanceUID"]
        groups.setdefault(uid if uid in apart else None, []).append(row)
    pieces = [merge_series(table(*some), describe(*rows)) for some in groups.values()]
    order = [(name, "ascending") for name in KEY]
    merged = pa.concat_tables([whole.slice(0, 0), *pieces]).sort_by(order)
    assert whole.combine_chunks().equals(merged.combine_chunks())


@settings(max_examples=examples(50))
@given(ROWS.filter(len), st.lists(st.integers(0, 2), min_size=12, max_size=12))
def test_pieces_merge_alike(drawn: list[dict[str, Any]], numbers: list[int]) -> None:
    """Series cut into pieces, an instance at several places in one, are those merged at once."""
    rows = filled(drawn)
    pieces: dict[int, list[dict[str, Any]]] = {}
    places: dict[tuple[Any, ...], int] = {}
    for row, number in zip(rows, numbers, strict=False):
        sub = 1 if row["AcquisitionNumber"] is None else row["AcquisitionNumber"]
        own = (*(row[name] for name in (*KEY[:3], "SOPInstanceUID")), sub)
        pieces.setdefault(places.setdefault(own, number), []).append(row)
    cut = merge_pieces(lambda: (table(*some) for some in pieces.values()), describe(*rows))
    assert merge_series(table(*rows), describe(*rows)).equals(cut.combine_chunks())


@settings(max_examples=examples(50))
@given(ROWS)
def test_a_series_counts_each_instance_once(drawn: list[dict[str, Any]]) -> None:
    """Over all its acquisitions, of which one instance may be in two, and however it is cut."""
    rows = [row for row in filled(drawn) if row["SeriesInstanceUID"] is not None]
    whole = table(*rows)
    sops = sorted({row["SOPInstanceUID"] or "" for row in rows})
    pieces = [table(*(row for row in rows if (row["SOPInstanceUID"] or "") == sop)) for sop in sops]
    merged = merge_series(whole, describe(*rows))
    found = with_whole_series(merged, lambda: iter([whole]))
    assert found.equals(with_whole_series(merged, lambda: iter(pieces)))
    for row in found.to_pylist():
        own = [one for one in rows if all(one[name] == row[name] for name in KEY[:3])]
        expected = {one["SOPInstanceUID"] for one in own} - {None}
        assert len(expected) == row["series_instances"]


@settings(max_examples=examples(50))
@given(ROWS)
def test_what_a_merge_says_is_so(drawn: list[dict[str, Any]]) -> None:
    """Keys, counts, folders and what varies are those of the instances, counted by hand."""
    rows = filled(drawn)
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        if row["SeriesInstanceUID"] is not None:
            sub = 1 if row["AcquisitionNumber"] is None else row["AcquisitionNumber"]
            key = (row["StudyInstanceUID"], row["SeriesInstanceUID"], row["Modality"], sub)
            groups.setdefault(key, []).append(row)
    merged = merge(*rows)
    assert len(groups) == len(merged)
    for row in merged:
        members = groups[tuple(row[name] for name in KEY)]
        distinct = {member["SOPInstanceUID"] for member in members} - {None}
        assert len(distinct) == row["instance_count"]
        folders = sorted({member["folder"] for member in members})
        assert folders == row["folders"]
        # What lies on disk is named before what lies in an archive.
        assert next((name for name in folders if name != "in/a.zip"), "in/a.zip") == row["folder"]
        varying = [
            name for name in VARYING if any(m[name] != members[0][name] for m in members[1:])
        ]
        assert varying == row["varying"]
