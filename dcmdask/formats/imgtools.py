"""Take tables; give the files of Med-ImageTools' layout.

They are index.csv, crawl_db.json, crawl-cache.json and sop_map.json. Med-ImageTools loads the last two
instead of crawling, and writes the first two anew from them.
"""

from __future__ import annotations

import itertools
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.dicom.values import TEXT, TEXTS
from dcmdask.extract.chains import IMAGES, hangs_on
from dcmdask.extract.registry import attributes_of, extractor_for
from dcmdask.formats.csv import render_lines
from dcmdask.formats.json import (
    as_python_writes,
    as_texts,
    encode,
    members,
    quoted,
    quoted_in_ascii,
)
from dcmdask.formats.text import LARGE, Lines, joined, large
from dcmdask.table_types import IndexRowsTable, IndexTable, InstancesTable, SeriesTable
from dcmdask.tables.arrow import Array, Column, values_of
from dcmdask.tables.factorize import Codes, codes_of, first_rows, rows_with, starts_of
from dcmdask.tables.schema import DEFAULT_SUBSERIES, INDEX, KEY, in_archive

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

INDEX_ROWS = pa.schema(
    [
        pa.field(name, TEXT if name.startswith("Referenced") else INDEX.field(name).type)
        for name in (*INDEX_COLUMNS, "ProjectID", "case", "folders")
    ]
)
"""What `index_rows` gives."""

_ADDED = ("ReferencedModality", "ReferencedSeriesUID", "ReferencedSOPUIDs", "folder")

_TARGET = ("ReferencedModality", "ReferencedSeriesUID")
_COMPARED = tuple(name for name in INDEX_COLUMNS if name not in ("SubSeries", "instances"))

_AT_ONCE = 65_536
"""Rows of the index that are Python objects at a time."""

Key = tuple[Any, ...]
_Texts = tuple[memoryview, ...]
"""One and the same for each of `_FORMS`."""


def index_rows(index: IndexTable) -> IndexRowsTable:
    """Return the rows of index.csv: a series, or a series and one of those it refers to.

    Interlacer takes ``A;B`` for one UID, and of several rows of a series the last: that names the
    preferred target. Acquisitions of one series are one row, as it refuses rows that differ in
    SubSeries only. Of objects that share a series UID it keeps the last, here an image, which
    others hang on.

    Parameters
    ----------
    index : pyarrow.Table
        `dcmdask.tables.schema.INDEX` of all acquisitions of some series, sorted by `KEY`.

    Returns
    -------
    pyarrow.Table
        `INDEX_COLUMNS`, ProjectID, case and folders.
    """
    n = index.num_rows
    starts = np.append(starts_of(codes_of(*(index[name] for name in KEY[:2]))), n)
    cuts = np.unique([*starts[np.searchsorted(starts, np.arange(0, n, _AT_ONCE))], n]).tolist()
    pieces = (index.slice(start, end - start) for start, end in itertools.pairwise(cuts))
    tables = [INDEX_ROWS.empty_table(), *map(_rows_of_index, pieces)]
    return IndexRowsTable(pa.concat_tables(tables))


def _rows_of_index(index: IndexTable) -> pa.Table:
    by_key = itertools.groupby(index.to_pylist(), key=itemgetter(*KEY[:3]))
    series = [list(acquisitions) for _, acquisitions in by_key]
    rows: list[dict[str, Any]] = []
    for _, objects in itertools.groupby(series, key=lambda one: itemgetter(*KEY[:2])(one[0])):
        for acquisitions in sorted(objects, key=lambda one: one[0]["Modality"] in IMAGES):
            rows += _rows_of_series(acquisitions)
    return pa.Table.from_pylist(rows, INDEX_ROWS)


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
    """Return what the acquisitions of a series hang on: each once, that of the first last."""
    found: dict[tuple[str | None, str | None], None] = {}
    for row in acquisitions:
        named = zip(row["ReferencedModality"] or [], row["ReferencedSeriesUID"] or [], strict=True)
        found |= {pair: None for pair in [*named][::-1] if hangs_on(row["Modality"], pair[0])}
    targets = [*found][::-1]
    targets.sort(key=lambda pair: pair[0] is not None)  # what is not in the crawl has no modality
    return targets


class SeriesFiles(NamedTuple):
    """A piece of each of the files that hold every series.

    Attributes
    ----------
    crawl_db : bytes
        Of crawl_db.json.
    crawl_cache : bytes
        Of crawl-cache.json.
    rewritten_index : bytes
        Of index.csv as Med-ImageTools writes it anew whenever it loads crawl-cache.json.
    """

    crawl_db: bytes
    crawl_cache: bytes
    rewritten_index: bytes


