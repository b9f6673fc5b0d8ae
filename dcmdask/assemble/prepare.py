"""Take the parts that the workers left; prepare everything a catalog publishes. One writer.

A small crawl is held. Of a larger one a range is held at a time: of series, of instances by UID, of
sources of references, of case rows. What stays for the whole of a crawl is said where it is kept:
a case costs some hundred bytes, a series that refers to others or that others refer to about a
kilobyte, an instance nothing.
"""

from __future__ import annotations

import shutil
import zlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dcmdask._version import __version__
from dcmdask.assemble.case_files import names_of_cases, write_cases
from dcmdask.assemble.case_rows import case_row_ranges
from dcmdask.assemble.spill import Key, Shelf, Stream, cut, one_by_one, sort_text
from dcmdask.config import RunOptions
from dcmdask.formats import imgtools
from dcmdask.formats.csv import render_header
from dcmdask.formats.parquet import ParquetWriter
from dcmdask.formats.xlsx import Workbook
from dcmdask.publish.output import Check
from dcmdask.publish.staging import Staging
from dcmdask.state.parts import Parts
from dcmdask.tables import cases, index, notes, references, series
from dcmdask.tables.schema import (
    CASES,
    CRAWL_DB,
    DEFAULT_SUBSERIES,
    DESCRIBED,
    FAILURES,
    INDEX,
    INSTANCES,
    NOTED,
    NOTES,
    REFERENCES,
    stamped,
)

LARGEST_RANGE = 131_072
"""Instances held at once."""

# In instances. A merged series has 200 columns, a reference becomes Python objects.
_SERIES_WEIGHT = 16
_NAMED_WEIGHT = 4

PUBLISHED = (
    "instances",
    "crawl_db.parquet",
    "index.parquet",
    "references.parquet",
    "failures.parquet",
    "notes.parquet",
    "cases.parquet",
    "index.csv",
    "crawl_db.json",
    "crawl-cache.json",
    "sop_map.json",
    "cases",
    "all_cases.csv",
    "all_cases_original.csv",
    "all_cases_desensitized.csv",
    "index.xlsx",
    "all_cases.xlsx",
    "all_cases_original.xlsx",
    "all_cases_desensitized.xlsx",
)
"""Names that a run answers for in OUT."""

_OF_IMGTOOLS = {"index.csv", "crawl_db.json", "crawl-cache.json", "sop_map.json"}
_OF_CASES = {name for name in PUBLISHED if name == "cases" or name.startswith("all_cases")}
_WORKBOOK = "index.xlsx"

_OF_SERIES = tuple(dict.fromkeys((*series.COLUMNS, *imgtools.INSTANCE_COLUMNS)))
_NEEDED = {*_OF_SERIES, *cases.COLUMNS, *references.TARGET_COLUMNS}
_READ = pa.schema([field for field in INSTANCES if field.name in _NEEDED])


@dataclass(frozen=True, slots=True)
class Assembled:
    """What was prepared.

    Attributes
    ----------
    files : list of str
        Instance parts, by published name.
    series, references, unresolved : int
        Rows.
    modalities, kinds : dict
        Series of each modality; failures and skips of each kind.
    patients, studies : int
        Distinct PatientIDs and StudyInstanceUIDs of series.
    notes, noted : dict
        Rows of `notes` of each kind; instances that have one of it.
    rewritten : dict
        Published name to `Check` of what Med-ImageTools makes of the file when it takes the crawl.
    """

    files: list[str]
    series: int
    references: int
    unresolved: int
    modalities: dict[str, int]
    kinds: dict[str, int]
    patients: int
    studies: int
    notes: dict[str, int]
    noted: dict[str, int]
    rewritten: dict[str, Check]


