"""Take tables; give the files of Med-ImageTools' layout: index.csv, crawl_db.json, sop_map.json."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.codes import Codes, codes_of, first_rows, rows_with, starts_of
from dcmdask.extract.chains import IMAGES, hangs_on
from dcmdask.extract.registry import attributes_of, extractor_for
from dcmdask.outputs.csv import render_lines
from dcmdask.outputs.json import encode, members, quoted
from dcmdask.outputs.text import LARGE, Lines, joined, large
from dcmdask.schema import DEFAULT_SUBSERIES, INDEX, KEY
from dcmdask.values import TEXT, TEXTS

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
    "path",
    "url",
)
"""Columns of the instances that the JSON files need."""

_INDEX_ROWS = pa.schema(
    [
        pa.field(name, TEXT if name.startswith("Referenced") else INDEX.field(name).type)
        for name in (*INDEX_COLUMNS, "ProjectID", "case", "folders")
    ]
)
_ADDED = ("ReferencedModality", "ReferencedSeriesUID", "ReferencedSOPUIDs", "folder")

_AT_ONCE = 65_536
"""Rows of the index that are Python objects at a time."""

Key = tuple[Any, ...]


def render_index_lines(index: pa.Table, *, excel: bool) -> Lines:
    """Give the lines of index.csv after its header, of all acquisitions of some series."""
    return render_lines(index_rows(index), INDEX_COLUMNS, excel=excel)


def index_rows(index: pa.Table) -> pa.Table:
    """Return the rows of index.csv: a series, or a series and one of those it refers to.

    Interlacer takes ``A;B`` for one UID, and of several rows of a series the last: that names the
    preferred target. Acquisitions of one series are one row, as it refuses rows that differ in
    SubSeries only. Of objects that share a series UID it keeps the last, here an image, which
    others hang on.

    Parameters
    ----------
    index : pyarrow.Table
        `dcmdask.schema.INDEX` of all acquisitions of some series, sorted by `KEY`.

    Returns
    -------
    pyarrow.Table
        `INDEX_COLUMNS`, ProjectID, case and folders.
    """
    n = index.num_rows
    starts = np.append(starts_of(codes_of(*(index[name] for name in KEY[:2]))), n)
    cuts = np.unique([*starts[np.searchsorted(starts, np.arange(0, n, _AT_ONCE))], n]).tolist()
    pieces = (index.slice(start, end - start) for start, end in itertools.pairwise(cuts))
    return pa.concat_tables([_INDEX_ROWS.empty_table(), *map(_rows_of_index, pieces)])


def _rows_of_index(index: pa.Table) -> pa.Table:
    by_key = itertools.groupby(index.to_pylist(), key=itemgetter(*KEY[:3]))
    series = [list(acquisitions) for _, acquisitions in by_key]
    rows: list[dict[str, Any]] = []
    for _, objects in itertools.groupby(series, key=lambda one: itemgetter(*KEY[:2])(one[0])):
        for acquisitions in sorted(objects, key=lambda one: one[0]["Modality"] in IMAGES):
            rows += _rows_of_series(acquisitions)
    return pa.Table.from_pylist(rows, _INDEX_ROWS)


def _rows_of_series(acquisitions: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    folders = sorted(set().union(*(one["folders"] or [] for one in acquisitions)))
    first = acquisitions[0] | {
        "instances": acquisitions[0]["series_instances"],
        "folder": min(one["folder"] for one in acquisitions),
        "folders": folders,
    }
    for modality, uid in _targets(acquisitions) or [(None, None)]:
        yield first | {"ReferencedModality": modality, "ReferencedSeriesUID": uid}


def _targets(acquisitions: list[dict[str, Any]]) -> list[tuple[str | None, str | None]]:
    """Give what the acquisitions of a series hang on: each once, that preferred by the first last."""
    found: dict[tuple[str | None, str | None], None] = {}
    for row in acquisitions:
        named = zip(row["ReferencedModality"] or [], row["ReferencedSeriesUID"] or [], strict=True)
        found |= {pair: None for pair in [*named][::-1] if hangs_on(row["Modality"], pair[0])}
    targets = [*found][::-1]
    targets.sort(key=lambda pair: pair[0] is not None)  # what is not in the crawl has no modality
    return targets


def render_crawl_db(ranges: Iterable[tuple[pa.Table, Sequence[Any]]]) -> Iterator[bytes]:
    """Give crawl_db.json: its opening, pieces for each range, its end.

    Parameters
    ----------
    ranges : iterable of (pyarrow.Table, sequence)
        For each range of series, in order of SeriesInstanceUID: their merged rows, and their
        instances in pieces that are tables or give `INSTANCE_COLUMNS` by ``select``. Where there
        are several pieces, the instances of a series stand in them in order of SOPInstanceUID.
    """
    # Not a loop of its own, whose variables would hold one range while the next is read.
    return _object_of(itertools.chain.from_iterable(itertools.starmap(_entries, ranges)))


def _object_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Give a JSON object of members that each begin with a comma."""
    yield b"{"
    first = True
    for content in pieces:
        yield content[1:] if first else content
        first = first and not content
    yield b"\n}\n"