@dataclass(frozen=True, slots=True)
class _Form:
    """How one of the JSON files is laid out.

    Attributes
    ----------
    indent : str
        Of one level.
    empty, end : bytes
        The file without a series; the end of any other.
    quoted, texts : callable
        Give texts, and the values of a series, as JSON.
    encode : callable
        Gives one text as JSON.
    """

    indent: str
    empty: bytes
    end: bytes
    quoted: Callable[[Array], Array]
    texts: Callable[[Column], Array]
    encode: Callable[[str], str]

    def start(self, depth: int) -> str:
        """Return what a line begins with that stands in so many objects."""
        return "\n" + depth * self.indent


_CRAWL_DB = _Form("  ", b"{\n}\n", b"\n}\n", quoted, as_texts, encode)

_CRAWL_CACHE = _Form("    ", b"{}", b"\n}", quoted_in_ascii, as_python_writes(3), json.dumps)
"""Byte for byte as ``json.dump(..., indent=4)``: what Med-ImageTools writes as crawl_db.json when it has
loaded the cache is then known beforehand."""

_FORMS = (_CRAWL_DB, _CRAWL_CACHE)


class SeriesRenderer:
    """Renders crawl_db.json and crawl-cache.json: their opening, pieces for each range, their end.

    Notes
    -----
    The cache holds what Med-ImageTools would find out itself: of each series the one it refers to.
    """

    def __init__(self) -> None:
        self._has_series = False

    def begin(self) -> SeriesFiles:
        """Return what stands before all series."""
        header = (",".join(INDEX_COLUMNS) + os.linesep).encode()
        return SeriesFiles(b"", b"", header)

    def render(self, series: SeriesTable, pieces: Sequence[Any]) -> Iterator[SeriesFiles]:
        """Yield one range of series; ranges come in order of SeriesInstanceUID.

        Parameters
        ----------
        series : pyarrow.Table
            Merged rows, with what they refer to.
        pieces : sequence
            Their instances, in pieces that are tables or give `INSTANCE_COLUMNS` by ``select``.
            Where there are several, the instances of a series stand in them in order of
            SOPInstanceUID.
        """
        for one in _entries(series, pieces):
            if self._has_series or not one.crawl_db:
                yield one
            else:
                # Every member begins with a comma.
                yield SeriesFiles(b"{", b"{", b"")
                yield SeriesFiles(one.crawl_db[1:], one.crawl_cache[1:], one.rewritten_index)
                self._has_series = True

    def end(self) -> SeriesFiles:
        """Return what stands behind all series."""
        crawl_db, cache = (form.end if self._has_series else form.empty for form in _FORMS)
        return SeriesFiles(crawl_db, cache, b"")


class _Members:
    """Members of one of the files as they come together.

    Parameters
    ----------
    form : _Form
        How it is laid out.
    series : pyarrow.Table
        Merged series, with the values that it shows.
    """

    def __init__(self, form: _Form, series: SeriesTable) -> None:
        self._form = form
        self._metadata = _metadata(series, form)
        self._content: list[bytes | memoryview] = []
        self._end = b""

    def begin_series(self, uid: str) -> None:
        """Begin the object of a series."""
        self._put(f",{self._form.start(1)}{self._form.encode(uid)}: {{")

    def begin_entry(self, place: int, name: str, row: int) -> None:
        """Begin the object of an acquisition with all but its instances."""
        self._put(f"{',' if place else ''}{self._form.start(2)}{self._form.encode(name)}: ")
        self._content += (self._metadata[row], b"{")
        self._end = b""

    def add_instances(self, lines: memoryview) -> None:
        """Add instances."""
        self._content += (b"," if self._end else b"", lines)
        self._end = self._form.start(3).encode()

    def end_entry(self) -> None:
        """End the object of an acquisition."""
        self._content.append(self._end)
        self._put(f"}}{self._form.start(2)}}}")

    def end_series(self) -> None:
        """End the object of a series."""
        self._put(f"{self._form.start(1)}}}")

    def taken(self) -> bytes:
        """Return what has come together so far, and forget it."""
        content = b"".join(self._content)
        self._content.clear()
        return content

    def _put(self, text: str) -> None:
        self._content.append(text.encode())