@dataclass(frozen=True, slots=True)
class _Work:
    """What every stage needs."""

    store: Staging
    parts: Parts
    instances: Stream
    project_ids: Mapping[str, int]
    options: RunOptions

    def writes(self, layout: str) -> bool:
        return self.options.layout in (layout, "all")

    def scratch(self, name: str) -> Path:
        return self.store.staging / "spill" / name

    def ranges(
        self, name: str, streams: Mapping[str, Stream], key: Key
    ) -> Iterator[dict[str, Stream]]:
        """Give the ranges of a key; their files are gone when the last was taken."""
        yield from one_by_one(cut(streams, key, LARGEST_RANGE, self.scratch(name)))
        shutil.rmtree(self.scratch(name), ignore_errors=True)

    def workbook(
        self, name: str, columns: Sequence[str]
    ) -> AbstractContextManager[Workbook | None]:
        """Open one workbook, if such are asked for."""
        if not self.options.workbooks:
            return nullcontext()
        path = self.store.staged(f"{name}.xlsx")
        return Workbook(path, columns, name, self.scratch("workbooks"))

    @contextmanager
    def parquet(self, name: str, schema: pa.Schema) -> Iterator[ParquetWriter]:
        """Open one published table."""
        own = stamped(schema, __version__, self.options.digest())
        with self.store.open_output(name) as stream, ParquetWriter(stream, own) as writer:
            yield writer


def names_written(options: RunOptions) -> frozenset[str]:
    """Return the names in OUT that a run may write: none of them may be taken by what is not ours."""
    names = set(PUBLISHED) - _OF_IMGTOOLS - _OF_CASES - {_WORKBOOK}
    if options.layout in ("imgtools", "all"):
        names |= _OF_IMGTOOLS | ({_WORKBOOK} if options.workbooks else set())
    if options.layout in ("cases", "all"):
        names |= names_of_cases(options)
    return frozenset(names)


def assemble(
    store: Staging,
    parts: Parts,
    listed: Mapping[str, tuple[int, int]],
    count: int,
    project_ids: Mapping[str, int],
    options: RunOptions,
) -> Assembled:
    """Prepare tables and files in the staging area.

    Parameters
    ----------
    store : Staging
        Where it is prepared.
    parts : Parts
        What partitions left.
    listed : mapping
        Case to its files and their bytes.
    count : int
        Instances.
    project_ids : mapping
        ProjectID of every case.
    options : RunOptions
        What to write.
    """
    parts.fetch()
    work = _Work(store, parts, _instances(parts, count), project_ids, options)
    merged = _merge(work)
    resolved = _resolve(work, merged)
    written = _write_series(work, merged, resolved.referred)
    patients = _patients(work, merged)
    rewritten = {}
    if work.writes("imgtools"):
        rewritten = _write_series_files(work, merged, resolved.referred)
    for name in ("series", "merged"):
        shutil.rmtree(work.scratch(name), ignore_errors=True)
    outcomes = _write_failures(work)
    said, noted = _write_notes(work, merged.representatives)
    per_case = _instances_per_case(work.instances)
    table = cases.build_cases(listed, per_case, written.cases, outcomes, project_ids)
    with work.parquet("cases.parquet", CASES) as writer:
        writer.add(table)
    if work.writes("cases"):
        write_cases(store, _case_rows(work), project_ids, options)
    kinds: Counter[str] = Counter()
    for (_, kind), failures in outcomes.items():
        kinds[kind] += failures
    return Assembled(
        files=store.publish_instances(parts),
        series=sum(written.cases.values()),
        references=resolved.rows,
        unresolved=resolved.unresolved,
        modalities=dict(sorted(written.modalities.items())),
        kinds=dict(sorted(kinds.items())),
        patients=patients,
        studies=written.studies,
        notes=dict(sorted(said.items())),
        noted=dict(sorted(noted.items())),
        rewritten=rewritten,
    )


def _instances(parts: Parts, count: int) -> Stream:
    """Give the instances of all parts: held where they are few, else read as they are asked for."""

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        schema = pa.schema([_READ.field(name) for name in columns])
        return (batch.cast(schema) for batch in parts.instance_batches(columns))

    stream = Stream(_READ, count, read)
    return stream if count > LARGEST_RANGE else Stream.of(stream.table())


# -- series ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Merged:
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
    asked: pa.Table
    representatives: pa.Array


