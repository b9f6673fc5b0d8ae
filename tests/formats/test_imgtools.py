"""Med-ImageTools' files: index.csv as Interlacer takes it, crawl_db.json and sop_map.json."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, RTStructureSetStorage
from support import crawl, encode

from dcmdask.formats.csv import render_header, render_lines
from dcmdask.formats.imgtools import (
    INDEX_COLUMNS,
    INSTANCE_COLUMNS,
    SeriesFiles,
    SeriesRenderer,
    index_rows,
    render_sop_map,
)
from dcmdask.tables.schema import CRAWL_DB, INDEX, INSTANCES, KEY, table_of

HEADER = (
    "PatientID,StudyInstanceUID,SeriesInstanceUID,SubSeries,Modality,"
    "ReferencedModality,ReferencedSeriesUID,instances,folder\r\n"
)
_SERIES = pa.schema([*CRAWL_DB, ("case", pa.string()), ("folder", pa.string())])


def index_of(*rows: dict[str, Any]) -> pa.Table:
    """Give an index: series of one patient and study unless they say otherwise."""
    common = {
        "PatientID": "P1",
        "StudyInstanceUID": "1.2",
        "SubSeries": 1,
        "Modality": "CT",
        "series_instances": 2,
        "folder": "in/P1",
    }
    return table_of([{**common, **row} for row in rows], INDEX)


def series_of(*rows: dict[str, Any]) -> pa.Table:
    """Give merged series with their references."""
    common = {"StudyInstanceUID": "1.2", "SubSeries": 1, "Modality": "CT", "folder": "in/P1"}
    return table_of([{**common, **row} for row in rows], _SERIES)


def instances_of(*rows: dict[str, Any]) -> pa.Table:
    """Give instances of one study; the URL follows from folder and name."""
    common = {"StudyInstanceUID": "1.2", "Modality": "CT", "folder": "in/P1"}
    filled = [{**common, **row} for row in rows]
    for row in filled:
        row["url"] = f"file:///{row['folder']}/{row['file_name']}"
    return table_of(filled, INSTANCES).select(list(INSTANCE_COLUMNS))


def index_csv(index: pa.Table, *, excel: bool) -> bytes:
    """Give the whole of index.csv."""
    lines = render_lines(index_rows(index), INDEX_COLUMNS, excel=excel)
    return render_header(INDEX_COLUMNS, excel=excel) + lines.content


def series_files(*ranges: tuple[pa.Table, list[pa.Table]]) -> Iterator[SeriesFiles]:
    """Give crawl_db.json and crawl-cache.json, the instances of each range in some pieces."""
    renderer = SeriesRenderer()
    yield renderer.begin()
    for series, pieces in ranges:
        yield from renderer.render(series, pieces)
    yield renderer.end()


def joined(*ranges: tuple[pa.Table, pa.Table]) -> bytes:
    """Give crawl_db.json, the instances of each range in one piece."""
    pieces = series_files(*((series, [instances]) for series, instances in ranges))
    return b"".join(piece.crawl_db for piece in pieces)


def crawl_db(*ranges: tuple[pa.Table, pa.Table]) -> dict[str, Any]:
    """Give crawl_db.json, read."""
    return json.loads(joined(*ranges))


# -- index.csv -----------------------------------------------------------------------------------


def test_the_index_has_nine_columns() -> None:
    """Seed B's columns in their order, whatever else the table holds; absent values are empty."""
    index = index_of(
        {"SeriesInstanceUID": "1.3", "ProjectID": 7, "case": "P1"},
        {
            "SeriesInstanceUID": "1.4",
            "Modality": "RTSTRUCT",
            "series_instances": 1,
            "ReferencedModality": ["CT"],
            "ReferencedSeriesUID": ["1.3"],
        },
        {"SeriesInstanceUID": "1.5", "Modality": None, "PatientID": None, "SubSeries": 12},
    )
    expected = HEADER + (
        "P1,1.2,1.3,1,CT,,,2,in/P1\r\n"
        "P1,1.2,1.4,1,RTSTRUCT,CT,1.3,1,in/P1\r\n"
        ",1.2,1.5,12,,,,2,in/P1\r\n"
    )
    assert expected == index_csv(index, excel=False).decode()


