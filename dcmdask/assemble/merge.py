"""Merge the instances of a crawl into series, by ranges; give the series to the outputs that take them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.assemble import rows
from dcmdask.assemble.spill import Key, Shelf, Stream, cut, one_by_one, sort_text
from dcmdask.assemble.work import Takers, Work
from dcmdask.formats import imgtools
from dcmdask.table_types import DescribedTable, InstancesTable, SeriesTable, WholeTable
from dcmdask.tables import index, notes, references, series
from dcmdask.tables.arrow import Array, values_of
from dcmdask.tables.schema import DEFAULT_SUBSERIES, DESCRIBED

_SERIES_WEIGHT = 16
"""Of a merged series, which has 200 columns, in instances."""

COLUMNS = tuple(dict.fromkeys((*series.COLUMNS, *imgtools.INSTANCE_COLUMNS)))
"""Columns of the instances that a range of series holds."""


@dataclass(slots=True)
class Merged:
    """Merged series, range by range, and what references ask of them.

    Attributes
    ----------
    ranges : list of (list of Stream, Stream)
        Instances of each range of series, in pieces where one series is too large; and the series.
    series : Stream
        `dcmdask.tables.series.WHOLE` of all ranges.
    asked : pyarrow.Table
        `dcmdask.tables.references.SERIES_COLUMNS` of the series that references may be about: 0.2 kB each.
    representatives : pyarrow.Array
        URLs of those instances of which references or notes were kept that are representatives.
    """

    ranges: list[tuple[list[Stream], Stream]]
    series: Stream
    asked: WholeTable
    representatives: Array


def merge_instances(work: Work, instances: Stream, named: Stream) -> Merged:
    """Merge instances into series, a range of SeriesInstanceUID at a time.

    Parameters
    ----------
    work : Work
        What every stage needs.
    instances : Stream
        At least `COLUMNS` of all instances.
    named : Stream
        References as objects name them.
    """
    most = work.most
    frames = distinct(
        map(references.frames_named, named.read(["target_level", "target_uid"])), most
    )
    noted = distinct(
        chain(
            map(references.noted_of, named.read(["of_series", "source_url"])),
            map(notes.urls_of_series, work.parts.batches("notes")),
        ),
        most,
    )
    streams = {
        "instances": instances.only(*COLUMNS).having("SeriesInstanceUID"),
        "described": work.stream_of("described", DESCRIBED, _SERIES_WEIGHT),
        "targets": named.only("target_uid").renamed("SeriesInstanceUID"),
    }
    ranges = cut(streams, Key.by("SeriesInstanceUID"), most, work.scratch("series"))
    shelf = Shelf(work.scratch("merged"), series.WHOLE, most, weight=_SERIES_WEIGHT)
    kept, asked = [], []
    urls: list[Array] = [pa.array([], pa.string())]
    for number, one in enumerate(one_by_one(ranges)):
        pieces, merged = _merge_range(work, number, one)
        kept.append((pieces, shelf.put(merged)))
        is_asked = pc.or_(
            pc.is_in(merged["SeriesInstanceUID"], one["targets"].table()["SeriesInstanceUID"]),
            pc.is_in(merged["FrameOfReferenceUID"], frames),
        )
        asked.append(merged.select(references.SERIES_COLUMNS).filter(is_asked))
        own = merged["representative_url"]
        urls += own.filter(pc.is_in(own, noted)).chunks
    series_asked = WholeTable(pa.concat_tables(asked))
    return Merged(kept, shelf.stream(), series_asked, pa.concat_arrays(urls))


def distinct(arrays: Iterable[Array], most: int) -> Array:
    """Return every text of some arrays once, in linear time: duplicates go when they may be half.

    Parameters
    ----------
    arrays : iterable of pyarrow.Array
        Text.
    most : int
        Duplicates that may be held in any case.
    """
    held: list[Array] = [pa.array([], pa.string())]
    size = room = 0
    for array in arrays:
        held.append(array)
        size += len(array)
        if size > 2 * room + most:
            held = [pc.unique(pa.concat_arrays(held))]
            size = room = len(held[0])
    once: Array = pc.unique(pa.concat_arrays(held))
    return once


def _merge_range(
    work: Work, number: int, streams: dict[str, Stream]
) -> tuple[list[Stream], WholeTable]:
    """Merge a range of series; give their instances in pieces, and `dcmdask.tables.series.WHOLE`."""
    instances, described = streams["instances"], DescribedTable(streams["described"].table())
    pieces = _pieces(work, instances, work.scratch(f"series/pieces-{number}"))
    if len(pieces) == 1:
        merged = series.merge_series(InstancesTable(pieces[0].table()), described)
    else:

        def tables() -> Iterator[InstancesTable]:
            return (InstancesTable(piece.table()) for piece in one_by_one(pieces))

        merged = series.merge_pieces(tables, described)
    by_instance = partial(_by_instance, work, instances, work.scratch(f"series/sops-{number}"))
    return pieces, series.with_whole_series(merged, by_instance)


def _pieces(work: Work, instances: Stream, folder: Path) -> list[Stream]:
    """Return a range of instances; where one series alone is too large, in pieces by instance."""

    def place(table: Any) -> Any:
        sub = pc.fill_null(table["AcquisitionNumber"], DEFAULT_SUBSERIES)
        # As `crawl_db.json` lists them, so that it takes the pieces one after another.
        number = pc.utf8_lpad(sub.cast(pa.string()), 19, "0")
        texts = (table[name] for name in ("StudyInstanceUID", "Modality"))
        return sort_text(*texts, number, table["SOPInstanceUID"])

    columns = ("StudyInstanceUID", "Modality", "AcquisitionNumber", "SOPInstanceUID")
    cuts = cut({"instances": instances}, Key(columns, place), work.most, folder)
    return [one["instances"] for one in cuts]


def _by_instance(work: Work, instances: Stream, folder: Path) -> Iterator[InstancesTable]:
    """Return what counting a range of series needs; those of one SOPInstanceUID in one piece."""
    streams = {"instances": instances.only(*series.COUNTED)}
    ranges = cut(streams, Key.by("SOPInstanceUID"), work.most, folder)
    return (InstancesTable(one["instances"].table()) for one in one_by_one(ranges))


@dataclass(slots=True)
class Counted:
    """What is counted of series on their way.

    Attributes
    ----------
    cases, modalities : Counter
        Series of each case and of each modality.
    studies : int
        Distinct StudyInstanceUIDs.
    """

    cases: Counter[str] = field(default_factory=Counter)
    modalities: Counter[str] = field(default_factory=Counter)
    studies: int = 0
    last: list[Any] = field(default_factory=list)

    def add(self, table: SeriesTable) -> None:
        """Count the next series, which are sorted by study."""
        self.cases.update(values_of(table["case"]))
        self.modalities.update(m or "" for m in table["Modality"].to_pylist())
        studies = pc.unique(table["StudyInstanceUID"]).to_pylist()
        # A study may begin in one range and end in the next.
        self.studies += len(studies) - (bool(self.last) and studies[:1] == self.last)
        self.last = studies[-1:]


def give_series(work: Work, merged: Merged, referred: index.Targets) -> Counted:
    """Return all series to those who take them, sorted by study; count them."""
    counted = Counted()
    kinds = (rows.SERIES, rows.INDEX, rows.INDEX_LINES)
    with ExitStack() as stack:
        takers = [stack.enter_context(work.takers(kind)) for kind in kinds]
        for one in work.ranges("studies", {"series": merged.series}, Key.by(*rows.SERIES.key)):
            table = index.with_references(WholeTable(one["series"].table()), referred)
            counted.add(table)
            _give_range(work, table, *takers)
    return counted


def _give_range(
    work: Work, table: SeriesTable, by_series: Takers, by_index: Takers, by_line: Takers
) -> None:
    if by_series:
        by_series.add(index.build_crawl_db(table))
    if by_index or by_line:
        lines = index.build_index(table, work.project_ids)
        by_index.add(lines)
        if by_line:
            by_line.add(imgtools.index_rows(lines))


def give_series_and_instances(work: Work, merged: Merged, referred: index.Targets) -> None:
    """Return all series with their instances to those who take them, a range at a time."""
    with work.takers(rows.SERIES_AND_INSTANCES) as takers:
        if takers:
            for instances, own in one_by_one(merged.ranges):
                # Not in a variable, which would hold one range while the next is read.
                takers.add(index.with_references(WholeTable(own.table()), referred), instances)


def count_patients(work: Work, merged: Merged) -> int:
    """Count the distinct PatientIDs of series."""
    streams = {"series": merged.series.only("PatientID")}
    ranges = work.ranges("patients", streams, Key.by("PatientID"))
    return sum(len(pc.unique(one["series"].table()["PatientID"])) for one in ranges)