def _entries(series: pa.Table, pieces: Sequence[Any]) -> Iterator[bytes]:
    """Give the members of crawl_db.json of one range of series."""
    keys = list(zip(*(series[name].to_pylist() for name in KEY), strict=True))
    metadata = _metadata(series)
    folders = dict(zip(keys, series["folder"].to_pylist(), strict=True))
    by_uid: dict[str, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        by_uid[key[1]].append(row)
    lines_of = _lister(pieces, folders)
    content: list[bytes | memoryview] = []
    for uid in sorted(by_uid):
        content.append(f",\n  {encode(uid)}: {{".encode())
        named = _named({keys[row]: row for row in by_uid[uid]})
        for place, (name, row) in enumerate(named.items()):
            content.append(f"{',' if place else ''}\n    {encode(name)}: ".encode())
            content += (metadata[row], b"{")
            end = b"}\n    }"
            for number, lines in enumerate(lines_of(keys[row])):
                yield from _flushed(content, when=number > 0)
                content += (b"," if number else b"", lines)
                end = b"\n      }\n    }"
            content.append(end)
        content.append(b"\n  }")
    yield b"".join(content)


def _flushed(content: list[bytes | memoryview], *, when: bool) -> Iterator[bytes]:
    """Give what has come together so far, where the series has more than is held."""
    if when:
        yield b"".join(content)
        content.clear()


def _lister(
    pieces: Sequence[Any], folders: dict[Key, str]
) -> Callable[[Key], Iterator[memoryview]]:
    """Give what gives the lines of a series, of each piece that holds some of them."""

    @lru_cache(maxsize=1)
    def places(number: int) -> dict[Key, memoryview]:
        return _places(pieces[number].select(INSTANCE_COLUMNS), folders)

    held = [set(places(number)) for number in range(len(pieces))]

    def lines_of(key: Key) -> Iterator[memoryview]:
        numbers = [number for number, keys in enumerate(held) if key in keys]
        for number in numbers:
            yield places(number)[key]

    return lines_of


def _metadata(series: pa.Table) -> dict[int, memoryview]:
    """Give, for every row, its object but for what stands under "instances"."""
    columns = (series["SOPClassUID"].to_pylist(), series["Modality"].to_pylist())
    extractors = list(map(extractor_for, *columns))
    found: dict[int, memoryview] = {}
    for extractor in {one.modality: one for one in extractors}.values():
        names = [attribute.name for attribute in attributes_of(extractor)]
        rows = [row for row, one in enumerate(extractors) if one is extractor]
        own = _without_null_texts(series.take(rows).select([*names, *_ADDED]))
        parts = members(own, own.column_names, ",\n      ")
        lines = Lines.of(joined("{\n      ", *parts, ',\n      "instances": '))
        found |= {row: lines.between(spot, spot + 1) for spot, row in enumerate(rows)}
    return found


def _without_null_texts(series: pa.Table) -> pa.Table:
    """Put an empty text where a list has none, as Med-ImageTools does of a ROI without its name."""
    for spot, column in enumerate(series.columns):
        if column.type == TEXTS and pc.list_flatten(column).null_count:
            lists = [texts and [text or "" for text in texts] for texts in column.to_pylist()]
            series = series.set_column(spot, series.field(spot), pa.array(lists, TEXTS))
    return series


def _places(instances: pa.Table, folders: dict[Key, str]) -> dict[Key, memoryview]:
    """Give, for every key, the lines of its instances: SOPInstanceUID to the least place."""
    rows = rows_with(instances, "SOPInstanceUID")
    sub = pc.fill_null(rows["AcquisitionNumber"], DEFAULT_SUBSERIES)
    rows = rows.append_column("SubSeries", sub)
    names = (*KEY, "SOPInstanceUID", "path", "url")
    order = pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in names]).to_numpy()
    series = codes_of(*(rows[name] for name in KEY))
    chosen = order[starts_of(series[order], codes_of(rows["SOPInstanceUID"])[order])]
    starts = starts_of(series[chosen])
    first = pa.array(chosen[starts])
    keys = list(zip(*(rows[name].take(first).to_pylist() for name in KEY), strict=True))
    ways = _ways(rows["folder"], chosen, starts, [folders[key] for key in keys])
    placed = rows.select(["SOPInstanceUID", "file_name"]).take(chosen)
    sops, files = map(large, placed.columns)
    lines = Lines.of(joined("\n        ", quoted(sops), ": ", quoted(joined(ways, files)), ","))
    stops = np.append(starts, len(lines))[1:]
    return {
        key: lines.between(start, stop, trimmed=len(","))
        for key, start, stop in zip(keys, starts.tolist(), stops.tolist(), strict=True)
    }