def lines_of(*rows: dict[str, Any]) -> list[str]:
    """Give the lines of index.csv, without its header and what all rows here share."""
    lines = index_csv(index_of(*rows), excel=False).decode().removeprefix(HEADER).splitlines()
    assert all(line.startswith("P1,1.2,") for line in lines)
    return [line.removeprefix("P1,1.2,") for line in lines]


def refers(*targets: tuple[str | None, str]) -> dict[str, Any]:
    """Give the columns of a row that refers to (modality, series)."""
    modalities, uids = zip(*targets, strict=True)
    return {"ReferencedModality": modalities, "ReferencedSeriesUID": uids}


def test_several_targets_are_a_row_each() -> None:
    """In the order of the index, the preferred last; one that is not in the crawl keeps its UID."""
    targets = refers((None, "1.4"), ("PT", "1.5"), ("CT", "1.3"))
    assert lines_of({"SeriesInstanceUID": "1.9", "Modality": "SEG", **targets}) == [
        "1.9,1,SEG,,1.4,2,in/P1",
        "1.9,1,SEG,PT,1.5,2,in/P1",
        "1.9,1,SEG,CT,1.3,2,in/P1",
    ]


def test_images_refer_to_no_images() -> None:
    """CT and MR are where chains begin, whatever they name; a PT hangs on its CT."""
    assert lines_of(
        {"SeriesInstanceUID": "1.3", **refers((None, "1.4"), ("CT", "1.1"))},
        {"SeriesInstanceUID": "1.5", "Modality": "MR", **refers(("MR", "1.1"))},
        {"SeriesInstanceUID": "1.6", "Modality": "PT", **refers(("PT", "1.1"), ("CT", "1.3"))},
        {"SeriesInstanceUID": "1.7", "Modality": "SM", **refers(("SM", "1.1"))},
    ) == [
        "1.3,1,CT,,,2,in/P1",
        "1.5,1,MR,,,2,in/P1",
        "1.6,1,PT,CT,1.3,2,in/P1",
        "1.7,1,SM,,,2,in/P1",
    ]


def test_acquisitions_of_a_series_are_one_row() -> None:
    """The first SubSeries, the first folder, all instances, and what any of them refers to."""
    series = {"SeriesInstanceUID": "1.9", "Modality": "SEG", "series_instances": 5}
    assert lines_of(
        {**series, "SubSeries": 2, "folder": "in/b", **refers(("PT", "1.5"), ("CT", "1.3"))},
        {**series, "SubSeries": 10, "folder": "in/a", **refers((None, "1.4"), ("CT", "1.8"))},
    ) == [
        "1.9,2,SEG,,1.4,5,in/a",
        "1.9,2,SEG,CT,1.8,5,in/a",
        "1.9,2,SEG,PT,1.5,5,in/a",
        "1.9,2,SEG,CT,1.3,5,in/a",
    ]


def test_of_objects_that_share_a_series_uid_the_image_is_last() -> None:
    """Interlacer keeps the last, which others hang on."""
    shared = {"SeriesInstanceUID": "1.3"}
    assert lines_of(shared, {**shared, "Modality": "RTSTRUCT", **refers(("CT", "1.3"))}) == [
        "1.3,1,RTSTRUCT,CT,1.3,2,in/P1",
        "1.3,1,CT,,,2,in/P1",
    ]


def is_refused(content: bytes) -> bool:
    """Tell whether Interlacer would refuse an index: two rows that differ in SubSeries only."""
    columns = [name for name in INDEX_COLUMNS if name != "SubSeries"]
    return bool(pd.read_csv(io.BytesIO(content)).duplicated(subset=columns).any())


_ROW = st.fixed_dictionaries(
    {
        "PatientID": st.sampled_from([None, "1", "P"]),
        "StudyInstanceUID": st.sampled_from([None, "1.2", "1.3"]),
        "SeriesInstanceUID": st.sampled_from(["1.4", "1.5"]),
        "Modality": st.sampled_from([None, "CT", "SEG"]),
        "SubSeries": st.integers(1, 4),
        "ReferencedSeriesUID": st.lists(st.sampled_from(["1.4", "1.6"]), max_size=2, unique=True),
    }
)