def _entries(series: SeriesTable, pieces: Sequence[Any]) -> Iterator[SeriesFiles]:
    """Yield the members of one range of series."""
    keys = list(zip(*(series[name].to_pylist() for name in KEY), strict=True))
    cached = _as_interlacer_takes_them(series, keys)
    tables = (series, cached)
    folders = [dict(zip(keys, one["folder"].to_pylist(), strict=True)) for one in tables]
    by_uid: dict[str, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        by_uid[key[1]].append(row)
    named = {uid: _named({keys[row]: row for row in by_uid[uid]}) for uid in sorted(by_uid)}
    lines_of = _lister(pieces, folders)
    files = [_Members(form, table) for form, table in zip(_FORMS, tables, strict=True)]
    for uid, entries in named.items():
        for one in files:
            one.begin_series(uid)
        for place, (name, row) in enumerate(entries.items()):
            for one in files:
                one.begin_entry(place, name, row)
            for number, texts in enumerate(lines_of(keys[row])):
                if number:
                    # The series has more instances than are held.
                    yield SeriesFiles(files[0].taken(), files[1].taken(), b"")
                for one, lines in zip(files, texts, strict=True):
                    one.add_instances(lines)
            for one in files:
                one.end_entry()
        for one in files:
            one.end_series()
    index = _rewritten_index(cached, named.values())
    yield SeriesFiles(files[0].taken(), files[1].taken(), index)


def _lister(
    pieces: Sequence[Any], folders: Sequence[dict[Key, str]]
) -> Callable[[Key], Iterator[_Texts]]:
    """Return what gives the lines of a series, of each piece that holds some of them."""

    @lru_cache(maxsize=1)
    def places(number: int) -> dict[Key, _Texts]:
        return _places(pieces[number].select(INSTANCE_COLUMNS), folders)

    held = [set(places(number)) for number in range(len(pieces))]

    def lines_of(key: Key) -> Iterator[_Texts]:
        numbers = [number for number, keys in enumerate(held) if key in keys]
        for number in numbers:
            yield places(number)[key]

    return lines_of


def _metadata(series: SeriesTable, form: _Form) -> dict[int, memoryview]:
    """Give, for every row, its object but for what stands under "instances"."""
    columns = (series["SOPClassUID"].to_pylist(), series["Modality"].to_pylist())
    extractors = list(map(extractor_for, *columns))
    start = form.start(3)
    found: dict[int, memoryview] = {}
    for extractor in {one.modality: one for one in extractors}.values():
        names = [attribute.name for attribute in attributes_of(extractor)]
        rows = [row for row, one in enumerate(extractors) if one is extractor]
        own = _without_null_texts(series.take(rows).select([*names, *_ADDED]))
        parts = members(own, own.column_names, f",{start}", form.texts)
        lines = Lines.of(joined(f"{{{start}", *parts, f',{start}"instances": '))
        found |= {row: lines.between(spot, spot + 1) for spot, row in enumerate(rows)}
    return found


def _without_null_texts(series: SeriesTable) -> SeriesTable:
    """Put an empty text where a list has none, as Med-ImageTools does of a ROI without its name."""
    for spot, column in enumerate(series.columns):
        if column.type == TEXTS and pc.list_flatten(column).null_count:
            lists = [texts and [text or "" for text in texts] for texts in column.to_pylist()]
            series = series.set_column(spot, series.field(spot), pa.array(lists, TEXTS))
    return series


# -- what Med-ImageTools makes of the cache ----------------------------------------------------------


def _as_interlacer_takes_them(series: SeriesTable, keys: Sequence[Key]) -> SeriesTable:
    """Return series of which all acquisitions name one folder, and one series that they refer to.

    Med-ImageTools joins the files of all acquisitions to the folder of one of them. It then does not
    find those that lie elsewhere and says so; by their names alone it may take other ones for them.
    """
    acquisitions: dict[Key, list[int]] = defaultdict(list)
    for row in sorted(range(len(keys)), key=lambda row: keys[row][-1]):
        acquisitions[keys[row][:-1]].append(row)
    records = series.select(["Modality", *_TARGET, "folder"]).to_pylist()
    shown: list[tuple[str | None, str | None, str]] = [(None, None, "")] * len(keys)
    for rows in acquisitions.values():
        own = [records[row] for row in rows]
        modality, uid = (_targets(own) or [(None, None)])[-1]
        for row in rows:
            shown[row] = (modality, uid, min(one["folder"] for one in own))
    for spot, name in enumerate((*_TARGET, "folder")):
        values = pa.array([one[spot] for one in shown], TEXT)
        series = series.set_column(series.column_names.index(name), name, values)
    return series


def _rewritten_index(cached: SeriesTable, named: Iterable[dict[str, int]]) -> bytes:
    """Return rows of index.csv as Med-ImageTools writes them of what the cache holds."""
    compared = cached.select([*_COMPARED, "instance_count"])
    rows: list[int] = []
    names: list[str] = []
    for entries in named:
        own = entries
        if len(entries) > 1:
            # It drops what differs in SubSeries only.
            values = compared.take(pa.array(list(entries.values()))).to_pylist()
            texts = [tuple(map(str, one.values())) for one in values]
            kept = set(dict(zip(texts[::-1], list(entries)[::-1], strict=True)).values())
            own = {name: row for name, row in entries.items() if name in kept}
        rows += own.values()
        names += own
    table = cached.take(pa.array(rows, pa.int64()))
    table = table.set_column(
        table.column_names.index("SubSeries"), "SubSeries", pa.array(names, pa.string())
    )
    table = table.append_column("instances", table["instance_count"])
    return bytes(render_lines(table, INDEX_COLUMNS, excel=False, end=os.linesep).content)


# -- instances ---------------------------------------------------------------------------------------


def _places(instances: InstancesTable, folders: Sequence[dict[Key, str]]) -> dict[Key, _Texts]:
    """Give, for every key, the lines of its instances: SOPInstanceUID to the least place.

    A member of an archive has its place only where the instance is not on disk as well.
    """
    rows = rows_with(instances, "SOPInstanceUID")
    sub = pc.fill_null(rows["AcquisitionNumber"], DEFAULT_SUBSERIES)
    rows = rows.append_column("SubSeries", sub)
    rows = rows.append_column("archived", in_archive(rows))
    names = (*KEY, "SOPInstanceUID", "archived", "path", "url")
    order = pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in names]).to_numpy()
    series = codes_of(*(rows[name] for name in KEY))
    chosen = order[starts_of(series[order], codes_of(rows["SOPInstanceUID"])[order])]
    starts = starts_of(series[chosen])
    first = pa.array(chosen[starts])
    keys = list(zip(*(rows[name].take(first).to_pylist() for name in KEY), strict=True))
    own, cached = ([one[key] for key in keys] for one in folders)
    ways = _ways(rows["folder"], chosen, starts, own)
    other_ways = ways if own == cached else _ways(rows["folder"], chosen, starts, cached)
    placed = rows.select(["SOPInstanceUID", "file_name"]).take(chosen)
    sops, files = map(large, placed.columns)
    texts = [
        Lines.of(
            joined(form.start(4), form.quoted(sops), ": ", form.quoted(joined(way, files)), ",")
        )
        for form, way in zip(_FORMS, (ways, other_ways), strict=True)
    ]
    stops = np.append(starts, len(chosen))[1:]
    return {
        key: tuple(lines.between(start, stop, trimmed=len(",")) for lines in texts)
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


def _ways(column: Column, chosen: Codes, starts: Codes, folders: list[str]) -> Array:
    """Return the ways from the folders of series to those of their instances.

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
    own = values_of(column.take(pa.array(chosen[first])))
    ways = [
        _way(folder, folders[number]) for folder, number in zip(own, series[first], strict=True)
    ]
    return pa.array(ways, LARGE).take(pa.array(pairs))


def _way(folder: str, start: str) -> str:
    """Return the way from a series' folder to one of its instances', which may lie outside of it.

    Names of members may hold ``..`` as any other part, so that `posixpath.relpath` is not for them.
    """
    if folder == start:
        return ""
    own, other = folder.split("/"), start.split("/")
    pairs = zip(own, other, strict=False)
    shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
    return "/".join([*[".."] * (len(other) - shared), *own[shared:], ""])


def render_sop_map(instances: InstancesTable, columns: Sequence[str]) -> Lines:
    """Return lines of sop_map.json, sorted by SOPInstanceUID; each begins with a comma.

    An instance that stands in several series is given to the last of them.

    Parameters
    ----------
    instances : pyarrow.Table
        All instances of a range of SOPInstanceUIDs.
    columns : sequence of str
        SOPInstanceUID and SeriesInstanceUID.
    """
    rows = instances.select(columns)
    for name in columns:
        rows = rows_with(rows, name)
    keys = [(name, "ascending") for name in columns]
    order = pc.sort_indices(rows, sort_keys=keys).to_numpy()
    starts = starts_of(codes_of(rows[columns[0]])[order])
    last = np.append(starts[1:], len(order)) - 1
    rows = rows.take(order[last[: len(starts)]])
    sops, series = (quoted(large(column)) for column in rows.columns)
    return Lines.of(joined(",\n  ", sops, ": ", series))