def _merge(work: _Work) -> _Merged:
    """Merge instances into series, a range of SeriesInstanceUID at a time."""
    named = _named(work.parts)
    frames = _distinct(map(references.frames_named, named.read(["target_level", "target_uid"])))
    noted = _distinct(
        chain(
            map(references.noted_of, named.read(["of_series", "source_url"])),
            map(notes.urls_of_series, work.parts.batches("notes")),
        )
    )
    streams = {
        "instances": work.instances.only(*_OF_SERIES).having("SeriesInstanceUID"),
        "described": _of_parts(work.parts, "described", DESCRIBED, _SERIES_WEIGHT),
        "targets": named.only("target_uid").renamed("SeriesInstanceUID"),
    }
    key = Key.by("SeriesInstanceUID")
    ranges = cut(streams, key, LARGEST_RANGE, work.scratch("series"))
    shelf = Shelf(work.scratch("merged"), series.WHOLE, LARGEST_RANGE, weight=_SERIES_WEIGHT)
    kept, asked = [], []
    urls = [pa.array([], pa.string())]
    for number, one in enumerate(one_by_one(ranges)):
        pieces = _pieces(one["instances"], work.scratch(f"series/pieces-{number}"))
        merged = _merge_range(pieces, one["described"].table())
        by_instance = partial(_by_instance, one["instances"], work.scratch(f"series/sops-{number}"))
        merged = series.with_whole_series(merged, by_instance)
        kept.append((pieces, shelf.put(merged)))
        is_asked = pc.or_(
            pc.is_in(merged["SeriesInstanceUID"], one["targets"].table()["SeriesInstanceUID"]),
            pc.is_in(merged["FrameOfReferenceUID"], frames),
        )
        asked.append(merged.select(references.SERIES_COLUMNS).filter(is_asked))
        own = merged["representative_url"]
        urls += own.filter(pc.is_in(own, noted)).chunks
    return _Merged(kept, shelf.stream(), pa.concat_tables(asked), pa.concat_arrays(urls))


def _pieces(instances: Stream, folder: Path) -> list[Stream]:
    """Give a range of instances; where one series alone is too large, in pieces by instance."""

    def place(rows: Any) -> Any:
        sub = pc.fill_null(rows["AcquisitionNumber"], DEFAULT_SUBSERIES)
        # As `crawl_db.json` lists them, so that it takes the pieces one after another.
        number = pc.utf8_lpad(sub.cast(pa.string()), 19, "0")
        texts = (rows[name] for name in ("StudyInstanceUID", "Modality"))
        return sort_text(*texts, number, rows["SOPInstanceUID"])

    columns = ("StudyInstanceUID", "Modality", "AcquisitionNumber", "SOPInstanceUID")
    cuts = cut({"instances": instances}, Key(columns, place), LARGEST_RANGE, folder)
    return [one["instances"] for one in cuts]


def _by_instance(instances: Stream, folder: Path) -> Iterator[pa.Table]:
    """Give what counting a range of series needs; those of one SOPInstanceUID in one piece."""
    streams = {"instances": instances.only(*series.COUNTED)}
    ranges = cut(streams, Key.by("SOPInstanceUID"), LARGEST_RANGE, folder)
    return (one["instances"].table() for one in one_by_one(ranges))


def _merge_range(pieces: list[Stream], described: pa.Table) -> pa.Table:
    if len(pieces) == 1:
        return series.merge_series(pieces[0].table(), described)
    return series.merge_pieces(lambda: (piece.table() for piece in one_by_one(pieces)), described)


def _distinct(arrays: Iterable[pa.Array]) -> pa.Array:
    """Give every text of some arrays once, in linear time: duplicates go when they may be half."""
    held = [pa.array([], pa.string())]
    size = room = 0
    for array in arrays:
        held.append(array)
        size += len(array)
        if size > 2 * room + LARGEST_RANGE:
            held = [pc.unique(pa.concat_arrays(held))]
            size = room = len(held[0])
    return pc.unique(pa.concat_arrays(held))


@dataclass(slots=True)
class _Counted:
    """What was counted of series while they were written."""

    cases: Counter[str]
    modalities: Counter[str]
    studies: int