@given(st.lists(_ROW, max_size=12, unique_by=lambda row: tuple(row[name] for name in KEY)))
def test_interlacer_refuses_no_index(rows: list[dict[str, Any]]) -> None:
    """However many acquisitions look alike, no row is refused and no series is lost."""
    for row in rows:
        row["ReferencedModality"] = ["CT"] * len(row["ReferencedSeriesUID"])
    index = index_of(*rows).sort_by([(name, "ascending") for name in KEY])
    content = index_csv(index, excel=False)
    assert not is_refused(content)
    series = {tuple(str(row[name] or "") for name in KEY[:3]) for row in rows}
    found = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
    assert series == set(found[list(KEY[:3])].itertuples(index=False, name=None))


def test_an_empty_index_is_its_header() -> None:
    """A source without series has an index that opens."""
    assert index_csv(index_of(), excel=False).decode() == HEADER
    assert index_csv(index_of(), excel=True).decode("utf-8-sig") == HEADER


# -- crawl_db.json -------------------------------------------------------------------------------


def test_a_series_has_its_metadata_folder_and_instances() -> None:
    """Keyed by series and SubSeries; attributes of its modality, no other's; typed values."""
    series = series_of(
        {"SeriesInstanceUID": "1.3", "SliceThickness": 2.5, "PixelSpacing": [0.5, 0.25], "Rows": 4}
    )
    instances = instances_of(
        {"SeriesInstanceUID": "1.3", "SOPInstanceUID": "1.3.2", "file_name": "b"},
        {"SeriesInstanceUID": "1.3", "SOPInstanceUID": "1.3.1", "file_name": "c"},
        {"SeriesInstanceUID": "1.3", "SOPInstanceUID": None, "file_name": "d"},
    )
    entry = crawl_db((series, instances))["1.3"]["1"]
    assert entry["SliceThickness"] == 2.5
    assert entry["PixelSpacing"] == [0.5, 0.25]
    assert entry["PatientID"] is None
    assert "ROINames" not in entry
    assert entry["folder"] == "in/P1"
    assert entry["instances"] == {"1.3.1": "c", "1.3.2": "b"}


def test_a_list_of_texts_has_no_nulls() -> None:
    """A segment without a description has an empty one, as in Med-ImageTools, also where none has."""
    series = series_of(
        {"SeriesInstanceUID": "1.3", "Modality": "SEG", "ROIDescriptions": [None, None]},
        {"SeriesInstanceUID": "1.4", "Modality": "SEG", "ROINames": ["a", None]},
    )
    entries = crawl_db((series, instances_of()))
    assert ["", ""] == entries["1.3"]["1"]["ROIDescriptions"]
    assert ["a", ""] == entries["1.4"]["1"]["ROINames"]
    assert entries["1.4"]["1"]["ROIDescriptions"] is None


def test_acquisitions_are_entries_of_their_own() -> None:
    """SubSeries is the AcquisitionNumber, 1 where there is none; 2 stands before 10."""
    series = series_of(*({"SeriesInstanceUID": "1.3", "SubSeries": n} for n in (10, 1, 2)))
    instances = instances_of(
        *(
            {
                "SeriesInstanceUID": "1.3",
                "SOPInstanceUID": f"1.3.{number}",
                "AcquisitionNumber": number,
                "file_name": f"{number}",
            }
            for number in (None, 2, 10)
        )
    )
    entries = crawl_db((series, instances))["1.3"]
    assert list(entries) == ["1", "2", "10"]
    assert [list(entry["instances"].values()) for entry in entries.values()] == [
        ["None"],
        ["2"],
        ["10"],
    ]


def test_objects_that_share_a_series_uid_both_stay() -> None:
    """A CT and an RTSTRUCT, and two studies, with one series UID: none overwrites another."""
    shared = {"SeriesInstanceUID": "1.3"}
    keys = [("1.2", "RTSTRUCT"), ("1.2", "CT"), ("1.1", "CT"), (None, "CT")]
    series = series_of(*({**shared, "StudyInstanceUID": s, "Modality": m} for s, m in keys))
    instances = instances_of(
        *(
            {
                **shared,
                "StudyInstanceUID": study,
                "Modality": modality,
                "SOPInstanceUID": f"9.{number}",
                "file_name": f"{number}",
            }
            for number, (study, modality) in enumerate(keys)
        )
    )
    entries = crawl_db((series, instances))["1.3"]
    found = {name: list(entry["instances"].values()) for name, entry in entries.items()}
    assert found == {"1": ["2"], "1@CT": ["1"], "1@RTSTRUCT": ["0"], "1@CT@None": ["3"]}