def _named(rows: dict[Key, int]) -> dict[str, int]:
    """Name the objects of one series UID: SubSeries, with Modality and study where those differ.

    The first by (StudyInstanceUID, Modality) has the plain name, so that a well-behaved series is
    where Med-ImageTools would have put it.
    """
    named: dict[str, int] = {}
    for key in sorted(rows, key=lambda key: (*map(str, key[:-1]), key[-1])):
        study, _, modality, sub_series = key
        name = str(sub_series)
        if name in named:
            name = f"{name}@{modality}"
        if name in named:
            name = f"{name}@{study}"
        named[name] = rows[key]
    return named


def _ways(column: pa.ChunkedArray, chosen: Codes, starts: Codes, folders: list[str]) -> pa.Array:
    """Give the ways from the folders of series to those of their instances.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        Folders of instances.
    chosen : numpy.ndarray of int64
        Of which rows, those of a series side by side.
    starts : numpy.ndarray of int64
        Where in `chosen` each series begins.
    folders : list of str
        The folder of each series.
    """
    series = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(chosen)))
    pairs = codes_of(series, codes_of(column)[chosen])
    first = first_rows(pairs)
    own = column.take(pa.array(chosen[first])).to_pylist()
    ways = [
        _way(folder, folders[number]) for folder, number in zip(own, series[first], strict=True)
    ]
    return pa.array(ways, LARGE).take(pa.array(pairs))


def _way(folder: str, start: str) -> str:
    """Give the way from a series' folder to one of its instances', which may lie outside of it.

    Names of members may hold ``..`` as any other part, so that `posixpath.relpath` is not for them.
    """
    if folder == start:
        return ""
    own, other = folder.split("/"), start.split("/")
    pairs = zip(own, other, strict=False)
    shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
    return "/".join([*[".."] * (len(other) - shared), *own[shared:], ""])


def render_sop_map(instances: Iterable[pa.Table]) -> Iterator[bytes]:
    """Give sop_map.json, sorted by SOPInstanceUID: its opening, a piece a range, its end.

    An instance that stands in several series is given to the last of them.

    Parameters
    ----------
    instances : iterable of pyarrow.Table
        SOPInstanceUID and SeriesInstanceUID of each range of instances, in order of SOPInstanceUID.
    """
    return _object_of(map(_pairs, instances))


def _pairs(instances: pa.Table) -> bytes:
    """Give the members of sop_map.json of one range of instances."""
    rows = instances.select(["SOPInstanceUID", "SeriesInstanceUID"])
    rows = rows_with(rows_with(rows, "SOPInstanceUID"), "SeriesInstanceUID")
    keys = [(name, "ascending") for name in rows.column_names]
    order = pc.sort_indices(rows, sort_keys=keys).to_numpy()
    starts = starts_of(codes_of(rows["SOPInstanceUID"])[order])
    last = np.append(starts[1:], len(order)) - 1
    rows = rows.take(order[last[: len(starts)]])
    sops, series = (quoted(large(column)) for column in rows.columns)
    return bytes(Lines.of(joined(",\n  ", sops, ": ", series)).content)