def _write_series(work: _Work, merged: _Merged, referred: index.Targets) -> _Counted:
    """Write the tables of series, sorted by study."""
    counted = _Counted(Counter(), Counter(), 0)
    last: list[Any] = []
    excel = work.options.excel_csv
    key = Key.by("StudyInstanceUID", "SeriesInstanceUID")
    with ExitStack() as stack:
        crawl_db = stack.enter_context(work.parquet("crawl_db.parquet", CRAWL_DB))
        index_table = stack.enter_context(work.parquet("index.parquet", INDEX))
        index_csv = workbook = None
        if work.writes("imgtools"):
            workbook = stack.enter_context(work.workbook("index", imgtools.INDEX_COLUMNS))
            index_csv = stack.enter_context(work.store.open_output("index.csv"))
            index_csv.write(render_header(imgtools.INDEX_COLUMNS, excel=excel))
        for one in work.ranges("studies", {"series": merged.series}, key):
            rows = index.with_references(one["series"].table(), referred)
            crawl_db.add(index.build_crawl_db(rows))
            lines = index.build_index(rows, work.project_ids)
            index_table.add(lines)
            if index_csv is not None:
                index_csv.write(imgtools.render_index_lines(lines, excel=excel).content)
            if workbook is not None:
                workbook.add(imgtools.index_rows(lines))
            counted.cases.update(rows["case"].to_pylist())
            counted.modalities.update(m or "" for m in rows["Modality"].to_pylist())
            studies = pc.unique(rows["StudyInstanceUID"]).to_pylist()
            # A study may begin in one range and end in the next.
            counted.studies += len(studies) - (bool(last) and studies[:1] == last)
            last = studies[-1:]
    return counted


def _patients(work: _Work, merged: _Merged) -> int:
    """Count the distinct PatientIDs of series."""
    streams = {"series": merged.series.only("PatientID")}
    ranges = work.ranges("patients", streams, Key.by("PatientID"))
    return sum(len(pc.unique(one["series"].table()["PatientID"])) for one in ranges)


def _write_series_files(work: _Work, merged: _Merged, referred: index.Targets) -> dict[str, Check]:
    """Write the JSON files of series; return what Med-ImageTools makes of files when it loads them."""

    def pieces() -> Iterator[tuple[pa.Table, list[Stream]]]:
        for instances, own in one_by_one(merged.ranges):
            yield index.with_references(own.table(), referred), instances

    rewritten = dict.fromkeys(("crawl_db.json", "index.csv"), Check(0, 0))
    with (
        work.store.open_output("crawl_db.json") as crawl_db,
        work.store.open_output("crawl-cache.json") as crawl_cache,
    ):
        for piece in imgtools.render_series_files(pieces()):
            crawl_db.write(piece.crawl_db)
            crawl_cache.write(piece.crawl_cache)
            contents = (piece.crawl_cache, piece.rewritten_index)
            for (name, check), content in zip(list(rewritten.items()), contents, strict=True):
                crc = zlib.crc32(content, check.crc or 0)
                rewritten[name] = Check(check.size + len(content), crc)
    return rewritten


# -- references --------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Resolved:
    """What came of references.

    Attributes
    ----------
    rows, unresolved : int
        References, and those without a target.
    referred : dict
        What the index shows: 1 kB for each series that refers to others.
    """

    rows: int
    unresolved: int
    referred: index.Targets


def _resolve(work: _Work, merged: _Merged) -> _Resolved:
    """Resolve references and write them, a range of sources at a time."""
    named, found = _named(work.parts), _look_up(work)
    resolver = _resolver(named, found, merged)
    resolved = _Resolved(0, 0, {})
    referred: dict[references.Key, references.Targets] = {}
    streams = {"named": named, "found": found}
    key = Key.by("SourceSOPInstanceUID")
    with work.parquet("references.parquet", REFERENCES) as writer:
        for one in work.ranges("references", streams, key):
            own = references.of_representatives(one["named"].table(), merged.representatives)
            rows = resolver.resolve(own, one["found"].table())
            writer.add(references.published(rows))
            resolved.rows += rows.num_rows
            missing = pc.equal(rows["resolution"], references.UNRESOLVED)
            resolved.unresolved += pc.sum(missing).as_py() or 0
            for source, targets in references.referred_series(rows).items():
                references.add_targets(referred.setdefault(source, {}), targets)
    resolved.referred = references.in_order(referred)
    return resolved


def _named(parts: Parts) -> Stream:
    """Give the references of all parts, numbered."""

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        batches = references.without_lists(parts.batches("references"))
        return (batch.select(list(columns)) for batch in batches)

    rows = sum(batch.num_rows for batch in parts.batches("references"))
    return Stream(references.NUMBERED, rows, read, _NAMED_WEIGHT)