@pytest.mark.parametrize(
    ("folder", "start", "expected"),
    [
        ("in/P1", "in/P1", "f"),
        ("in/P1/b", "in/P1/a", "../b/f"),
        ("in/P1/a/b", "in/P1/a", "b/f"),
        ("in/P10", "in/P1", "../P10/f"),
        ("in", "in/P1/a", "../../f"),
        ("second/P1", "in/P1", "../../second/P1/f"),
        ("in/P1/x.zip!s", "in/P1", "x.zip!s/f"),
        ("in/x.zip!a/../b", "in/x.zip!a", "../b/f"),
    ],
)
def test_a_path_leads_from_the_folder_to_the_file(folder: str, start: str, expected: str) -> None:
    """A series may span folders, archives and sources; its folder is one of them."""
    series = series_of({"SeriesInstanceUID": "1.3", "folder": start})
    instances = instances_of(
        {"SeriesInstanceUID": "1.3", "SOPInstanceUID": "1", "folder": folder, "file_name": "f"}
    )
    assert crawl_db((series, instances))["1.3"]["1"]["instances"] == {"1": expected}


def test_an_instance_at_two_places_is_named_once() -> None:
    """The place that is least by URL, whatever the order of rows."""
    series = series_of({"SeriesInstanceUID": "1.3"})
    rows = [
        {"SeriesInstanceUID": "1.3", "SOPInstanceUID": "1", "folder": folder, "file_name": "f"}
        for folder in ("in/P1/b", "in/P1/a")
    ]
    for chosen in (rows, rows[::-1]):
        entry = crawl_db((series, instances_of(*chosen)))["1.3"]["1"]
        assert entry["instances"] == {"1": "a/f"}


def test_ranges_join_to_one_object() -> None:
    """The file is written range by range, and is the same JSON however many there are."""
    one, two = {"SeriesInstanceUID": "1.3"}, {"SeriesInstanceUID": "1.4"}
    rows = [{**uid, "SOPInstanceUID": "1", "file_name": "山"} for uid in (one, two)]
    whole = (series_of(one, two), instances_of(*rows))
    cut = [(series_of(uid), instances_of(row)) for uid, row in zip((one, two), rows, strict=True)]
    assert joined(whole) == joined(*cut)
    assert "山".encode() in joined(whole)


def test_pieces_of_a_series_join_to_one_object() -> None:
    """A series too large to be held comes in pieces; one of them may hold another's end."""
    numbers = ((None, "1"), (1, "2"), (1, "3"), (2, "1"), (2, None), (3, None))
    rows = [
        {
            "SeriesInstanceUID": "1.3",
            "SOPInstanceUID": sop,
            "AcquisitionNumber": number,
            "file_name": f"{sop}",
        }
        for number, sop in numbers
    ]
    series = series_of(*({"SeriesInstanceUID": "1.3", "SubSeries": n} for n in (1, 2, 3)))
    whole = joined((series, instances_of(*rows)))
    for start, stop in itertools.combinations(range(len(rows) + 1), 2):
        cuts = (rows[:start], rows[start:stop], rows[stop:])
        pieces = [instances_of(*some) for some in cuts]
        found = series_files((series, pieces))
        assert whole == b"".join(piece.crawl_db for piece in found)


def test_an_empty_crawl_has_empty_objects() -> None:
    """No series is no error, here as everywhere."""
    assert crawl_db() == {}
    assert json.loads(sop_map()) == json.loads(sop_map(instances_of())) == {}


# -- crawl-cache.json ----------------------------------------------------------------------------


_NAME = st.text(st.sampled_from('a/"\\\n\x1f山.!')) | st.text(st.characters(codec="utf-8"))
_FOLDER = st.lists(st.sampled_from(["a", "b", "..", '"', "山"]), min_size=1, max_size=3).map(
    "/".join
)
_PLACED = st.fixed_dictionaries(
    {
        "StudyInstanceUID": st.sampled_from([None, "1", "2"]),
        "SeriesInstanceUID": st.sampled_from(["3", '"', "\\"]),
        "Modality": st.sampled_from([None, "CT", "MR"]),
        "AcquisitionNumber": st.sampled_from([None, 1, 2]),
        "SOPInstanceUID": st.sampled_from([None, "5", "6", '"', "\n"]),
        "folder": _FOLDER,
        "file_name": _NAME,
    }
)


