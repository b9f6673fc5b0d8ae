"""Take tables; give the files of Med-ImageTools' layout: index.csv, crawl_db.json, sop_map.json."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.extract.registry import attributes_of, extractor_for
from dcmdask.outputs.csv import render_csv
from dcmdask.outputs.text import as_json
from dcmdask.schema import DEFAULT_SUBSERIES

INDEX_COLUMNS = (
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SubSeries",
    "Modality",
    "ReferencedModality",
    "ReferencedSeriesUID",
    "instances",
    "folder",
)
INSTANCE_COLUMNS = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "AcquisitionNumber",
    "SOPInstanceUID",
    "folder",
    "file_name",
    "url",
)
"""Columns of the instances that the JSON files need."""

_COMPARED = tuple(name for name in INDEX_COLUMNS if name != "SubSeries")
_encode = json.JSONEncoder(ensure_ascii=False).encode
_ADDED = ("ReferencedModality", "ReferencedSeriesUID", "ReferencedSOPUIDs")


def render_index(index: pa.Table, *, excel: bool) -> bytes:
    """Give index.csv: the nine columns of seed B, in the order of the index."""
    return render_csv(_told_apart(index.select(list(INDEX_COLUMNS))), INDEX_COLUMNS, excel=excel)


def _told_apart(index: pa.Table) -> pa.Table:
    """Give acquisitions of one series and of one size folders that differ as text.

    Interlacer refuses a file with two rows that differ in SubSeries only, and Med-ImageTools drops
    the second one. Both rows stay here: ``folder/.`` is the same folder in other letters.
    """
    seen: dict[tuple[Any, ...], int] = defaultdict(int)
    folders = []
    for row in index.select(list(_COMPARED)).to_pylist():
        identity = tuple(str(row[name]) for name in _COMPARED)
        folders.append(row["folder"] + "/." * seen[identity])
        seen[identity] += 1
    position = index.column_names.index("folder")
    return index.set_column(position, "folder", pa.array(folders, pa.string()))


def render_crawl_db(ranges: Iterable[tuple[pa.Table, pa.Table]]) -> Iterator[bytes]:
    """Give crawl_db.json, piece by piece.

    Parameters
    ----------
    ranges : iterable of (pyarrow.Table, pyarrow.Table)
        For each range of series, in order of SeriesInstanceUID: their merged rows, and
        `INSTANCE_COLUMNS` of their instances.
    """
    yield b"{"
    first = True
    for series, instances in ranges:
        places = _places(instances)
        by_uid: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in series.to_pylist():
            by_uid[row["SeriesInstanceUID"]].append(row)
        for uid in sorted(by_uid):
            entries = [
                (name, _entry(row, places[_key(row)])) for name, row in _named(by_uid[uid]).items()
            ]
            text = f"\n  {_encode(uid)}: {_object(entries, 2)}"
            yield (("" if first else ",") + text).encode("utf-8", "replace")
            first = False
    yield b"\n}\n"


def _object(members: Iterable[tuple[str, str]], depth: int) -> str:
    """Give a JSON object of members that are text already, one a line.

    The standard library's encoder writes line by line in Python only, five times slower.
    """
    margin = "\n" + "  " * depth
    lines = ",".join(f"{margin}{_encode(name)}: {text}" for name, text in members)
    return "{" + lines + margin[:-2] + "}" if lines else "{}"


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row["StudyInstanceUID"], row["SeriesInstanceUID"], row["Modality"], row["SubSeries"])


def _places(instances: pa.Table) -> dict[tuple[Any, ...], dict[str, tuple[str, str]]]:
    """Give, for every key, SOPInstanceUID to the folder and name of its least place."""
    rows = instances.filter(pc.is_valid(instances["SOPInstanceUID"]))
    rows = rows.sort_by([("SOPInstanceUID", "ascending"), ("url", "ascending")])
    found: dict[tuple[Any, ...], dict[str, tuple[str, str]]] = defaultdict(dict)
    sub = pc.fill_null(rows["AcquisitionNumber"], DEFAULT_SUBSERIES)
    names = ("StudyInstanceUID", "SeriesInstanceUID", "Modality")
    keys = zip(*(rows[name].to_pylist() for name in names), sub.to_pylist(), strict=True)
    spots = zip(rows["folder"].to_pylist(), rows["file_name"].to_pylist(), strict=True)
    for key, sop, spot in zip(keys, rows["SOPInstanceUID"].to_pylist(), spots, strict=True):
        found[key].setdefault(sop, spot)
    return found


def _named(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Name the objects of one series UID: SubSeries, with Modality and study where those differ.

    The first by (StudyInstanceUID, Modality) has the plain name, so that a well-behaved series is
    where Med-ImageTools would have put it.
    """
    named: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: (*map(str, _key(row)[:-1]), row["SubSeries"])):
        name = str(row["SubSeries"])
        if name in named:
            name = f"{name}@{row['Modality']}"
        if name in named:
            name = f"{name}@{row['StudyInstanceUID']}"
        named[name] = row
    return named


def _entry(row: dict[str, Any], places: dict[str, tuple[str, str]]) -> str:
    extractor = extractor_for(row["SOPClassUID"], row["Modality"])
    names = [attribute.name for attribute in attributes_of(extractor)]
    start = row["folder"]
    paths = (
        (sop, _encode(_relative(folder, name, start))) for sop, (folder, name) in places.items()
    )
    members = [(name, _encode(as_json(row[name]))) for name in (*names, *_ADDED)]
    members.append(("folder", _encode(start)))
    members.append(("instances", _object(paths, 4)))
    return _object(members, 3)


def _relative(folder: str, name: str, start: str) -> str:
    """Give the path of an instance relative to its series' folder, which it may lie outside of.

    Names of members may hold ``..`` as any other part, so that `posixpath.relpath` is not for them.
    """
    if folder == start:
        return name
    own, other = folder.split("/"), start.split("/")
    pairs = zip(own, other, strict=False)
    shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
    return "/".join([*[".."] * (len(other) - shared), *own[shared:], name])


def render_sop_map(instances: Iterable[pa.Table]) -> Iterator[bytes]:
    """Give sop_map.json, piece by piece, sorted by series and instance.

    An instance that stands in several series is given to the last of them, as by any reader of an
    object in which a key stands twice: that may happen only where the series are ranges apart.

    Parameters
    ----------
    instances : iterable of pyarrow.Table
        `INSTANCE_COLUMNS` of each range of series, in order of SeriesInstanceUID.
    """
    yield b"{"
    first = True
    for table in instances:
        pairs = table.select(["SeriesInstanceUID", "SOPInstanceUID"])
        pairs = pairs.filter(pc.is_valid(pairs["SOPInstanceUID"]))
        pairs = pairs.sort_by([(name, "ascending") for name in pairs.column_names])
        columns = (pairs["SOPInstanceUID"].to_pylist(), pairs["SeriesInstanceUID"].to_pylist())
        last = dict(zip(*columns, strict=True))
        lines = [
            f"\n  {_encode(sop)}: {_encode(uid)}"
            for sop, uid in dict.fromkeys(zip(*columns, strict=True))
            if last[sop] == uid
        ]
        if lines:
            yield ("" if first else ",").encode() + ",".join(lines).encode("utf-8", "replace")
            first = False
    yield b"\n}\n"