def _look_up(work: _Work) -> Stream:
    """Look up the instances that references list, a range of SOPInstanceUID at a time.

    The same ranges give sop_map.json.
    """

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        batches = references.listed_instances(work.parts.batches("references"))
        return (batch.select(list(columns)) for batch in batches)

    rows = sum(len(pc.list_flatten(b["instances"])) for b in work.parts.batches("references"))
    streams = {
        "listed": Stream(references.LISTED, rows, read),
        "instances": work.instances.only(*references.TARGET_COLUMNS).having("SOPInstanceUID"),
    }
    found = Shelf(work.scratch("found"), references.FOUND, LARGEST_RANGE, weight=_NAMED_WEIGHT)

    def looked_up() -> Iterator[pa.Table]:
        for one in work.ranges("sops", streams, Key.by("SOPInstanceUID")):
            instances = one["instances"].table()
            if one["listed"].rows:
                found.put(references.count_found(one["listed"].table(), instances))
            yield instances

    if work.writes("imgtools"):
        with work.store.open_output("sop_map.json") as stream:
            stream.writelines(imgtools.render_sop_map(looked_up()))
    elif rows:
        deque(looked_up(), maxlen=0)
    return found.stream()


def _resolver(named: Stream, found: Stream, merged: _Merged) -> references.Resolver:
    """Give the resolver, which holds plans and structure sets that others name: 1 kB each."""
    uids = _distinct(map(references.named_on_the_way, named.read(["role", "target_uid"])))

    def of(stream: Stream) -> pa.Table:
        chosen = [
            batch.filter(pc.is_in(batch["SourceSOPInstanceUID"], uids))
            for batch in stream.read(stream.schema.names)
        ]
        return pa.Table.from_batches(chosen, stream.schema)

    own = references.of_representatives(of(named), merged.representatives)
    return references.Resolver(merged.asked, own, of(found))


# -- failures, cases ---------------------------------------------------------------------------------


def _of_parts(parts: Parts, name: str, schema: pa.Schema, weight: int = 1) -> Stream:
    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        return (batch.select(list(columns)) for batch in parts.batches(name))

    return Stream(schema, sum(batch.num_rows for batch in parts.batches(name)), read, weight)


def _write_failures(work: _Work) -> Counter[tuple[str, str]]:
    """Write the failures, sorted by all columns; count those of each case and kind."""
    outcomes: Counter[tuple[str, str]] = Counter()
    streams = {"failures": _of_parts(work.parts, "failures", FAILURES)}
    with work.parquet("failures.parquet", FAILURES) as writer:
        for one in work.ranges("failures", streams, Key.by("url", "case", "path")):
            rows = one["failures"].table()
            writer.add(rows.sort_by([(name, "ascending") for name in FAILURES.names]))
            outcomes.update(zip(rows["case"].to_pylist(), rows["kind"].to_pylist(), strict=True))
    return outcomes


def _write_notes(work: _Work, representatives: pa.Array) -> tuple[Counter[str], Counter[str]]:
    """Write the notes, sorted by all columns; count them, and the instances, of each kind."""
    rows, instances = Counter[str](), Counter[str]()
    streams = {"notes": _of_parts(work.parts, "notes", NOTED)}
    with work.parquet("notes.parquet", NOTES) as writer:
        for one in work.ranges("notes", streams, Key.by("url", "case", "path")):
            table = notes.published(one["notes"].table(), representatives)
            writer.add(table)
            rows.update(table["note"].to_pylist())
            instances.update(notes.instances_of_each(table))
    return rows, instances


def _instances_per_case(instances: Stream) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for batch in instances.read(["case"]):
        for item in pc.value_counts(batch["case"]).to_pylist():
            counts[item["values"]] += item["counts"]
    return dict(counts)


def _case_rows(work: _Work) -> Iterator[pa.Table]:
    """Give the rows of the case tables."""
    return case_row_ranges(
        work.instances.only(*cases.COLUMNS),
        work.project_ids,
        work.ranges,
        work.scratch,
        by_file=work.options.case_rows == "file",
        most=LARGEST_RANGE,
    )