def cache(*ranges: tuple[pa.Table, pa.Table]) -> str:
    """Give crawl-cache.json, the instances of each range in one piece."""
    pieces = series_files(*((series, [instances]) for series, instances in ranges))
    return b"".join(piece.crawl_cache for piece in pieces).decode()


def test_the_cache_has_what_is_absent_as_empty_text() -> None:
    """Med-ImageTools calls methods of text on a PatientID; an empty list of ROIs it goes through."""
    series = series_of({"SeriesInstanceUID": "1.3", "Modality": "RTSTRUCT", "NumROIs": 0})
    entry = json.loads(cache((series, instances_of())))["1.3"]["1"]
    assert ("", "", 0) == (entry["PatientID"], entry["ROINames"], entry["NumROIs"])


@pytest.mark.parametrize(
    ("modality", "modalities", "expected"),
    [
        ("RTSTRUCT", ["PT", "CT"], ("CT", "1.1")),
        ("RTSTRUCT", ["PT", None], ("PT", "1.0")),
        ("RTDOSE", ["CT", "RTPLAN"], ("RTPLAN", "1.1")),
        ("SEG", ["CT", "CT"], ("CT", "1.1")),
        ("SR", [None], ("", "1.0")),
        ("PT", ["PT", "CT"], ("CT", "1.1")),
        ("PT", ["PT"], ("", "")),
        ("CT", ["CT"], ("", "")),
        ("MR", None, ("", "")),
    ],
)
def test_the_cache_has_one_target(
    modality: str, modalities: list[str | None] | None, expected: tuple[str, str]
) -> None:
    """The last, as of index.csv; of what is not in the crawl only for want of another."""
    uids = modalities and [f"1.{number}" for number in range(len(modalities))]
    targets = {"ReferencedModality": modalities, "ReferencedSeriesUID": uids}
    tables = (
        series_of({"SeriesInstanceUID": "2", "Modality": modality, **targets}),
        instances_of(),
    )
    entry = json.loads(cache(tables))["2"]["1"]
    assert expected == (entry["ReferencedModality"], entry["ReferencedSeriesUID"])
    assert uids == crawl_db(tables)["2"]["1"]["ReferencedSeriesUID"]


@given(
    st.lists(_PLACED, max_size=8), _FOLDER, st.lists(st.floats(allow_nan=False), max_size=2), _NAME
)
def test_the_cache_is_as_the_library_writes_it(
    rows: list[dict[str, Any]], folder: str, spacing: list[float], patient: str
) -> None:
    """What Med-ImageTools writes of what it has loaded is known: every byte, whatever the values."""
    names = ("StudyInstanceUID", "SeriesInstanceUID", "Modality")
    keys = {(*(row[name] for name in names), row["AcquisitionNumber"] or 1) for row in rows}
    more = {"folder": folder, "PixelSpacing": spacing, "PatientID": patient}
    series = series_of(*({**dict(zip(KEY, key, strict=True)), **more} for key in keys))
    content = cache((series, instances_of(*rows)))
    found = json.loads(content)
    assert content == json.dumps(found, indent=4)
    listed = crawl_db((series, instances_of(*rows)))
    for uid, entries in listed.items():
        assert list(entries) == list(found[uid])
        for name, entry in entries.items():
            assert entry["instances"] == found[uid][name]["instances"]
            assert (patient, folder) == (found[uid][name]["PatientID"], found[uid][name]["folder"])


def test_acquisitions_are_in_one_folder_of_the_cache() -> None:
    """Med-ImageTools joins the names of all to the folder of one; crawl_db.json has that of each."""
    keys = [{"SeriesInstanceUID": "1.3", "SubSeries": n, "folder": f"in/{n}"} for n in (2, 1)]
    rows = [
        {"SeriesInstanceUID": "1.3", "SOPInstanceUID": f"{n}", "AcquisitionNumber": n}
        | {"folder": f"in/{n}", "file_name": "f"}
        for n in (1, 2)
    ]
    tables = (series_of(*keys), instances_of(*rows))
    cached = json.loads(cache(tables))["1.3"]
    for entries, expected in (
        (crawl_db(tables)["1.3"], [("in/1", "f"), ("in/2", "f")]),
        (cached, [("in/1", "f"), ("in/1", "../2/f")]),
    ):
        assert expected == [(one["folder"], *one["instances"].values()) for one in entries.values()]


def test_an_instance_on_disk_is_before_its_member_of_an_archive() -> None:
    """Of two places the one that other tools open, although the other is the first by name."""
    series = series_of({"SeriesInstanceUID": "1.3", "folder": "in/b"})
    common = {"StudyInstanceUID": "1.2", "Modality": "CT", "SeriesInstanceUID": "1.3"}
    common |= {"SOPInstanceUID": "1", "file_name": "f"}
    rows = [
        {**common, "folder": "in/a.zip", "path": "a.zip!f", "url": "zip://f::file:///in/a.zip"},
        {**common, "folder": "in/b", "path": "b/f", "url": "file:///in/b/f"},
    ]
    found = crawl_db((series, table_of(rows, INSTANCES).select(list(INSTANCE_COLUMNS))))
    assert {"1": "f"} == found["1.3"]["1"]["instances"]


# -- sop_map.json --------------------------------------------------------------------------------


def sops(*pairs: tuple[str | None, str | None]) -> pa.Table:
    """Give instances of (SOPInstanceUID, SeriesInstanceUID)."""
    rows = [
        {"SOPInstanceUID": sop, "SeriesInstanceUID": uid, "file_name": f"{number}"}
        for number, (sop, uid) in enumerate(pairs)
    ]
    return instances_of(*rows)


def sop_map(*ranges: pa.Table) -> str:
    """Give sop_map.json: lines, of which all but the first keep the comma before them."""
    columns = ("SOPInstanceUID", "SeriesInstanceUID")
    lines = b"".join(bytes(render_sop_map(rows, columns).content) for rows in ranges)
    return f"{{{lines[1:].decode()}\n}}\n"


def test_the_map_is_sorted_by_instance() -> None:
    """One line an instance, over all ranges; what lacks one of both UIDs is left out."""
    pairs = [("1.9", "1.3"), ("1.1", "1.4"), (None, "1.3"), ("1.2", None)]
    ranges = [sops(*pairs), sops(), sops(("2.5", "1.3"))]
    expected = '{\n  "1.1": "1.4",\n  "1.9": "1.3",\n  "2.5": "1.3"\n}\n'
    assert expected == sop_map(*ranges)


_PAIRS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), max_size=8)


@given(_PAIRS)
def test_an_instance_stands_in_the_map_once(pairs: list[tuple[str, str]]) -> None:
    """At two places, or under two series UIDs: with the last series, however it is cut."""
    content = sop_map(sops(*pairs))
    cut = [sops(*(pair for pair in pairs if pair[0] == sop)) for sop in "abc"]
    assert dict(sorted(pairs, key=lambda pair: pair[1])) == json.loads(content)
    assert content == sop_map(*cut)


def relative(folder: str, name: str, start: str) -> str:
    """Give the way from one folder to a file in another."""
    own, other = folder.split("/"), start.split("/")
    while own and other and own[0] == other[0]:
        own, other = own[1:], other[1:]
    return "/".join([*[".."] * len(other), *own, name])


@given(st.lists(_PLACED, max_size=8), _FOLDER)
def test_instances_are_listed_as_the_library_writes_them(
    rows: list[dict[str, Any]], start: str
) -> None:
    """Under each key every SOPInstanceUID once, sorted, with the least place, by any names."""
    grouped: dict[tuple[Any, ...], dict[str, str]] = {}
    for row in sorted(rows, key=lambda row: f"file:///{row['folder']}/{row['file_name']}".encode()):
        names = ("StudyInstanceUID", "SeriesInstanceUID", "Modality")
        key = (*(row[name] for name in names), row["AcquisitionNumber"] or 1)
        listed = grouped.setdefault(key, {})
        if row["SOPInstanceUID"] is not None:
            listed.setdefault(
                row["SOPInstanceUID"], relative(row["folder"], row["file_name"], start)
            )
    series = series_of(*(dict(zip(KEY, key, strict=True), folder=start) for key in grouped))
    content = joined((series, instances_of(*rows))).decode()
    found = json.loads(content)
    assert sorted(found) == list(found)
    assert len(grouped) == sum(map(len, found.values()))
    for listed in grouped.values():
        text = json.dumps(dict(sorted(listed.items())), ensure_ascii=False, indent=2)
        assert '"instances": ' + text.replace("\n", "\n      ") in content


@given(st.lists(st.tuples(_NAME, _NAME), min_size=1, max_size=8))
def test_the_map_is_as_the_library_writes_it(pairs: list[tuple[str, str]]) -> None:
    """Every byte is what `json` writes of the same mapping."""
    mapping = dict(sorted(pairs, key=lambda pair: (pair[0].encode(), pair[1].encode())))
    expected = json.dumps(mapping, ensure_ascii=False, indent=2) + "\n"
    assert expected == sop_map(sops(*pairs))


# -- end to end ----------------------------------------------------------------------------------


def structure_set(**values: Any) -> bytes:
    """Give an RTSTRUCT that refers to CT series 1.3 and 1.4, and to 1.77, which nobody has."""
    study, frame = Dataset(), Dataset()
    series = [Dataset(), Dataset(), Dataset()]
    for item, uid in zip(series, ("1.77", "1.4", "1.3"), strict=True):
        item.SeriesInstanceUID = uid
        image = Dataset()
        image.ReferencedSOPClassUID = CTImageStorage
        image.ReferencedSOPInstanceUID = f"{uid}.1"
        item.ContourImageSequence = [image]
    study.RTReferencedSeriesSequence = series
    frame.RTReferencedStudySequence = [study]
    frame.FrameOfReferenceUID = "1.8"
    defaults = {
        "SOPClassUID": RTStructureSetStorage,
        "Modality": "RTSTRUCT",
        "StudyInstanceUID": "1.2",
        "Rows": None,
        "Columns": None,
        "ReferencedFrameOfReferenceSequence": [frame],
    }
    return encode({**defaults, **values})


def test_a_crawl_writes_what_med_imagetools_reads(tmp_path: Path) -> None:
    """A series of two folders and acquisitions, and an RTSTRUCT that shares its UID."""
    files = [("1.3", 1, "b", 1), ("1.3", 2, "a", 1), ("1.3", 3, "b", 2), ("1.3", 4, "b", 2)]
    for uid, number, folder, acquisition in [*files, ("1.4", 1, "c", None)]:
        path = tmp_path / "in" / "P1" / folder / f"{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        values = {
            "SOPInstanceUID": f"{uid}.{number}",
            "StudyInstanceUID": "1.2",
            "SeriesInstanceUID": uid,
            "AcquisitionNumber": acquisition,
            "InstanceNumber": number,
        }
        path.write_bytes(encode(values))
    for number, uid in ((5, "1.3"), (6, "1.6")):
        path = tmp_path / "in" / "P1" / f"{number}"
        path.write_bytes(structure_set(SOPInstanceUID=f"1.3.{number}", SeriesInstanceUID=uid))
    out = crawl(tmp_path / "in", tmp_path / "out").out
    expected = HEADER + (
        "P1,1.2,1.3,1,RTSTRUCT,,1.77,1,in/P1\r\n"
        "P1,1.2,1.3,1,RTSTRUCT,CT,1.4,1,in/P1\r\n"
        "P1,1.2,1.3,1,RTSTRUCT,CT,1.3,1,in/P1\r\n"
        "P1,1.2,1.3,1,CT,,,4,in/P1/a\r\n"
        "P1,1.2,1.4,1,CT,,,1,in/P1/c\r\n"
        "P1,1.2,1.6,1,RTSTRUCT,,1.77,1,in/P1\r\n"
        "P1,1.2,1.6,1,RTSTRUCT,CT,1.4,1,in/P1\r\n"
        "P1,1.2,1.6,1,RTSTRUCT,CT,1.3,1,in/P1\r\n"
    )
    assert expected == (out / "index.csv").read_bytes().decode()
    series = json.loads((out / "crawl_db.json").read_text())
    assert {uid: list(entries) for uid, entries in series.items()} == {
        "1.3": ["1", "2", "1@RTSTRUCT"],
        "1.4": ["1"],
        "1.6": ["1"],
    }
    assert series["1.3"]["1"]["instances"] == {"1.3.1": "../b/1.dcm", "1.3.2": "2.dcm"}
    for entries in series.values():
        for entry in entries.values():
            for path in entry["instances"].values():
                assert (tmp_path / entry["folder"] / path).is_file()
    assert json.loads((out / "sop_map.json").read_text()) == {
        **{f"1.3.{number}": "1.3" for number in (1, 2, 3, 4, 5)},
        "1.4.1": "1.4",
        "1.3.6": "1.6",
    }
